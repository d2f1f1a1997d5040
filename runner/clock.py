"""The only reader of time: aware UTC instants, their text form, and ages."""

from __future__ import annotations

import time

from parsers.light import UTC, datetime, timedelta

# The grammar of `read_duration`, for messages.
DURATIONS = "90, 90s, 5m, 2h, 30d"
_MOST_DIGITS = 7
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


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


def today() -> datetime:
    """Return the instant at which the local day has begun."""
    return now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)


def read_duration(text: str) -> float | None:
    """Read a duration (90, 90s, 5m, 2h, 30d, 2w) in seconds; None for any other text.

    A huge one is infinite. Eight digits or more without a unit are rather a date.
    """
    unit = _SECONDS.get(text[-1:])
    number = text if unit is None else text[:-1]
    if not (text.isascii() and number.replace(".", "", 1).isdecimal()):
        return None
    if unit is None and len(number.partition(".")[0]) > _MOST_DIGITS:
        return None
    return float(number) * (unit or 1)
