"""What a run or a session has changed: in its worktree, or between two snapshots."""

from __future__ import annotations

import os
import tempfile

from parsers.light import contextmanager
from parsers.paths import Path
from parsers.struct import Struct
from runner import files
from runner.errors import RunnerError
from runner.git import Change, git_in, tree_of
from runner.lifecycle import snapshot
from runner.run_files import own_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config
    from runner.git import Git
    from runner.ledger.ledger import Ledger
    from runner.ledger.record import Json
    from runner.ledger.sessions import Worktree
    from runner.lifecycle.snapshot import Snapshot
    from runner.model import Run

_SECONDS = 60.0
_COUNTED_BYTES = 10_000_000


class Differences(Struct):
    """Hold two states of files, for git to compare, and where they are from.

    `untracked` has files that git knows by name only, and what was done to each;
    `others` are the runs that worked there meanwhile, with their tasks.
    """

    git: Git
    since: str
    until: str
    told: Json
    untracked: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, str], ...] = ()

    def new_files(self) -> Iterator[Change]:
        """Yield the new files that git knows by name only, with their lines of today.

        One that is gone meanwhile, or is large, has no lines.
        """
        top = Path(str(self.told.get("repo")))
        for name, what in self.untracked:
            if what == "new":
                yield Change(path=name, added=_lines_in(top / name), removed=0)


class NoSnapshotError(RunnerError):
    """Report that it is not known what a run has changed."""

    code = "no_snapshot"

    def __init__(self, run: Run, why: str) -> None:
        super().__init__(
            f"there is no snapshot of run {run.run_id}: {why}",
            f'for what comes: codex-tasks send --worktree {run.run_id} "PROMPT"',
        )


@contextmanager
def differences(run: Run, ledger: Ledger, settings: Config) -> Iterator[Differences]:
    """Compare the files of a run: its worktree with its base, or its two snapshots.

    Raises:
        NoSnapshotError: it is not known what it has changed.
        RunnerFault: git does not say.
    """
    worktree = ledger.sessions.worktree(run.session)
    with tempfile.TemporaryDirectory() as name:
        if worktree is not None and run.worktree is not None:
            yield _in_worktree(worktree, Path(name), settings)
        else:
            yield _between(run, Path(name), ledger, settings)


def _in_worktree(worktree: Worktree, place: Path, settings: Config) -> Differences:
    told: Json = {
        "worktree": worktree.path,
        "branch": worktree.branch,
        "base": worktree.base,
    }
    if not files.is_directory(Path(worktree.path)):
        git = git_in(worktree.repo, settings.environment)
        until = git.line("rev-parse", "--verify", f"refs/heads/{worktree.branch}")
        told |= {"worktree": None, "head": until}
        return Differences(git=git, since=worktree.base, until=until, told=told)
    git = git_in(worktree.path, settings.environment)
    told["head"] = git.line("rev-parse", "HEAD")
    until = tree_of(git, place, "-A")
    own = git.with_objects(place / "objects")
    return Differences(git=own, since=worktree.base, until=until, told=told)


def _between(run: Run, place: Path, ledger: Ledger, settings: Config) -> Differences:
    own, environment = own_directory(ledger.home, run.run_id), settings.environment
    begin = _known(run, snapshot.read(snapshot.BEGIN, own))
    if run.is_finished:
        end = _known(run, snapshot.read(snapshot.END, own))
    else:
        end = snapshot.take(begin.top, place, environment, _SECONDS)
    git = git_in(begin.top, environment)
    theirs = own / "objects"
    known = [theirs] if files.is_directory(theirs) else []
    return Differences(
        git=git.with_objects(place, *known, place / "objects"),
        since=begin.tree,
        until=end.tree,
        told={
            "repo": begin.top,
            "base": begin.head,
            "head": end.head,
            "since": begin.at,
            "until": end.at,
        },
        untracked=tuple(_untracked(begin, end)),
        others=tuple(_others(run, begin, end, ledger)),
    )


def _known(run: Run, found: Snapshot | str | None) -> Snapshot:
    if isinstance(found, snapshot.Snapshot):
        return found
    raise NoSnapshotError(run, found or "none was taken")


def _untracked(begin: Snapshot, end: Snapshot) -> Iterator[tuple[str, str]]:
    """Compare untracked files by size and time."""
    was, now = (
        {name: f"{size} {time}" for size, time, name in (e.split(" ", 2) for e in each)}
        for each in (begin.untracked, end.untracked)
    )
    for name in sorted({*was, *now}):
        if name not in was:
            yield name, "new"
        elif name not in now:
            yield name, "gone"
        elif was[name] != now[name]:
            yield name, "changed"


def _lines_in(path: Path) -> int | None:
    """Count the lines of a file as git does; None for a binary one."""
    status = files.status(path)
    if status is None or status.st_size > _COUNTED_BYTES:
        return None
    data = files.read_if_there(path)
    is_cut = bool(data) and not data.endswith(b"\n")
    return None if b"\0" in data else data.count(b"\n") + is_cut


def _others(
    run: Run, begin: Snapshot, end: Snapshot, ledger: Ledger
) -> Iterator[tuple[str, str]]:
    """Find the runs that worked in the same repository meanwhile."""
    ids = {"run_id": run.run_id, "since": begin.at, "until": end.at}
    top = os.path.realpath(begin.top)
    for row in ledger.all("runs_meanwhile", **ids):
        theirs = snapshot.repository_of(os.path.realpath(os.fsdecode(row["repo"])))
        if theirs == top:
            yield row["run_id"], row["short_id"]
