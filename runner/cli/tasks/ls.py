"""`codex-tasks ls`: the tasks, what needs a person first."""

from __future__ import annotations

import gc

from parsers.paths import Path
from runner import clock
from runner.cli import figures, format, table
from runner.cli.options import whole_number
from runner.cli.output import is_terminal
from runner.cli.table import GAP, Column
from runner.errors import UsageError
from runner.model import TaskState
from runner.service import listing
from runner.service.listing import STYLES
from runner.service.shown import STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.service.listing import Line

    Styled = tuple[str, str]

HELP = f"""\
List tasks: what needs you first, then what runs and waits, then what has ended.

-a, --all            all of them, archived ones too (default on a terminal: those that
                     have not ended, and the last 20)
--state STATE+ ...   only these: {", ".join(STATES)}, or {", ".join(TaskState)};
                     repeatable, or with commas
--filter TEXT        only those with this in id, title, prompt or directory
--sort ORDER         by id, for, cost, tokens, time, title or dir; -cost reverses
--limit N            at most N tasks
--header             in a pipe: with a line of headings
--time-format {{human,iso}}

  codex-tasks ls
  codex-tasks ls --state failed,held
  codex-tasks ls | awk -F'\\t' '$2 == "held" {{ print $1 }}'

0 listed, also when there are none; 1 the ledger cannot be used; 2 wrong usage
"""
_NAMED_AT_MOST = 5
_ENDED_AT_MOST = 20
_CARDS_BELOW = 72
# The heading, and below which width the column is dropped.
_HEADINGS = ("ID", "STATE", "FOR", "TASK", "DETAIL", "DIR", "TIME", "TOKENS", "COST")
_DROPPED = (("TOKENS", 112), ("DIR", 104), ("TIME", 96))
_SHORT_IDS_BELOW, _LONG_DETAILS = 100, 140
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_LEAST_TASK, _MOST_DIR = 16, 12


def main(found: Values, context: Context) -> int:
    """List tasks, also those of an older tool that were not imported."""
    wanted, states = _states(found)
    limit = whole_number(found.limit, "--limit", "tasks", least=1)
    context.sweep()
    # All rows live to the end: a third of the time would be the search for garbage.
    gc.disable()
    older = context.older(states)
    for each in older.unreadable[:_NAMED_AT_MOST] if older else ():
        context.note(f"not listed: {each.source}: {each.reason}")
    if older and (more := len(older.unreadable) - _NAMED_AT_MOST) > 0:
        context.note(f"nor are {more} more tasks of an older tool")
    lists = [context.ledger, *([older] if older else [])]
    # What is left out by a filter does not count.
    is_whole = len(wanted) == len(STATES) and not (found.filter or found.sort)
    most = limit if is_whole else None
    rows = [row for each in lists for row in each.sessions.listed(states, most)]
    lines = listing.lines(rows, context.settings, wanted, found.filter)
    lines = listing.ordered(lines, found.sort)[:limit]
    if found.json:
        context.tell(found, "tasks", {"tasks": [line.to_json() for line in lines]})
    elif not is_terminal():
        heads = ["\t".join((*_HEADINGS, "Q"))] if found.header else []
        context.output.lines([*heads, *map(_piped, lines)])
    elif not lines:
        context.output.lines([_NOTHING if not rows else "No such tasks."])
    else:
        _show(lines, found, context)
    return 0


_NOTHING = """\
No tasks yet.
start one  codex-tasks start "Fix the failing test"
older ones codex-tasks import"""


def _states(found: Values) -> tuple[set[str], set[TaskState]]:
    """Return the states that are shown, and those of the contract that have them."""
    every = set(TaskState) - (set() if found.all else {TaskState.ARCHIVED})
    given = [word for words in found.state for word in words]
    words = {word for each in given for word in each.split(",") if word}
    if not given:
        return set(STATES), every
    # In capitals they are those of the contract, of which two have the same letters.
    shown = words & set(STATES)
    contract = {word.upper() for word in words - shown} & set(TaskState)
    if not words or len(shown) + len(contract) != len(words) or (shown and contract):
        known = f"{', '.join(STATES)}, or of the others {', '.join(TaskState)}"
        message = f"--state {' '.join(given)}: the states are {known}"
        raise UsageError(message)
    return shown or set(STATES), {TaskState(word) for word in contract} or every


def _piped(line: Line) -> str:
    """Write a line for programs: tabs between exact values, nothing cut."""
    floor = "+" if line.is_floor else ""
    cells = [
        line.short_id,
        line.shown.state,
        figures.local_iso(line.shown.since),
        line.task,
        line.detail,
        line.place,
        "" if line.seconds is None else f"{line.seconds:.0f}",
        "" if line.tokens is None else f"{line.tokens}",
        "" if line.usd is None else f"{line.usd:.6f}{floor}",
        f"{line.waiting or ''}",
    ]
    text = "\t".join(cells)
    if "\\" in text or "\n" in text or text.count("\t") >= len(cells):
        text = "\t".join(cell.translate(_ESCAPED) for cell in cells)
    return text


