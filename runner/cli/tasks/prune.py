"""`codex-tasks prune`."""

from __future__ import annotations

from runner import clock, session_files
from runner.cli import format
from runner.clock import read_age
from runner.errors import RunnerError, UsageError
from runner.service import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from datetime import datetime

    from runner.cli.context import Context
    from runner.ledger.sessions import Row

SUMMARY = "Remove archived tasks that nothing has happened to for a while."
EXAMPLES = """\
  codex-tasks prune --older-than 30d --dry-run
  codex-tasks prune --older-than 12w -a
"""


def arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add(
        "--older-than",
        metavar="AGE",
        required=True,
        help="how long nothing has happened: a number and s, m, h, d or w",
    )
    add("--dry-run", action="store_true", help="only tell what would be removed")
    add(
        "-a",
        "--all",
        action="store_true",
        help="those that are STOPPED or DIED and not archived, too",
    )


def main(found: Namespace, house: Context) -> int:
    """Remove what is old, one line each, and tell how much that gives back."""
    instant = _instant(found.older_than, clock.now())
    rows = archive.older_than(instant, house.ledger, with_active=found.all)
    told = [_prune(row, house, is_dry=found.dry_run) for row in rows]
    sizes = [size for line, size, _ in told if line]
    will = "would be " if found.dry_run else ""
    total = f"{format.count(len(sizes), 'task')} {will}removed"
    # Not before: a reader that is gone must not keep the others.
    house.output.lines(
        [
            *(line for line, _, _ in told if line),
            f"{total}; {format.size(sum(sizes))} {will}given back.",
        ]
    )
    return max((code for _, _, code in told), default=0)


def _prune(row: Row, house: Context, *, is_dry: bool) -> tuple[str, int, int]:
    """Remove a task, or only look how large it is: line, bytes and exit code."""
    code = 0
    try:
        if is_dry:
            size = _size(row, house)
        else:
            size, code = _remove(row, house)
    except RunnerError as error:
        house.note(f"{row.session_id}: {error}")
        return "", 0, error.exit_code
    title = f" {format.line(row.title)}" if row.title else ""
    line = f"{row.session_id} {row.updated_at[:10]} {format.size(size)}{title}"
    return line, size, code


def _size(row: Row, house: Context) -> int:
    home = house.settings.state_home
    files = session_files.placed(home, row.session_id, row.archived_in)
    return session_files.size(files)


def _remove(row: Row, house: Context) -> tuple[int, int]:
    removed = archive.remove(row, house.ledger, house.settings, if_unchanged=True)
    house.notes(format.remains(removed))
    return removed.size, 1 if removed.left else 0


def _instant(text: str, now: datetime) -> datetime:
    try:
        if (age := read_age(text)) is not None:
            return now - age
    except OverflowError as error:
        message = f"--older-than {text!r}: that is before there was any Codex"
        raise UsageError(message) from error
    message = f"--older-than {text!r}: a number and s, m, h, d or w, such as 30d"
    raise UsageError(message)
