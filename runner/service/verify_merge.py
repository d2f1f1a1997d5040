"""Bring into the directory of a session what lies where it was before it had a name.

Nothing is overwritten: what stands in the way stays, and so does what it stands in the
way of.
"""

from __future__ import annotations

import contextlib
import re

from runner import files
from runner.errors import RunnerFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from runner.ledger.runs import Ledger
    from runner.session_files import SessionFiles

PROMPT = re.compile(r"[0-9]{8}\.(prompt|skipped)")


class _TakenError(RunnerFault):
    """Report a file that cannot be moved to where it belongs."""

    def __init__(self, path: Path, to: Path) -> None:
        super().__init__(f"{path} stays where it is: {to} has one of that name")


def merge(was: SessionFiles, now: SessionFiles, ledger: Ledger) -> None:
    """Move prompts and runs from one directory to another that is there already.

    Raises:
        RunnerFault: the files of a run are there too; they stay where they are.
    """
    merge_mail(was, now, ledger)
    runs = _children(was.runs)
    if taken := runs.keys() & _children(now.runs).keys():
        raise _TakenError(runs[min(taken)], now.runs)
    files.make_directory(now.runs)
    for name, path in runs.items():
        path.rename(now.runs / name)
    files.remove([*_views(was)])
    _leave(was)


def can_merge(was: SessionFiles, now: SessionFiles) -> bool:
    """Tell whether all of a directory would come to lie in another one."""
    views = {path.name for path in _views(was)}
    known = {*views, was.runs.name, was.mailbox.name}
    return (
        _children(was.directory).keys() <= known
        and not _children(was.runs).keys() & _children(now.runs).keys()
        and not numbers(was) & numbers(now)
        and len(prompts(was)) == len(_children(was.mailbox))
    )


def merge_mail(was: SessionFiles, now: SessionFiles, ledger: Ledger) -> None:
    """Move the prompts whose numbers are free, and the directory when it is empty."""
    # Senders write their prompts in a transaction too.
    with ledger.database.transaction():
        taken = numbers(now)
        for path in prompts(was):
            if path.stem not in taken:
                files.make_directory(now.mailbox)
                path.rename(now.mailbox / path.name)
                taken.add(path.stem)
    _leave(was)


def prompts(paths: SessionFiles) -> list[Path]:
    """List the files of prompts in a mailbox, by their numbers."""
    found = _children(paths.mailbox)
    return [path for name, path in found.items() if PROMPT.fullmatch(name)]


def numbers(paths: SessionFiles) -> set[str]:
    """Return the numbers that are taken in a mailbox, as the files have them."""
    return {path.stem for path in _children(paths.mailbox).values()}


def _views(paths: SessionFiles) -> tuple[Path, ...]:
    return paths.json, paths.log, paths.result, paths.pid


def _children(directory: Path) -> dict[str, Path]:
    try:
        return {path.name: path for path in sorted(directory.iterdir())}
    except FileNotFoundError:
        return {}


def _leave(was: SessionFiles) -> None:
    for directory in (was.mailbox, was.runs, was.directory):
        with contextlib.suppress(OSError):
            directory.rmdir()