def _show(lines: Sequence[Line], found: Values, context: Context) -> None:
    """Show a table that fits the terminal, and below it what needs the user."""
    width = table.width_of_terminal()
    going = [each for each in lines if not each.has_ended]
    ended = [each for each in lines if each.has_ended]
    most = len(ended) if found.all or found.limit else _ENDED_AT_MOST
    hidden = len(ended) - most
    shown = lines if found.sort else [*going, *ended]
    if hidden > 0:
        kept = {id(each) for each in ended[:most]}
        shown = [each for each in shown if not each.has_ended or id(each) in kept]
    ids = {each.short_id: each.short_id for each in shown}
    if width < _SHORT_IDS_BELOW:
        ids |= context.ledger.sessions.beginnings(ids)
    if width < _CARDS_BELOW:
        context.output.text(table.styled(_cards(shown, ids)))
    else:
        context.output.text(table.drawn([_columns(shown, ids, width)]))
    context.output.lines(["", *_footer(lines, hidden, ids, context)])


def _cell(line: Line) -> str:
    return f"{line.sign} {line.shown.state}"


def _columns(lines: Sequence[Line], ids: dict[str, str], width: int) -> list[Column]:
    states, brief = [each.shown.state for each in lines], width < _LONG_DETAILS
    ages = [figures.age(each.shown.since) for each in lines]
    waiting = [f"+{each.waiting}" if each.waiting else "" for each in lines]
    texts = [format.line(each.brief if brief else each.detail) for each in lines]
    columns = [
        Column("ID", [ids[each.short_id] for each in lines]),
        Column("STATE", [*map(_cell, lines)], styles=[*map(STYLES.get, states)]),
        Column("FOR", ages, is_right=True, style="dim"),
        Column("TASK", [format.line(e.task) or "-" for e in lines], least=_LEAST_TASK),
        Column("DETAIL", texts, least=_LEAST_TASK).cut(max(_LEAST_TASK, width // 4)),
        Column("DIR", [Path(e.place).name for e in lines], style="dim").cut(_MOST_DIR),
        Column("TIME", [*map(_time, lines)], is_right=True, style="dim"),
        Column("TOKENS", [*map(_tokens, lines)], is_right=True, style="dim"),
        Column("COST", [*map(_cost, lines)], is_right=True),
        Column("Q", waiting, is_right=True),
    ]
    gone = {name for name, least in _DROPPED if width < least}
    gone |= set() if any(each.waiting for each in lines) else {"Q"}
    return [column for column in columns if column.heading not in gone]


def _time(line: Line) -> str:
    return "-" if line.seconds is None else figures.span(line.seconds)


def _tokens(line: Line) -> str:
    if line.tokens is None:
        return "?" if line.has_ended else "-"
    return figures.tokens(line.tokens)


def _cost(line: Line) -> str:
    if line.usd is None:
        return "?" if line.has_ended else "-"
    return figures.money(line.usd, is_floor=line.is_floor)


def _cards(lines: Sequence[Line], ids: dict[str, str]) -> Iterator[list[Styled]]:
    """Write three lines for each task, where a table does not fit."""
    for each in lines:
        age, style = figures.age(each.shown.since), STYLES[each.shown.state]
        yield [(ids[each.short_id], ""), (_cell(each), style), (age, "dim")]
        yield [(f"  {format.line(each.task) or '-'}", "")]
        more = [format.line(each.brief), _cost(each)]
        more += [f"+{each.waiting}"] if each.waiting else []
        yield [(f"  {GAP.join(filter(None, more))}", "dim")]


def _footer(
    lines: Sequence[Line], hidden: int, ids: dict[str, str], context: Context
) -> list[str]:
    """Say how many there are, what is used, and which task needs the user."""
    told = [format.count(len(lines), "task")]
    slots = listing.slots(context.ledger)
    told += [slots] if slots else []
    usd, is_floor = listing.spent_since(context.ledger, clock.today())
    told.append(f"today {figures.money(usd, is_floor=is_floor)}")
    found = ["   ".join(told)]
    if hidden > 0:
        found.append(f"{hidden} more have ended: codex-tasks ls --all")
    held = [each for each in lines if each.shown.state == "held"]
    if held:
        who = "1 task needs" if len(held) == 1 else f"{len(held)} tasks need"
        names = " ".join(ids[each.short_id] for each in held[:_NAMED_AT_MOST])
        found.append(f"! {who} you: codex-tasks status {names}")
    return found
