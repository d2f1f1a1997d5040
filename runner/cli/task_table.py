"""The table of tasks, for the width of a terminal, or a card for each."""

from __future__ import annotations

from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import clock
from runner.cli import figures, format, table
from runner.cli.table import GAP, Column
from runner.service import listing
from runner.service.listing import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.cli.look import Styled
    from runner.ledger.ledger import Ledger
    from runner.service.listing import Line

CARDS_BELOW, _SHORT_IDS_BELOW, _LONG_DETAILS = 72, 100, 140
# Below which width a column is dropped.
_DROPPED = (("TOKENS", 112), ("DIR", 104), ("TIME", 96))
_LEAST_TASK, _DIR = 12, 8
# From then on it is said how long it takes.
_LONG_SECONDS = 60
_WORRYING = ("reconnecting", "silent")


class Block(Struct):
    """Hold the heading of a table, one line or none, and the lines of each task."""

    heading: Sequence[Sequence[Styled]]
    rows: Sequence[Sequence[Sequence[Styled]]]


def block(
    lines: Sequence[Line], ids: Mapping[str, str], width: int, *, is_live: bool = False
) -> Block:
    """Show tasks at a width.

    Args:
        lines: the tasks.
        ids: how each short id is shown.
        width: in columns.
        is_live: no column moves when a text gets longer or shorter.
    """
    if width < CARDS_BELOW:
        return Block(heading=(), rows=[[*_card(line, width)] for line in lines])
    heading, *rows = table.styled(_columns(lines, ids, width, is_live=is_live))
    return Block(heading=[heading], rows=[[row] for row in rows])


def without_old(lines: Sequence[Line], most: int | None) -> tuple[Sequence[Line], int]:
    """Keep so many of those that have ended, the first; say how many are left out."""
    ended = [each for each in lines if each.has_ended]
    if most is None or len(ended) <= most:
        return lines, 0
    kept = {id(each) for each in ended[:most]}
    shown = [each for each in lines if not each.has_ended or id(each) in kept]
    return shown, len(ended) - most


def ids(lines: Sequence[Line], width: int, ledger: Ledger) -> dict[str, str]:
    """Return how the short id of each task is shown at a width."""
    names = {each.short_id: each.short_id for each in lines}
    is_short = CARDS_BELOW <= width < _SHORT_IDS_BELOW
    return names | (ledger.sessions.beginnings(names) if is_short else {})


def today(ledger: Ledger) -> str:
    """Write what this day has cost, and may cost."""
    usd, is_floor, most = listing.spent_today(ledger)
    of_it = "" if most is None else f" of {figures.money(most)}"
    return f"today {figures.money(usd, is_floor=is_floor)}{of_it}"


def _cell(line: Line) -> str:
    return f"{line.sign} {line.shown.state}"


def _columns(
    lines: Sequence[Line], ids: Mapping[str, str], width: int, *, is_live: bool
) -> list[Column]:
    states, is_brief = [each.shown.state for each in lines], width < _LONG_DETAILS
    waiting = [f"+{each.waiting}" if each.waiting else "" for each in lines]
    texts = [_detail(each, is_brief=is_brief) for each in lines]
    detail = Column("DETAIL", texts, styles=[*map(_of_detail, lines)])
    columns = [
        Column(
            "ID",
            [ids[each.short_id] for each in lines],
            styles=["dim" * (state == "stopped") for state in states],
        ),
        Column(
            "STATE", [*map(_cell, lines)], styles=[*map(STYLES.get, states)], room=9
        ),
        _figures("FOR", [*map(_age, lines)], 3, "dim"),
        Column(
            "TASK",
            [format.line(each.task) or "-" for each in lines],
            styles=["bold" * (state in {"running", "held"}) for state in states],
        ),
        detail,
        Column("DIR", [*map(_place, lines)], style="dim", room=_DIR).cut(_DIR),
        _figures("TIME", [*map(_time, lines)], 5, "dim"),
        _figures("TOKENS", [*map(_tokens, lines)], 6, "dim"),
        _figures("COST", [*map(cost, lines)], 6),
        _figures("Q", waiting, 2),
    ]
    gone = {name for name, least in _DROPPED if width < least}
    gone |= set() if any(each.waiting for each in lines) or is_live else {"Q"}
    kept = [column for column in columns if column.heading not in gone]
    # What the other columns leave is for the task and its detail. That gets two fifths,
    # or what the tasks do not need.
    fixed = [each for each in kept if each.heading not in {"TASK", "DETAIL"}]
    rest = width - table.whole_width(fixed) - 2 * len(GAP)
    of_detail = rest * 2 // 5
    if not is_live:
        task = next(each for each in kept if each.heading == "TASK")
        of_detail = min(detail.width, max(of_detail, rest - task.width))
    rooms = {"DETAIL": of_detail, "TASK": max(rest - of_detail, _LEAST_TASK)}
    cut = [each.cut(rooms.get(each.heading, each.width)) for each in kept]
    if is_live:
        cut = [replace(each, room=rooms.get(each.heading, each.room)) for each in cut]
    return cut


def _figures(heading: str, cells: list[str], room: int, style: str = "") -> Column:
    """Build a column with room for usual figures: it does not move when they grow."""
    return Column(heading, cells, is_right=True, style=style, room=room)


def _detail(line: Line, *, is_brief: bool) -> str:
    """Say why a task is in its state; of a running command also for how long."""
    text = format.line(line.brief if is_brief else line.detail)
    now = line.now
    if now is None or now.since is None:
        return text
    seconds = clock.now().timestamp() - now.since
    if seconds < _LONG_SECONDS:
        return text
    return f"{text}{'' if is_brief else ','} {figures.span(seconds)}"


def _of_detail(line: Line) -> str:
    """Return the style of why a task is in its state."""
    state = line.shown.state
    if state in {"held", "parked", "failed"}:
        return STYLES[state]
    is_worrying = state == "running" and line.shown.reason in _WORRYING
    return "yellow" * is_worrying


def _place(line: Line) -> str:
    return Path(line.place).name


def _age(line: Line) -> str:
    return figures.age(line.shown.since)


def _time(line: Line) -> str:
    return "-" if line.seconds is None else figures.span(line.seconds)


def _tokens(line: Line) -> str:
    if line.tokens is None:
        return "?" if line.has_ended else "-"
    return figures.tokens(line.tokens)


def cost(line: Line) -> str:
    """Write what a task has cost."""
    if line.usd is None:
        return "?" if line.has_ended else "-"
    return figures.money(line.usd, is_floor=line.is_floor)


def _card(line: Line, width: int) -> Iterator[list[Styled]]:
    """Write three lines for a task, where a table does not fit."""
    state, name = line.shown.state, format.line(line.task) or "-"
    gap = (GAP, "")
    head = (_cell(line), STYLES[state])
    yield [(line.short_id, ""), gap, head, gap, (_age(line), "dim")]
    title = "bold" * (state in {"running", "held"})
    yield [(f"  {table.shortened(name, width - 2)}", title)]
    figured = f"{GAP}{cost(line)}{f'{GAP}+{line.waiting}' if line.waiting else ''}"
    brief = table.shortened(_detail(line, is_brief=True), width - 2 - len(figured))
    yield [(f"  {brief}", _of_detail(line)), (figured, "")]
