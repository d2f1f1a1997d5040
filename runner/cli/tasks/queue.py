"""`codex-tasks queue`, `slots`, `pause`, `resume`, `deliver` and `retry`."""

from __future__ import annotations

from parsers.struct import replace
from runner.cli import figures, format, table, waits
from runner.cli.options import refuse, whole_number
from runner.cli.table import Column
from runner.errors import UsageError
from runner.ledger import edits
from runner.prompt import read
from runner.service import listing, queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from runner.cli.context import Context
    from runner.cli.look import Styled
    from runner.cli.options import Values
    from runner.ledger.sessions import Session

HELP = """\
List what waits and why, the next prompt first; remove, move or edit a prompt.

--first             with move: to the front of its task
--group NAME        with edit: another group
--priority N        with edit: another priority
--not-before WHEN   with edit: 2026-12-01T14:00 or +2h; none: as soon as possible
--after TASK ...    with edit: wait for these tasks instead
WHAT ...            a task, or rm N..., move N, edit N [PROMPT], where N is the number
                    of a prompt (default: list all)

  codex-tasks queue
  codex-tasks queue rm 17 18
  codex-tasks queue edit 19 --priority 5 "Run the tests"

0 done; 1 the prompt does not wait, or cannot be changed so; 2 wrong usage; 3 no such
  task
"""
HELP_slots = """\
Show or set how many runs there may be at once.

--group NAME            the slots of this group; its runs need a slot of the whole queue
                        too
--starts-per-minute N   start at most N runs in a minute (0: no limit)
N ...                   at most N runs at once; 0 pauses the queue, none is no limit
                        (default: show them)

  codex-tasks slots
  codex-tasks slots 4
  codex-tasks slots 2 --group nightly

0 done; 1 the ledger cannot be used; 2 wrong usage
"""
HELP_pause = """\
Start no prompt of the queue, or of one task, until `resume`.

TASK ...   the tasks (default: the whole queue)

  codex-tasks pause
  codex-tasks pause 01a1f0

0 paused; 1 the ledger cannot be used; 2 wrong usage; 3 no such task
"""
HELP_resume = """\
End a pause; of a task also what holds its first prompt.

TASK ...   the tasks (default: the whole queue)

  codex-tasks resume
  codex-tasks resume 01a1f0

0 done; 1 the ledger cannot be used; 2 wrong usage; 3 no such task
"""
HELP_deliver = """\
Start the next prompt of a task with the API keys that only this shell has.

TASK   the task

  codex-tasks queue 01a1f0
  codex-tasks deliver 01a1f0

0 delivered; 1 nothing waits, or a secret of its sender is not set here; 2 wrong usage;
  3 no such task; 75 it has to wait for something else
"""
HELP_retry = """\
Queue the last prompt of a task again, if it has failed or was canceled.

TASK   the task

  codex-tasks status 01a1f0
  codex-tasks retry 01a1f0

0 queued; 1 it has not ended, has succeeded, or is archived; 2 wrong usage; 3 no such
  task
"""
_LEAST = 8
_NO_CHANGE = "queue edit needs a new prompt, or an option"
_HELP, _LIST = "codex-tasks queue --help", "codex-tasks queue"
_MOVE = "codex-tasks queue move N --first"
_WAYS = f"codex-tasks queue rm N, {_MOVE}, or codex-tasks queue edit N"


