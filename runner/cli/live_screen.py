"""The live table as lines: the summary, the tasks, the selected one, the keys."""

from __future__ import annotations

from parsers.struct import Struct
from runner import clock
from runner.cli import figures, format, table, task_table
from runner.cli.look import SELECTED
from runner.service.listing import SIGNS, STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runner.cli.look import Styled
    from runner.service.listing import Line
    from runner.service.live import Event

    Lines = list[Sequence[Styled]]

_COUNTED = ("running", "parked", "held", "queued")
_WIDE = 104
KEYS = {
    "↑↓": "select",
    "enter": "log",
    "s": "stop",
    "d": "diff",
    "r": "retry",
    "p": "pause",
    "o": "sort",
    "/": "filter",
    "?": "keys",
    "q": "quit",
}
# What a narrow terminal leaves out, the first one first.
_DROPPED = ("o", "d", "/", "p", "r", "s", "enter")
HELP = {
    "↑ ↓  j k": "select a task; page up, page down, home, end",
    "enter": "its log, as it grows; q returns",
    "d": "what it has changed; q returns",
    "s": "stop it, with everything that it has started; asks first",
    "r": "queue its last prompt again",
    "p": "pause the queue, or resume it",
    "o": "sort by need, cost, tokens, time, title, directory",
    "/": "only tasks with a text in id, title, prompt or directory",
    "esc": "clear that filter",
    "q": "quit; the tasks go on",
}
_SIGN_STYLES = {"$": "cyan", "edit": "green", "error": "red"}
_ANSWERS = " yes   any other key: no"
# Time, sign and text of an event.
_TIME, _SIGN = 10, 9
_AGO_SECONDS = 10
_MOST_EVENTS = 14


class View(Struct):
    """Hold what is shown.

    `ids` tells how the short ids of lines are shown, `selected` is the index of a line,
    `about` says which tasks are shown; `bottom` stands in place of the keys.
    """

    lines: Sequence[Line]
    ids: Callable[[Sequence[Line]], Mapping[str, str]]
    selected: int
    spent: tuple[float, bool, float | None]
    slots: str | None = None
    is_paused: bool = False
    is_filtered: bool = False
    about: str = ""
    bottom: Sequence[Styled] = ()
    events: Sequence[Event] = ()


class Layout(Struct):
    """Hold how many lines each part has: those of a task, of all, of the events."""

    tall: int
    rows: int
    events: int


