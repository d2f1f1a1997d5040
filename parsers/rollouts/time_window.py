"""The part of a rollout file that belongs to one run, by offset or by time."""

from __future__ import annotations

from datetime import UTC, datetime

from parsers.struct import Struct


class Window(Struct, kw_only=False):
    """Records from a byte on and between two ISO 8601 times; "" sets no bound."""

    from_offset: int
    since: str
    until: str

    def holds(self, at: str, offset: int) -> bool:
        if offset < self.from_offset:
            return False
        if not self.since and not self.until:
            return True
        when = moment(at)
        return when >= self.since and (not self.until or when <= self.until)


def moment(at: str | None) -> str:
    """Make ISO 8601 times comparable as text: UTC, without the zone's name."""
    if not at:
        return ""
    if at.endswith("Z"):
        return at[:-1]
    return _parse(at).isoformat().removesuffix("+00:00")


def seconds_between(begin: str, end: str) -> float:
    """Subtract two ISO 8601 times; a text that is not one counts as the earliest."""
    return (_parse(end) - _parse(begin)).total_seconds()


def _parse(at: str) -> datetime:
    try:
        found = datetime.fromisoformat(at)
        if found.tzinfo is None:
            return found.replace(tzinfo=UTC)
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)