def main(found: Values, context: Context) -> int:
    """List what waits, or change a waiting prompt."""
    words = list(found.what)
    verb = words.pop(0) if words and words[0] in _VERBS else None
    is_edit = verb == "edit"
    edited = (found.group, found.priority, found.not_before, found.after)
    refuse(
        (found.first and verb != "move", "--first is for queue move", _MOVE),
        (
            any(map(bool, edited)) and not is_edit,
            "these options are for queue edit",
            _HELP,
        ),
        (verb is None and len(words) > 1, "give one task, or rm, move or edit", _WAYS),
        (
            verb is not None and not words,
            f"queue {verb} needs the number of a prompt",
            _LIST,
        ),
        (verb == "move" and not found.first, "queue move needs --first", _MOVE),
        (verb == "move" and len(words) > 1, "queue move takes one number", _MOVE),
        (is_edit and len(words) < 2 and not any(edited), _NO_CHANGE, _HELP),  # noqa: PLR2004
    )
    session = None
    if verb is not None:
        _VERBS[verb](words, found, context)
    context.sweep()
    if verb is not None:
        queue.wake(context.ledger, context.settings)
        if not found.json:
            return 0
    elif words:
        session = context.session(words[0])
    with context.ledger.snapshot():
        rows = queue.waiting(context.ledger, session, context.settings)
    if found.json:
        context.tell(found, "queue", {"prompts": rows})
    elif not rows:
        context.output.lines(["Nothing waits."])
    elif context.look.is_drawn:
        context.output.text(_screen(rows, context))
    else:
        _show(rows, context)
    return 0


def _show(rows: list[dict[str, Any]], context: Context) -> None:
    """Write a table of what waits, for a program or a file."""
    whys = [each["why"] or "next" for each in rows]
    details = [
        " ".join(
            filter(None, (each["detail"], each["until"] and f"until {each['until']}"))
        )
        for each in rows
    ]
    columns = [
        Column("#", [str(each["id"]) for each in rows], is_right=True),
        Column("Task", [each["task"] for each in rows]),
        Column("Why", whys),
        Column("Detail", [format.line(each or "-") for each in details]),
        Column("Prompt", [format.line(each["prompt"]) for each in rows]),
    ]
    context.output.lines(table.plain(columns))


def _screen(rows: list[dict[str, Any]], context: Context) -> str:
    """Draw what waits for the width of the terminal."""
    look = context.look
    drawn = table.drawn(
        [
            [
                Column("#", [str(each["id"]) for each in rows], is_right=True, room=2),
                Column("TASK", [each["short_id"] for each in rows]),
                Column(
                    "PROMPT", [format.line(e["prompt"]) for e in rows], least=_LEAST
                ),
                Column(
                    "WAITS FOR",
                    [*map(waits.reason, rows)],
                    least=_LEAST,
                    styles=[*map(waits.style, rows)],
                ),
                Column(
                    "FOR",
                    [figures.age(each["queued_at"]) for each in rows],
                    is_right=True,
                    style="dim",
                    room=3,
                ),
            ]
        ],
        look,
    )
    tasks = len({each["short_id"] for each in rows})
    told = f" of {format.count(tasks, 'task')}"
    slots = listing.slots(context.ledger)
    footer: list[list[Styled]] = [
        [],
        [
            (format.count(len(rows), "prompt"), "bold"),
            (f"{told}{f'   {slots}' if slots else ''}", ""),
        ],
        [("codex-tasks queue edit|rm|move N", "bold"), (" changes one", "dim")],
    ]
    lines = [line for each in footer for line in table.wrapped(each, look.width)]
    return drawn + look.text(lines)


def _remove(words: list[str], _found: Values, context: Context) -> None:
    for number in dict.fromkeys(map(_number, words)):
        queue.remove(number, context.ledger)


def _move(words: list[str], _found: Values, context: Context) -> None:
    queue.move_first(_number(words[0]), context.ledger)


def _edit(words: list[str], found: Values, context: Context) -> None:
    refuse((len(words) > 2, "queue edit takes a number and a prompt"))  # noqa: PLR2004
    changes = edits.Edit()
    if words[1:]:
        changes = queue.new_text(read.from_text(words[1], "PROMPT"))
    asked = {**vars(found), "expires": None, "after_any_end": (), "key": None}
    asked |= dict.fromkeys(("dedup", "retries", "recoveries", "no_park"))
    if is_at_once := found.not_before == "none":
        asked["not_before"] = None
    now = queue.options(asked, context.ledger, context.settings)
    changes = replace(
        changes,
        group=found.group,
        priority=None if found.priority is None else now.priority,
        not_before="" if is_at_once else now.not_before,
        after=now.after or None,
    )
    queue.change(_number(words[0]), changes, context.ledger)


