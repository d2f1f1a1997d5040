"""`codex-tasks usage` and `reprice`."""

from __future__ import annotations

import gc

from parsers.run_summary import dollars
from parsers.struct import as_dict
from runner import clock
from runner.cli import format, table
from runner.cli.output import is_terminal, pretty
from runner.cli.table import Column
from runner.service import usage
from runner.service.lookup import older_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.cli.context import Context
    from runner.cli.look import Look
    from runner.cli.options import Values
    from runner.ledger.usage import UsageTotal
    from runner.service.usage import Report

HELP = """\
Show the usage and cost of all runs, each counted once.

--by {day,model,repo,session}  group the rows by this [default: day]
--since TIME  only calls since a date, an instant, or an age (12h, 30d, 2w)
--json        as JSON: one object

  codex-tasks usage
  codex-tasks usage --by model --since 2026-11-01
  codex-tasks usage --by session --since 30d --json | jq .total.usd
"""
HELP_reprice = """\
Price the runs that have no price; a known price stays as it is.

--since TIME  only runs since a date, an instant, or an age (12h, 30d, 2w)
--dry-run     only list what would be priced
--force       also price again what has a price
--json        as JSON: one object

  codex-tasks reprice --dry-run
  codex-tasks reprice --since 2026-11-01
"""
_EIGHTHS = " ▏▎▍▌▋▊▉"
_WIDEST_BAR = 24
_NARROWEST_BAR = 6
_NARROWEST = 13
_WIDEST_TITLE = 32
_FIGURES = {
    "Input": "input_tokens",
    "Cached": "cached_input_tokens",
    "Output": "output_tokens",
    "Tokens": "total_tokens",
    "Cost": "usd",
}
_PARTS = ("Input", "Cached", "Output")
# An unknown figure is written short, but never left out.
_NOTE = " + {} unknown"
_SHORT_NOTE = " +{}?"
# Columns that a narrow terminal leaves out, the first ones together.
_GIVE_WAY = (*_PARTS, "Title", "Runs", "Tokens")
_KILO = 1000


def main(found: Values, context: Context) -> int:
    """Show usage and cost; an unknown figure is never shown as 0."""
    # All rows live to the end: a third of the time would be the search for garbage.
    gc.disable()
    since = None if found.since is None else usage.instant(found.since, clock.now())
    report = usage.gather(context.ledger, found.by, since)
    if report.not_over:
        runs = "1 run is" if report.not_over == 1 else f"{report.not_over} runs are"
        context.note(f"{runs} not finished, and not counted yet")
    if older_tasks(context.ledger):
        context.note("tasks of an older tool are not counted: codex-tasks import")
    if found.json:
        context.output.lines([_json(report)])
    elif report.total is not None and is_terminal():
        context.output.text(drawn(report, context.look))
    elif report.total is not None:
        context.output.lines(plain(report))
    elif not report.not_over:
        context.note("No runs on record" + (" since then." if since else "."))
    return 0


def main_reprice(found: Values, context: Context) -> int:
    """Price runs, one line each; name the rest on standard error."""
    from runner.service.repricing import reprice  # noqa: PLC0415 - seldom

    since = None if found.since is None else usage.instant(found.since, clock.now())
    how = {"is_trial": found.dry_run, "is_forced": found.force}
    lists: dict[str, list[dict[str, object]]] = {"priced": [], "unpriced": []}
    for run_id, cost, is_new in reprice(context.ledger, context.settings, since, **how):
        told: dict[str, object] = {"run_id": run_id, **cost.to_json()}
        lists["priced"] += [told] if is_new else []
        lists["unpriced"] += [told] if cost.unpriced else []
        context.notes([cost.reason] if cost.reason else ())
        text = dollars(told["usd"], cost.unpriced)
        if is_new and text and not found.json:
            context.output.lines([f"{run_id}  {''.join(text)}"])
    if found.json:
        context.output.lines([pretty(lists)])
    word = "would price" if found.dry_run else "priced"
    done, rest = (format.count(len(each), "run") for each in lists.values())
    lacking = f"; {rest} without a price" if lists["unpriced"] else ""
    context.note(f"{word} {done}{lacking}")
    return 0


def _json(report: Report) -> str:
    rows = [as_dict(line) for line in report.lines]
    for row in rows if report.by != "session" else ():
        del row["title"]
    # Without runs the sums are 0, not unknown.
    total: dict[str, object] = {**dict.fromkeys(usage.FIGURES, 0), "usd": 0.0}
    if report.total is not None:
        total = {name: getattr(report.total, name) for name in usage.FIGURES}
    since = clock.iso(report.since) if report.since else None
    return pretty({"by": report.by, "since": since, "rows": rows, "total": total})


