"""`codex-tasks prune`."""

from __future__ import annotations

from runner import clock, files
from runner.cli import format
from runner.clock import read_age
from runner.errors import RunnerError, UsageError
from runner.service import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from datetime import datetime
    from pathlib import Path

    from runner.cli.context import Context
    from runner.ledger.sessions import Session

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


def main(found: Namespace, context: Context) -> int:
    """Remove what is old, one line each, and say how much that gives back."""
    instant = _instant(found.older_than, clock.now())
    context.sweep()
    sessions = archive.older_than(instant, context.ledger, with_active=found.all)
    told = [_prune(each, context, is_dry=found.dry_run) for each in sessions]
    told += [
        _clear(place, is_dry=found.dry_run)
        for place, can_go in archive.strays(context.ledger)
        if can_go
    ]
    sizes = [size for line, size, _ in told if line]
    will = "would be " if found.dry_run else ""
    total = f"{format.count(len(sizes), 'task')} {will}removed"
    # Not before: a reader that is gone must not keep the others.
    context.output.lines(
        [
            *(line for line, _, _ in told if line),
            f"{total}; {format.size(sum(sizes))} {will}given back.",
        ]
    )
    return max((code for _, _, code in told), default=0)


def _prune(session: Session, context: Context, *, is_dry: bool) -> tuple[str, int, int]:
    """Remove a task, or only look how large it is: line, bytes and exit code."""
    code, ledger = 0, context.ledger
    try:
        if is_dry:
            runs = ledger.runs.of_session(session.key)
            places = archive.directories(session, runs, ledger.home)
            size = sum(map(archive.size_of, places))
        else:
            removed = archive.remove(session, ledger, if_unchanged=True)
            context.notes(format.remains(removed))
            size, code = removed.size, 1 if removed.left else 0
    except RunnerError as error:
        context.note(f"{session.name}: {error}")
        return "", 0, error.exit_code
    title = f" {format.line(session.title)}" if session.title else ""
    line = f"{session.name} {session.updated_at[:10]} {format.size(size)}{title}"
    return line, size, code


def _clear(place: Path, *, is_dry: bool) -> tuple[str, int, int]:
    """Remove the directory of a run that is on no record, as `_prune` does a task."""
    size = archive.size_of(place)
    left = [] if is_dry else files.remove_tree(place)
    return f"{place} {format.size(size)}", size, 1 if left else 0


def _instant(text: str, now: datetime) -> datetime:
    try:
        if (age := read_age(text)) is not None:
            return now - age
    except OverflowError as error:
        message = f"--older-than {text!r}: that is before there was any Codex"
        raise UsageError(message) from error
    message = f"--older-than {text!r}: a number and s, m, h, d or w, such as 30d"
    raise UsageError(message)
