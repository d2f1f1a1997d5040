"""The only reader of time: aware UTC instants, their text form, and ages."""

from __future__ import annotations

import time

from parsers.light import UTC, datetime, timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST = 19  # digits; Python refuses to convert much longer numbers


def now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


def at(epoch_seconds: float) -> datetime:
    """Return the instant that many seconds after the epoch, aware, in UTC."""
    return datetime.fromtimestamp(epoch_seconds, UTC)


def after(instant: datetime, seconds: float) -> datetime:
    """Return the instant so many seconds after another one."""
    return instant + timedelta(seconds=seconds)


def monotonic() -> float:
    """Return monotonic seconds, for durations and deadlines."""
    return time.monotonic()


def renew_zone() -> None:
    """Read the time zone of the machine again, for a process that lives for days."""
    time.tzset()


def sleep(seconds: float) -> None:
    """Pause this thread for so many seconds."""
    time.sleep(seconds)


def iso(instant: datetime) -> str:
    """Write an instant as RFC 3339 in UTC with milliseconds, as Codex does."""
    utc = instant.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='milliseconds')}Z"


def parse_iso(text: str) -> datetime:
    """Read an RFC 3339 instant; one without an offset is taken as UTC.

    Raises:
        ValueError: the text is no instant.
    """
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def read_age(text: str) -> timedelta | None:
    """Read an age (90m, 12h, 30d, 2w); None for any other text.

    Raises:
        OverflowError: it is longer than any time.
    """
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and unit in _SECONDS):
        return None
    if len(number) > _LONGEST:
        raise OverflowError(text)
    return timedelta(seconds=int(number) * _SECONDS[unit])