_VERBS = {"rm": _remove, "move": _move, "edit": _edit}


def _number(
    text: str, name: str = "N", what: str = "a prompt", *, least: int = 1
) -> int:
    fix = "codex-tasks slots" if what == "runs" else _LIST
    number = whole_number(text, name, what, least=least, fix=fix)
    if number is None:
        message = f"{name} {text!r} is not a number of {what}"
        raise UsageError(message)
    return number


def main_slots(found: Values, context: Context) -> int:
    """Show the limits, or set them."""
    wanted: dict[str, int | None] = {}
    refuse((len(found.n) > 1, "give one N"))
    for text in found.n:
        is_number = text != "none"
        wanted["slots"] = _number(text, "N", "runs", least=0) if is_number else None
    if (rate := found.starts_per_minute) is not None:
        most = _number(rate, "--starts-per-minute", "starts", least=0)
        wanted["starts_per_minute"] = most or None
    if wanted:
        edits.set_limits(context.ledger, found.group or "", wanted)
        context.sweep()
    alone = found.group is not None and not wanted
    refuse((alone, "--group needs N or --starts-per-minute"))
    rows, lines = queue.limits(context.ledger), list[str]()
    for row in rows:
        name = f"group {row['group']}" if row["group"] else "all runs"
        slots = "no limit" if row["slots"] is None else f"{row['slots']} slots"
        rate = row["starts_per_minute"]
        parts = [slots, f"{row['running']} running", f"{row['waiting']} waiting"]
        parts += [f"{rate} starts per minute"] if rate else []
        parts += ["paused"] if row["is_paused"] else []
        lines.append(f"{format.line(name)}: {', '.join(parts)}")
    context.tell(found, "slots", {"queues": rows}, [] if wanted else lines)
    return 0


def main_pause(found: Values, context: Context) -> int:
    """Pause the whole queue, or tasks."""
    named = _named(found, context)
    for session in named:
        key = None if session is None else session.key
        edits.pause(context.ledger, key, is_paused=True)
    _tell_pause(found, named, context)
    return 0


def main_resume(found: Values, context: Context) -> int:
    """Resume the whole queue, or tasks."""
    named = _named(found, context)
    for session in named:
        context.notes(queue.resume(session, context.ledger, context.settings))
    _tell_pause(found, named, context)
    return 0


def _tell_pause(
    found: Values, named: Sequence[Session | None], context: Context
) -> None:
    """Print what was paused or resumed: tasks, or the whole queue."""
    tasks = [{"id": e.name, "short_id": e.short_id} for e in named if e is not None]
    context.tell(found, "pause", {"is_whole_queue": not tasks, "tasks": tasks})


def _named(found: Values, context: Context) -> list[Session | None]:
    """Find the named tasks; None is the whole queue."""
    return [context.session(text) for text in found.task] or [None]


def main_deliver(found: Values, context: Context) -> int:
    """Deliver the next prompt of a task, with the secrets of this environment."""
    session = context.session(found.task)
    run_id = queue.deliver(session, context.ledger, context.settings, context.note)
    if run_id is not None:
        context.note(f"delivered by run {run_id}")
    context.tell_sent(found, session.key, run_id)
    return 0


def main_retry(found: Values, context: Context) -> int:
    """Queue the last prompt of a task again."""
    context.sweep()
    session = context.session(found.task)
    revived = queue.retry(session, context.ledger, context.settings)
    more = f", and {format.count(len(revived) - 1, 'prompt')} that needed it"
    context.note(f"prompt {revived[0]} is queued again{more if revived[1:] else ''}")
    context.tell_sent(found, session.key, None)
    return 0
