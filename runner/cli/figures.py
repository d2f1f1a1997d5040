"""Figures as a person reads them: spans, times, tokens, money."""

from __future__ import annotations

from parsers.light import timedelta
from runner import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.light import datetime

_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
_FEWEST_WEEKS = 2
_TENTHS = 10  # seconds below which tenths are shown
_KILO = 1000
_CENT = 0.005
_DAYS_OF_A_WEEK = 7


def span(seconds: float) -> str:
    """Write a time span in one unit, rounded down: 42s, 12m, 3h, 5d, 14w."""
    for unit, size in _UNITS:
        count = int(seconds // size)
        if count >= (_FEWEST_WEEKS if unit == "w" else 1):
            return f"{count}{unit}"
    return "0s"


def long_span(seconds: float) -> str:
    """Write a time span in two units: 42s, 3m 02s, 1h 12m, 2d 18h."""
    units = _UNITS[1:]
    following = zip(units, units[1:], strict=False)  # noqa: RUF007 - no import
    for (unit, size), (next_unit, next_size) in following:
        if seconds >= size:
            count, rest = divmod(int(seconds), size)
            return f"{count}{unit} {rest // next_size:02}{next_unit}"
    return f"{int(max(seconds, 0))}s"


def command_span(seconds: float) -> str:
    """Write how long a command took: 0.4s, 12s, 3m 02s."""
    return f"{int(seconds * 10) / 10}s" if seconds < _TENTHS else long_span(seconds)


def age(instant: str) -> str:
    """Write how long ago an RFC 3339 instant was."""
    return span(seconds_since(instant))


def seconds_since(instant: str) -> float:
    """Return the seconds since an RFC 3339 instant."""
    return (clock.now() - clock.parse_iso(instant)).total_seconds()


def local_iso(instant: str) -> str:
    """Write an RFC 3339 instant in local time, with its offset, to the second."""
    return clock.parse_iso(instant).astimezone().isoformat(timespec="seconds")


def moment(instant: str, *, has_rest: bool = False) -> str:
    """Write an RFC 3339 instant in local time, as short as it is clear.

    With `has_rest` the time that is left until a future one is added.
    """
    now = clock.now().astimezone()
    local = clock.parse_iso(instant).astimezone()
    days = (local.date() - now.date()).days
    left = (local - now).total_seconds()
    text = _day(local, now, days)
    return f"{text}, in {long_span(left)}" if has_rest and left > 0 else text


def _day(local: datetime, now: datetime, days: int) -> str:
    if days == 0:
        return f"{local:%H:%M}"
    if days == -1:
        return f"yesterday {local:%H:%M}"
    if abs(local - now) < timedelta(days=_DAYS_OF_A_WEEK):
        return f"{local:%a %H:%M}"
    if local.year == now.year:
        return f"{local.day} {local:%b}"
    return f"{local:%Y-%m-%d}"


def tokens(number: int) -> str:
    """Write a number of tokens in three figures: 948, 12.4k, 2.31M."""
    value, units = float(number), iter("kMGT")
    if number < _KILO:
        return f"{number}"
    unit = ""
    while value >= _KILO - 0.5 and (larger := next(units, "")):
        value, unit = value / _KILO, larger
    return f"{value:#.3g}".rstrip(".") + unit


def lines(added: int, removed: int) -> tuple[str, str]:
    """Write how many lines were added and removed."""
    return f"+{added:,}", f"\N{MINUS SIGN}{removed:,}"


def money(usd: float, *, is_floor: bool = False) -> str:
    """Write an amount: $0.84, $1,284.10, <$0.01; a floor as ≥$0.22."""
    if 0 < usd < _CENT:
        return "≥$0.00" if is_floor else "<$0.01"
    return f"{'≥' if is_floor else ''}${usd:,.2f}"


def bar(share: float, width: int) -> str:
    """Draw a share of a width; more than nothing has at least half a step."""
    halves = max(round(min(share, 1) * width * 2), share > 0)
    return "━" * (halves // 2) + "╸" * (halves % 2)
