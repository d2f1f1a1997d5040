"""`codex-tasks ls`."""

from __future__ import annotations

import gc

from runner.cli import format, table
from runner.cli.options import whole_number
from runner.cli.output import is_terminal, pretty_rows
from runner.cli.table import Column
from runner.errors import UsageError
from runner.model import TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from runner.cli.context import Context
    from runner.cli.options import Values

HELP = f"""\
List tasks, the newest first.

-a, --all            also archived tasks
--state STATE+ ...   only these: {", ".join(TaskState)}; repeatable, or with commas
--json               as JSON: a list
--limit N            at most N tasks
{format.TIME_FORMAT}

  codex-tasks ls
  codex-tasks ls -a --state DIED --limit 20
  codex-tasks ls --json | jq -r '.[] | select(.queue > 0) | .id'
"""
# A title or a path that is cut to less is useless.
_LEAST = 8
_NAMED_AT_MOST = 5


def main(found: Values, context: Context) -> int:
    """List tasks, also those of an older tool that were not imported."""
    states = _states(found)
    limit = whole_number(found.limit, "--limit", "tasks", least=1)
    context.sweep()
    # All rows live to the end: a third of the time would be the search for garbage.
    gc.disable()
    sessions = context.ledger.sessions.listed(states, limit)
    if (older := context.older(states)) is not None:
        rows = [*sessions, *older.sessions.listed(states, limit)]
        sessions = sorted(rows, key=_updated_at, reverse=True)[:limit]
        for each in older.unreadable[:_NAMED_AT_MOST]:
            context.note(f"not listed: {each.source}: {each.reason}")
        if (more := len(older.unreadable) - _NAMED_AT_MOST) > 0:
            context.note(f"nor are {more} more tasks of an older tool")
    if found.json:
        context.output.lines([pretty_rows(sessions)])
    elif not sessions:
        context.output.lines(["No tasks found."])
    else:
        _show(sessions, found.time_format, context)
    return 0


def _updated_at(row: dict[str, Any]) -> str:
    return str(row["updated_at"])


def _states(found: Values) -> set[TaskState]:
    given = [word for words in found.state for word in words]
    if not given:
        return set(TaskState) if found.all else set(TaskState) - {TaskState.ARCHIVED}
    words = [word for each in given for word in each.split(",") if word]
    try:
        return {TaskState(word.upper()) for word in words or given}
    except ValueError as error:
        message = f"--state {' '.join(given)}: the states are {', '.join(TaskState)}"
        raise UsageError(message) from error


def _show(
    sessions: Sequence[dict[str, Any]], time_format: str, context: Context
) -> None:
    """Show a table; on a terminal, the widest of several that fits."""
    ids = Column("ID", [row["id"] for row in sessions])
    titles = [format.line(row["title"] or "-") for row in sessions]
    title = Column("Title", titles, least=_LEAST)
    states = [r["state"] + (f" +{r['queue']}" if r["queue"] else "") for r in sessions]
    state = Column("State", states)
    places = [format.line(row["working_dir"] or "-") for row in sessions]
    if not is_terminal():
        created = [format.time(row["created_at"], time_format) for row in sessions]
        updated = [format.time(row["updated_at"], time_format) for row in sessions]
        times = [Column("Created At", created), Column("Updated At", updated)]
        columns = [ids, title, state, *times, Column("Working Dir", places)]
        context.output.lines(table.plain(columns))
        return
    updated = [format.short_time(row["updated_at"], time_format) for row in sessions]
    place = Column("Working Dir", [*map(format.short_path, places)], least=_LEAST)
    full = [ids, state, Column("Updated", updated), title, place]
    brief = Column("ID", table.beginnings(ids.cells))
    # The id, as a prefix, and the title are dropped last: they name the task.
    less = [ids, state, title], [brief, state, title], [brief, state]
    context.output.text(table.drawn([full, full[:4], *less]))