def layout(width: int, height: int, tasks: int) -> Layout:
    """Divide a screen: the tasks come first, the last events get what is left."""
    tall = 3 if width < task_table.CARDS_BELOW else 1
    # The summary, a blank line, the heading, what is not shown; a blank line, the keys.
    room = height - 6 + (tall > 1)
    least = max(min(4, (height - 14) // 2), 0)
    events = min(max(room - 2 - tasks * tall, least), _MOST_EVENTS)
    # With a rule above them, and a blank line.
    return Layout(tall=tall, rows=room - (events + 2 if events else 0), events=events)


def drawn(view: View, width: int, height: int, top: int) -> tuple[Lines, int]:
    """Draw the screen.

    Args:
        view: what is shown.
        width: of the terminal.
        height: of the terminal.
        top: the first task that was shown.

    Returns:
        The lines, and the first task that is shown.
    """
    parts = layout(width, height, len(view.lines))
    fit = max(parts.rows // parts.tall, 1)
    top = min(max(top, view.selected - fit + 1, 0), view.selected)
    top = max(min(top, len(view.lines) - fit), 0)
    seen = view.lines[top : top + fit]
    shown = task_table.block(seen, view.ids(seen), width, is_live=True)
    lines: Lines = [_summary(view, width), [(view.about, "dim")], *shown.heading]
    for number, row in enumerate(shown.rows, top):
        lines += (
            [_selected(each, width) for each in row]
            if (number == view.selected)
            else row
        )
    if not view.lines:
        lines.append([("No such tasks." if view.about else "No tasks yet.", "")])
    lines.append([(_hidden(top, len(view.lines) - top - fit), "dim")])
    bottom = view.bottom or _keys(view, width)
    end: Lines = [[], bottom]
    if parts.events and view.lines:
        end = [*_pane(view, width, parts.events), *end]
    lines += [[]] * (height - len(lines) - len(end))
    return [table.clipped(each, width) for each in (*lines, *end)], top


def help_lines(height: int) -> Lines:
    """Draw what the keys do."""
    lines: Lines = [[("keys", "bold")], []]
    lines += [[(f"  {key:<11}", "bold"), (told, "")] for key, told in HELP.items()]
    end: Lines = [[("any key", "bold"), (" back", "dim")]]
    return [*lines, *[[]] * (height - len(lines) - 1), *end]


def _summary(view: View, width: int) -> Sequence[Styled]:
    """Count the tasks that have not ended; at the right edge are cost and time."""
    now, (usd, is_floor, most) = clock.now().astimezone(), view.spent
    today = f"today {figures.money(usd, is_floor=is_floor)}"
    left: list[Styled] = []
    if width >= _WIDE:
        left.append(("codex-tasks   ", "bold"))
        today += "" if most is None else f" of {figures.money(most)}"
    states = [each.shown.state for each in view.lines]
    for state in _COUNTED:
        if count := states.count(state):
            left.append((f"{SIGNS[state]} {count} {state}", STYLES[state]))
            left.append(("   ", ""))
    if view.is_paused or (view.slots and width >= _WIDE):
        left.append((view.slots or "", "yellow" * view.is_paused))
    used = sum(table.width_of(text) for text, _ in left)
    right = f"{now:%H:%M:%S}"
    if used + len(today) + len(right) + 4 <= width:
        right = f"{today}{'   ' if width >= _WIDE else '  '}{right}"
    return [*left, (" " * (width - used - len(right)), ""), (right, "dim")]


def _selected(line: Sequence[Styled], width: int) -> Sequence[Styled]:
    text = "".join(text for text, _ in line)
    return [(text + " " * (width - table.width_of(text)), SELECTED)]


def _hidden(above: int, below: int) -> str:
    told = [f"{above} more above"] if above > 0 else []
    told += [f"{below} more below"] if below > 0 else []
    return ", ".join(told)


def _pane(view: View, width: int, height: int) -> Iterator[Sequence[Styled]]:
    """Draw the last events of the selected task, and what it does."""
    line = view.lines[view.selected]
    name = table.shortened(format.line(line.task) or "-", width - 20)
    head = f"── {line.short_id}  {name} "
    yield []
    yield [(head + "─" * (width - table.width_of(head)), "dim")]
    ends = [*_ends(line)]
    events = [_event(each) for each in view.events[-(height - len(ends)) :]]
    rows = [*events, *ends][:height]
    for at, sign, text, style in rows:
        room = max(width - _TIME - _SIGN, 1)
        sign_style = _SIGN_STYLES.get(sign, "red" * sign.startswith("exit"))
        yield [
            (f"{at:<{_TIME}}", "dim"),
            (f"{sign:<{_SIGN}}", sign_style),
            (table.shortened(format.line(text), room), style),
        ]
    yield from [[]] * (height - len(rows))


def _event(each: Event) -> tuple[str, str, str, str]:
    at = ""
    if each.at is not None:
        at = f"{clock.at(each.at).astimezone():%H:%M:%S}"
    return at, each.sign, each.text[:1000], ""


def _ends(line: Line) -> Iterator[tuple[str, str, str, str]]:
    """Yield what a task does now, or why it does nothing."""
    state, now = line.shown.state, line.now
    if now is not None:
        quiet, took = figures.long_span(now.seconds), None
        if now.since is not None:
            took = figures.long_span(clock.now().timestamp() - now.since)
        is_command, told = now.word == "command", [took] if took else []
        if now.seconds >= _AGO_SECONDS and quiet != took:
            told.append(f"last output {quiet} ago")
        if now.tries:
            told.append(format.count(now.tries, "message"))
        if not is_command:
            about = "" if now.tries else format.line(now.text or "")
            told.insert(0, f"{now.word}{f': {about}' if about else ''}")
        style = "yellow" * (now.word == "reconnecting")
        yield "now", "$" * is_command, ", ".join(told), style
    elif state not in {"running", "done"} and line.detail:
        yield state, "", line.detail, "" if state == "queued" else STYLES[state]
    if line.shown.until:
        yield "until", "", figures.moment(line.shown.until, has_rest=True), ""


def question(line: Line, width: int) -> list[Styled]:
    """Ask whether to stop a task; its title gets what the keys leave."""
    keys: list[Styled] = [("? ", "bold"), ("y", "bold"), (_ANSWERS, "dim")]
    name = f"stop {line.short_id}"
    room = width - len(name) - 1 - sum(len(text) for text, _ in keys)
    title = table.shortened(format.line(line.task), max(room, 1))
    return [(f"{name} {title}" if room > 1 else name, "bold"), *keys]


def _keys(view: View, width: int) -> list[Styled]:
    told = KEYS | ({"p": "resume"} if view.is_paused else {})
    if view.is_filtered:
        told = {"esc": "clear filter", **told}
    for gone in (None, *_DROPPED):
        told.pop(gone or "", None)
        if len("   ".join(f"{key} {what}" for key, what in told.items())) <= width:
            break
    parts: list[Styled] = []
    for key, what in told.items():
        parts += [("   " * bool(parts), ""), (key, "bold"), (f" {what}", "dim")]
    return parts