def plain(report: Report) -> list[str]:
    """Write the rows and the total as aligned text, with exact figures."""
    return table.plain(_columns(report, "{:,}".format))


def drawn(report: Report, look: Look) -> str:
    """Draw the same for the width of the terminal, with a bar for each row."""
    full, terse = (_columns(report, _short, note) for note in (_NOTE, _SHORT_NOTE))
    if full[-1].heading == "Title":
        full.insert(1, full.pop().cut(_WIDEST_TITLE))
    brief = full
    if report.by == "session":
        key = Column(full[0].heading, table.beginnings(full[0].cells))
        brief, terse = [key, *full[1:]], [key, *terse[1:]]
    tables = [
        full,
        _without(3, full),
        *(_without(count, brief) for count in (3, 4)),
        *(_without(count, terse) for count in (4, 5, 6)),
    ]
    return table.drawn(
        tables, look, has_total=True, more=lambda room: _bars(report, room)
    )


def _without(count: int, columns: Sequence[Column]) -> list[Column]:
    gone = _GIVE_WAY[:count]
    return [column for column in columns if column.heading not in gone]


def _columns(
    report: Report, figure: Callable[[int], str], note: str = _NOTE
) -> list[Column]:
    lines = [*report.lines, *([report.total] if report.total else [])]
    columns = [
        Column(
            report.by.capitalize(),
            [*(format.line(line.key) for line in report.lines), "total"],
            least=None if report.by == "session" else _NARROWEST,
            is_end_kept=report.by == "repo",
        ),
        Column("Runs", [f"{line.runs:,}" for line in lines], is_right=True),
    ]
    for name in _FIGURES:
        style = "green" if name == "Cost" else ""
        cells = _cells(name, lines, figure, note)
        columns.append(Column(name, cells, is_right=True, style=style))
    if any(line.title for line in lines):
        titles = [format.line(line.title or "") for line in lines]
        columns.append(Column("Title", titles, least=_NARROWEST, style="dim"))
    return columns


def _cells(
    name: str, lines: Sequence[UsageTotal], figure: Callable[[int], str], note: str
) -> list[str]:
    """Write a column of figures, each with the number of runs that it lacks."""
    texts, notes = [], []
    for line in lines:
        number, missing = getattr(line, _FIGURES[name]), line.unknown_usage
        if name == "Cost":
            missing = line.unknown_cost
        elif name in _PARTS:
            # A part is marked where it lacks more runs than the total.
            missing = line.unknown_parts if line.unknown_parts > missing else 0
        text, more = "unknown", note.format(missing) if missing else ""
        sign = "≥ " if line.uncounted else ""
        if number is not None and name != "Cost":
            text = sign + figure(number)
        elif found := dollars(number, line.unpriced, sign, "${:,.4f}"):
            text, calls = found
            more = calls * (note is _NOTE) + more
        texts.append(text)
        notes.append("" if number is None else more)
    width = max(map(len, notes), default=0)
    return [
        text if text == "unknown" else text + note.ljust(width)
        for text, note in zip(texts, notes, strict=True)
    ]


def _bars(report: Report, room: int) -> Column | None:
    """Draw each row's share of the most expensive row; of tokens without costs."""
    if room < _NARROWEST_BAR or not report.lines:
        return None
    has_cost = any(line.usd for line in report.lines)
    sizes = [
        (line.usd if has_cost else line.total_tokens) or 0 for line in report.lines
    ]
    largest, bars = max(sizes) or 1, []
    for size in sizes:
        # In eighths of a character, at least one for a share above 0.
        eighths = round(size / largest * min(room, _WIDEST_BAR) * 8)
        full, rest = divmod(max(eighths, 1) if size > 0 else 0, 8)
        bars.append("█" * full + _EIGHTHS[rest].strip())
    return Column("Slice", [*bars, ""], style="cyan")


def _short(number: int) -> str:
    """Write a number in three or four digits: 1234567 as 1.23M."""
    if number < 10 * _KILO:
        return f"{number:,}"
    value, units = number / _KILO, iter("kMGT")
    unit = next(units)
    while value >= _KILO - 0.5 and (larger := next(units, "")):
        value, unit = value / _KILO, larger
    return f"{value:#.3g}".rstrip(".") + unit
