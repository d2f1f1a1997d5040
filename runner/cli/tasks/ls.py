"""`codex-tasks ls`."""

from __future__ import annotations

import json

from runner.cli import format
from runner.cli.output import is_terminal
from runner.errors import UsageError
from runner.model import TaskState
from runner.service.sessions import listing, strangers, take_stock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from runner.cli.context import Context
    from runner.cli.format import Columns
    from runner.service.sessions import Listed

SUMMARY = "List tasks, the newest first."
EXAMPLES = """\
  codex-tasks ls
  codex-tasks ls -a --state DIED --limit 20
  codex-tasks ls --json | jq -r '.[] | select(.queue > 0) | .id'
"""
_COLUMNS = ("ID", "Title", "State", "Created At", "Updated At", "Working Dir")
_WHOLE = ("ID", "State", "Updated")
_NAMED_AT_MOST = 5
_LONGEST_NUMBER = 19


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="archived ones too")
    add(
        "--state",
        metavar="STATE",
        action="append",
        nargs="+",
        default=[],
        help=f"only these: {', '.join(TaskState)}; repeatable, or with commas",
    )
    add("--json", action="store_true", help="as JSON: a list")
    add("--limit", metavar="N", help="no more than so many")
    format.add_time_format(parser)


def main(found: Namespace, house: Context) -> int:
    """List tasks; what is wrong with one of them is said on standard error."""
    states = _states(found)
    limit = _limit(found.limit)
    now = take_stock(house.ledger, house.settings)
    house.notes(now.faults)
    listed = listing(states, limit, now, house.ledger, house.settings)
    for each in listed:
        house.notes(format.damage(each.files, each.row.session_id, each.state))
    _name_strangers(house)
    if found.json:
        house.output.lines([json.dumps([_json(each) for each in listed], indent=2)])
    elif not listed:
        house.output.lines(["No tasks found."])
    elif is_terminal():
        house.output.text(format.table(_tables(listed, found.time_format), _WHOLE))
    else:
        house.output.lines(format.aligned(_COLUMNS, _rows(listed, found.time_format)))
    return 0


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


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        message = f"--limit {text!r}: a whole number is needed, 0 or more"
        raise UsageError(message)
    # A longer number is above all that a table can hold.
    return int(text) if len(text) < _LONGEST_NUMBER else None


def _json(each: Listed) -> dict[str, object]:
    row = each.row
    return {
        "id": row.session_id,
        "title": row.title,
        "state": each.state,
        "outcome": row.outcome,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "working_dir": each.repo,
        "queue": each.waiting,
        "last_run": row.last_run,
    }


def _state(each: Listed) -> str:
    """Name the state, and how many prompts wait."""
    return f"{each.state} +{each.waiting}" if each.waiting else str(each.state)


def _tables(listed: Sequence[Listed], time_format: str) -> list[Columns]:
    """Make the table for a terminal, then the same with less and less in it.

    What a task is called goes last: its id, of which a beginning does, and its title.
    """
    full = _short_columns(listed, time_format)
    brief = {**full, "ID": format.beginnings(full["ID"])}
    gone = ("Working Dir", "Updated", "Title")
    return [
        *(_without(gone[:count], full) for count in range(len(gone))),
        *(_without(gone[:count], brief) for count in (len(gone) - 1, len(gone))),
    ]


def _without(names: Sequence[str], columns: Columns) -> Columns:
    return {name: cells for name, cells in columns.items() if name not in names}


def _short_columns(listed: Sequence[Listed], time_format: str) -> Columns:
    rows = [each.row for each in listed]
    times = [format.short_time(row.updated_at, time_format) for row in rows]
    places = [format.short_path(format.line(each.repo or "-")) for each in listed]
    return {
        "ID": [row.session_id for row in rows],
        "State": [_state(each) for each in listed],
        "Updated": times,
        "Title": [format.line(row.title or "-") for row in rows],
        "Working Dir": places,
    }


def _rows(listed: Sequence[Listed], time_format: str) -> list[list[str]]:
    return [
        [
            each.row.session_id,
            format.line(each.row.title or "-"),
            _state(each),
            format.time(each.row.created_at, time_format),
            format.time(each.row.updated_at, time_format),
            format.line(each.repo or "-"),
        ]
        for each in listed
    ]


def _name_strangers(house: Context) -> None:
    """Name what lies in the tree and is no task of ours, a few by name."""
    names = strangers(house.ledger, house.settings)
    for name in names[:_NAMED_AT_MOST]:
        house.note(
            f"{house.settings.state_home / name} is not in the index"
            " (codex-tasks verify tells what it is)"
        )
    if (more := len(names) - _NAMED_AT_MOST) > 0:
        house.note(f"and {more} more directories that are not in the index")
