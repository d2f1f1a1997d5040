"""`codex-tasks ls`."""

from __future__ import annotations

from runner.cli import format, table
from runner.cli.codex_options import whole_number
from runner.cli.output import is_terminal, pretty
from runner.cli.table import Column
from runner.errors import UsageError
from runner.model import TaskState
from runner.service.lookup import unknown_tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from runner.cli.context import Context
    from runner.ledger.sessions import Session

HELP = f"""\
List tasks, the newest first.

-a, --all            archived ones too
--state STATE+ ...   only these: {", ".join(TaskState)}; repeatable, or with commas
--json               as JSON: a list
--limit N            no more than so many
{format.TIME_FORMAT}

  codex-tasks ls
  codex-tasks ls -a --state DIED --limit 20
  codex-tasks ls --json | jq -r '.[] | select(.queue > 0) | .id'
"""
# Cut to less, a title or a path tells nothing.
_LEAST = 8
_NAMED_AT_MOST = 5


def main(found: Namespace, context: Context) -> int:
    """List tasks; those of an older tool are named on standard error."""
    states = _states(found)
    limit = whole_number(found.limit, "--limit", "tasks")
    context.sweep()
    sessions = context.ledger.sessions.all(states, limit)
    _name_unknown(context)
    if found.json:
        listed = [_json(each) for each in sessions]
        context.output.lines([pretty(listed)])
    elif not sessions:
        context.output.lines(["No tasks found."])
    elif is_terminal():
        context.output.text(table.drawn(_tables(sessions, found.time_format)))
    else:
        context.output.lines(table.plain(_columns(sessions, found.time_format)))
    return 0


def _name_unknown(context: Context) -> None:
    unknown = unknown_tasks(context.ledger)
    for place in unknown[:_NAMED_AT_MOST]:
        context.note(f"{place} is a task of an older tool: codex-tasks import")
    if (more := len(unknown) - _NAMED_AT_MOST) > 0:
        context.note(f"and {more} more tasks of an older tool: codex-tasks import")


def _states(found: Namespace) -> set[TaskState]:
    given = [word for words in found.state for word in words]
    if not given:
        return set(TaskState) if found.all else set(TaskState) - {TaskState.ARCHIVED}
    words = [word for each in given for word in each.split(",") if word]
    try:
        return {TaskState(word.upper()) for word in words or given}
    except ValueError as error:
        message = f"--state {' '.join(given)}: the states are {', '.join(TaskState)}"
        raise UsageError(message) from error


def _json(each: Session) -> dict[str, object]:
    return {
        "id": each.name,
        "short_id": each.short_id,
        "title": each.title,
        "state": each.state,
        "outcome": each.outcome,
        "created_at": each.created_at,
        "updated_at": each.updated_at,
        "working_dir": each.repo,
        "queue": each.waiting,
        "last_run": each.last_run,
    }


def _columns(sessions: Sequence[Session], time_format: str) -> list[Column]:
    columns = {
        "ID": [each.name for each in sessions],
        "Title": [format.line(each.title or "-") for each in sessions],
        "State": _states_of(sessions),
        "Created At": [format.time(each.created_at, time_format) for each in sessions],
        "Updated At": [format.time(each.updated_at, time_format) for each in sessions],
        "Working Dir": [format.line(each.repo or "-") for each in sessions],
    }
    return [Column(heading, cells) for heading, cells in columns.items()]


def _states_of(sessions: Sequence[Session]) -> list[str]:
    return [f"{s.state} +{s.waiting}" if s.waiting else str(s.state) for s in sessions]


def _tables(sessions: Sequence[Session], time_format: str) -> list[list[Column]]:
    """Make the table for a terminal, then the same with less and less in it.

    What a task is called goes last: its id, of which a beginning does, and its title.
    """
    names = [each.name for each in sessions]
    times = [format.short_time(each.updated_at, time_format) for each in sessions]
    titles = [format.line(each.title or "-") for each in sessions]
    places = [format.short_path(format.line(each.repo or "-")) for each in sessions]
    full, brief = (
        [
            Column("ID", ids),
            Column("State", _states_of(sessions)),
            Column("Updated", times),
            Column("Title", titles, least=_LEAST),
            Column("Working Dir", places, least=_LEAST),
        ]
        for ids in (names, table.beginnings(names))
    )
    # Without the directory, the time, and at the end the title.
    return [full, full[:4], [*full[:2], full[3]], [*brief[:2], brief[3]], brief[:2]]
