"""The usage of runs as a terminal shows it: a table with a bar for each row."""

from __future__ import annotations

from parsers.light import datetime, timedelta
from parsers.struct import replace
from runner import clock
from runner.cli import figures, format, table
from runner.cli.table import Column
from runner.service.usage import NOTHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.cli.look import Look, Styled
    from runner.ledger.usage import UsageTotal
    from runner.service.usage import Report

_KEY, _TITLE, _NARROWEST_BAR = 13, 32, 6
# What a table leaves out that does not fit, the first one first.
_GIVE_WAY = ("TITLE", "CACHED", "SHARE", "RUNS", "TOKENS")
# Below which width a column is left out.
_DROPPED = {"INPUT": 140, "OUTPUT": 140, "CACHED": 100}
# Days without a run are shown in a span of so many days.
_DAYS_AT_MOST = 62


def drawn(report: Report, look: Look) -> str:
    """Draw the rows and the total, and below them what is missing in the figures."""
    lines = [*_days(report)] if report.by == "day" else [*report.lines]
    columns = [
        column
        for column in _columns(report, lines)
        if look.width >= _DROPPED.get(column.heading, 0)
    ]
    tables, gone = [columns], set[str]()
    for heading in _GIVE_WAY:
        gone |= {heading}
        tables.append([each for each in columns if each.heading not in gone])

    def more(room: int) -> Column | None:
        return _bars(lines, room)

    text = table.drawn(tables, look, has_total=True, more=more)
    notes = [line for e in _notes(report) for line in table.wrapped(e, look.width)]
    return text + look.text([[], *notes] if notes else [])


def _columns(report: Report, lines: Sequence[UsageTotal]) -> list[Column]:
    rows = [*lines, *([report.total] if report.total else [])]
    by, keys = report.by, [format.line(line.key) for line in lines]
    styles = [""] * len(rows)
    if by == "day":
        today = clock.now().astimezone().date().isoformat()
        styles = ["bold" * (key == today) for key in keys] + [""]
        keys = [f"{datetime.fromisoformat(key):%a %d %b}" for key in keys]
    elif by == "session":
        keys = table.beginnings(keys)
    total = format.count(len(lines), "day") if by == "day" else "total"
    columns = [
        Column(
            by.upper(),
            [*keys, total],
            least=None if by == "session" else _KEY,
            is_end_kept=by == "repo",
            styles=styles,
        )
    ]
    if any(line.title for line in rows):
        titles = [format.line(line.title or "") for line in rows]
        columns.append(Column("TITLE", titles, least=_KEY, style="dim").cut(_TITLE))
    columns.append(
        Column("RUNS", [f"{line.runs:,}" for line in rows], is_right=True, room=5)
    )
    for name, field in (
        ("TOKENS", "total_tokens"),
        ("INPUT", "input_tokens"),
        ("CACHED", "cached_input_tokens"),
        ("OUTPUT", "output_tokens"),
    ):
        cells = [_tokens(line, field) for line in rows]
        dim = "dim" * (name != "TOKENS")
        columns.append(Column(name, cells, is_right=True, style=dim, room=7))
    costs = [_cost(line) for line in rows]
    unknown = ["yellow" * (cost == "?") for cost in costs]
    columns.append(Column("COST", costs, is_right=True, styles=unknown, room=8))
    if by == "model" and report.total and report.total.usd:
        whole = report.total.usd
        shares = [f"{each.usd / whole:.0%}" if each.usd else "" for each in lines]
        columns.append(Column("SHARE", [*shares, ""], is_right=True, style="dim"))
    return columns


def _days(report: Report) -> Iterator[UsageTotal]:
    """Yield the days, those without a run in between too, if they are not many."""
    if not report.lines:
        return
    known = {line.key: line for line in report.lines}
    first, last = (datetime.fromisoformat(each) for each in (min(known), max(known)))
    if (last - first).days >= _DAYS_AT_MOST:
        yield from report.lines
        return
    for number in range((last - first).days + 1):
        key = (first + timedelta(days=number)).date().isoformat()
        yield known.get(key) or replace(NOTHING, key=key)


def _tokens(line: UsageTotal, name: str) -> str:
    number = getattr(line, name)
    if number is None:
        return "?"
    missing = line.unknown_usage if name == "total_tokens" else line.unknown_parts
    sign = "≥" * bool(line.uncounted or missing)
    return f"{sign}{figures.tokens(number)}"


def _cost(line: UsageTotal) -> str:
    if line.usd is None:
        return "?"
    is_floor = bool(line.unpriced or line.uncounted or line.unknown_cost)
    return figures.money(line.usd, is_floor=is_floor)


def _notes(report: Report) -> Iterator[Sequence[Styled]]:
    """Say what is missing in the figures, and whose days these are."""
    total = report.total or NOTHING
    missing = format.count(total.unknown_cost, "run") if total.unknown_cost else ""
    if total.unpriced:
        missing = format.count(total.unpriced, "call")
    if missing:
        fix = ("codex-tasks reprice", "bold")
        yield [(f"≥ {missing} without a price: ", "yellow"), fix]
    if total.unknown_usage:
        runs = format.count(total.unknown_usage, "run")
        yield [(f"≥ {runs} without known tokens", "yellow")]
    if report.by == "day":
        now = clock.now().astimezone()
        zone = f"{now:%Z}"
        yield [(f"days are {zone}; each call counts on its own day", "dim")]


def _bars(lines: Sequence[UsageTotal], room: int) -> Column | None:
    """Draw each row's share of the most expensive row; of tokens without costs."""
    if room < _NARROWEST_BAR or not lines:
        return None
    has_cost = any(line.usd for line in lines)
    sizes = [(line.usd if has_cost else line.total_tokens) or 0 for line in lines]
    largest = max(sizes) or 1
    bars = [figures.bar(size / largest, room) for size in sizes]
    return Column("", [*bars, ""], style="cyan")
