"""`codex-tasks ls`: the tasks, what needs a person first."""

from __future__ import annotations

import gc

from runner.cli import figures, format, table, task_table
from runner.cli.options import whole_number
from runner.errors import UsageError
from runner.model import TaskState
from runner.service import listing
from runner.service.listing import STYLES
from runner.service.shown import STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.cli.context import Context
    from runner.cli.look import Styled
    from runner.cli.options import Values
    from runner.service.listing import Line

HELP = f"""\
List tasks: what needs you first, then what runs and waits, then what has ended.

which:
-a, --all            all of them, archived ones too (default on a terminal: those that
                     have not ended, and the last 20)
--state STATE+ ...   only these: {", ".join(STATES)}, or {", ".join(TaskState)};
                     repeatable, or with commas
--filter TEXT        only those with this in id, title, prompt or directory
--limit N            at most N tasks
output:
-w, --watch          live: redraw what changes; the keys are shown
--sort ORDER         by id, for, cost, tokens, time, title or dir; -cost reverses
--header             in a pipe: with a line of headings
--time-format {{human,iso}}

  codex-tasks ls
  codex-tasks ls --state failed,held
  codex-tasks ls | awk -F'\\t' '$2 == "held" {{ print $1 }}'

0 listed, also when there are none; 1 the ledger cannot be used; 2 wrong usage
"""
HELP_top = """\
List tasks as ls --watch does: live, with keys for what can be done with them.

-a, --all            all of them, archived ones too (default: those that have not ended,
                     and the last 20)
--state STATE+ ...   only these states
--filter TEXT        only those with this in id, title, prompt or directory
--sort ORDER         by id, for, cost, tokens, time, title or dir; -cost reverses

  codex-tasks top
  codex-tasks top --state running,held

0 ended with q; 1 the ledger cannot be used; 2 wrong usage, or no terminal
"""
_NAMED_AT_MOST = 5
_ENDED_AT_MOST = 20
_HEADINGS = ("ID", "STATE", "FOR", "TASK", "DETAIL", "DIR", "TIME", "TOKENS", "COST")
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def main(found: Values, context: Context) -> int:
    """List tasks, also those of an older tool that were not imported."""
    wanted, states = _states(found)
    limit = whole_number(found.limit, "--limit", "tasks", least=1)
    if found.watch and not found.json:
        return _watch(wanted, states, found, context)
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
    screen = None
    with context.ledger.snapshot():
        rows = [row for each in lists for row in each.sessions.listed(states, most)]
        lines = listing.lines(rows, context.settings, wanted, found.filter)
        lines = listing.ordered(lines, found.sort)[:limit]
        if context.look.is_drawn and not found.json:
            screen = _screen(lines, found, context) if rows else _NOTHING
    if found.json:
        context.tell(found, "tasks", {"tasks": [line.to_json() for line in lines]})
    elif screen is not None:
        context.output.text(context.look.text(screen))
    else:
        heads = ["\t".join((*_HEADINGS, "Q"))] if found.header else []
        context.output.lines([*heads, *map(_piped, lines)])
    return 0


def main_top(found: Values, context: Context) -> int:
    """List tasks, live."""
    vars(found).update(watch=True, limit=None)
    return main(found, context)


def _watch(
    wanted: set[str], states: set[TaskState], found: Values, context: Context
) -> int:
    from runner.cli.tasks.watch import watch  # noqa: PLC0415 - on a terminal only
    from runner.service.live import Wish  # noqa: PLC0415 - see above

    listing.ordered([], found.sort)
    wish = Wish(
        states=states,
        wanted=wanted,
        text=found.filter,
        order=found.sort,
        is_all=found.all,
    )
    return watch(wish, context)


_NOTHING: Sequence[Sequence[Styled]] = (
    [("No tasks yet.", "")],
    [("start one  ", "dim"), ('codex-tasks start "Fix the failing test"', "bold")],
    [("older ones ", "dim"), ("codex-tasks import", "bold")],
)


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
        known = f"some of {', '.join(STATES)}, or some of {', '.join(TaskState)}"
        message = f"--state {' '.join(given)}: give {known}"
        raise UsageError(message, "codex-tasks ls --state running,held")
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


def _screen(
    lines: Sequence[Line], found: Values, context: Context
) -> list[Sequence[Styled]]:
    """Draw a table that fits the terminal, and below it what needs the user."""
    if not lines:
        return [[("No such tasks.", "")]]
    width = context.look.width
    most = None if found.all or found.limit else _ENDED_AT_MOST
    shown, hidden = task_table.without_old(lines, most)
    ids = task_table.ids(shown, width, context.ledger)
    block = task_table.block(shown, ids, width)
    rows = [line for row in block.rows for line in row]
    footer = _footer(lines, hidden, ids, context)
    ends = [line for each in footer for line in table.wrapped(each, width)]
    return [*block.heading, *rows, [], *ends]


def _footer(
    lines: Sequence[Line], hidden: int, ids: Mapping[str, str], context: Context
) -> Iterator[list[Styled]]:
    """Say how many there are, what is used, and which task needs the user."""
    slots = listing.slots(context.ledger)
    told = [each for each in (slots, task_table.today(context.ledger)) if each]
    yield [
        (format.count(len(lines), "task"), "bold"),
        ("".join(f"   {each}" for each in told), ""),
    ]
    if hidden > 0:
        more = f"{hidden:,} more {'has' if hidden == 1 else 'have'} ended: "
        yield [(more, ""), ("codex-tasks ls --all", "bold")]
    held = [each for each in lines if each.shown.state == "held"]
    if held:
        who = "1 task needs" if len(held) == 1 else f"{len(held)} tasks need"
        names = " ".join(ids[each.short_id] for each in held[:_NAMED_AT_MOST])
        fix = (f"codex-tasks status {names}", "bold")
        yield [("!", STYLES["held"]), (f" {who} you: ", ""), fix]
