"""The git worktree of a session: where its runs work, and what they leave there.

It is `worktrees/<short id>/<name of the repository>` in the state directory. The ledger
has it before git makes it, so one that is half made is known, and is made again.
"""

from __future__ import annotations

import os

from parsers.light import suppress
from parsers.paths import Path
from runner import clock, files, locks
from runner.errors import RunnerError, RunnerFault
from runner.git import git_in, total, tree_of
from runner.ledger.ledger import Ledger
from runner.ledger.sessions import Worktree
from runner.run_files import WORKTREES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.config import Config
    from runner.git import Git
    from runner.ledger.record import Json
    from runner.model import Run

# The changes are counted in this time, or not at all.
SECONDS = 10.0
_CHANGES = "changes"
_PACE_SECONDS = 0.05
_LOCK_SECONDS = 600.0
_PATIENCE_SECONDS = 2.0
# Git writes it while it makes a worktree.
_HALF_MADE = "initializing"


class NoWorktreeError(RunnerFault):
    """Report why a run cannot work in its worktree."""


def directory_in(worktree: Worktree, repo: str) -> str | None:
    """Return the directory of a worktree that stands for one of the repository.

    None when it is not of that repository; one in the worktree stands for itself.
    """
    wanted = Path(os.path.realpath(repo))
    for top in map(Path, map(os.path.realpath, (worktree.path, worktree.repo))):
        if wanted == top or wanted.is_relative_to(top):
            return str(Path(worktree.path) / wanted.relative_to(top))
    return None


def is_made(worktree: Worktree) -> bool:
    """Return whether git has made a worktree to its end; without asking git."""
    told = files.read_text(Path(worktree.path) / ".git").removeprefix("gitdir: ")
    place = Path(told.strip() or os.devnull)
    return files.is_directory(place) and not _is_half_made(place)


def clear(run: Run, settings: Config) -> None:
    """Remove the half-made worktree of a run that was not started, if git has ended.

    A repository with one is not sound to `git fsck`.
    """
    with suppress(RunnerError, OSError):
        worktree = Ledger(settings.state_home).sessions.worktree(run.session)
        if worktree is None or run.worktree is not None or is_made(worktree):
            return
        held = _lock(Path(worktree.path).parent, _PATIENCE_SECONDS)
        try:
            git = git_in(worktree.repo, settings.environment, is_light=True)
            _remove_half_made(git, worktree)
        finally:
            os.close(held)


def make(run: Run, settings: Config) -> str:
    """Make the worktree of a run's session, unless it is there; return the directory.

    In a process of its own, which gets the umask of the run.

    Raises:
        RunnerError, OSError: it cannot be made, with git's message.
    """
    os.umask(run.spec.umask)
    ledger = Ledger(settings.state_home)
    session = ledger.sessions.get(run.session)
    own = settings.state_home / WORKTREES / session.short_id
    files.make_directory(own)
    git = git_in(run.spec.repo, settings.environment, is_light=True)
    # Inherited by git, which may live longer than this process.
    os.set_inheritable(_lock(own, _LOCK_SECONDS), True)  # noqa: FBT003 - the call has it so
    worktree = ledger.sessions.worktree(run.session)
    if worktree is None:
        worktree = _new(git, own, session.short_id, run.spec.terms.worktree or "HEAD")
        ledger.sessions.keep_worktree(run.session, worktree)
    if not is_made(worktree):
        again = git_in(worktree.repo, settings.environment, is_light=True)
        _add(again, worktree)
    place = directory_in(worktree, run.spec.repo)
    if place is None:
        message = f"{run.spec.repo} is not in {worktree.repo}, of which its worktree is"
        raise NoWorktreeError(message)
    # A new directory is in no commit yet.
    Path(place).mkdir(parents=True, exist_ok=True)
    ledger.close()
    return place


def refs_of(git: Git, ref: str) -> tuple[str, str]:
    """Return the top directory of a repository and the commit of a ref.

    Raises:
        GitError: it is no repository, has no commit, or there is no such ref.
        RunnerFault: git cannot be run.
    """
    top = git.line("rev-parse", "--show-toplevel")
    commit = git.asked("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if commit is None:
        what = f"{ref} is no commit of {top}"
        if git.asked("rev-parse", "--verify", "--quiet", "HEAD") is None:
            what = f"{top} has no commit yet: a worktree begins at one"
        raise NoWorktreeError(what)
    return top, commit


def changes(worktree: Worktree, own: Path, environment: Mapping[str, str]) -> Json:
    """Count what has changed in a worktree since its base, committed or not.

    In the directory `own` of a run there are files of git meanwhile.

    Raises:
        RunnerFault, OSError: it cannot be counted.
    """
    git, place = (
        git_in(worktree.path, environment, SECONDS, is_light=True),
        own / _CHANGES,
    )
    try:
        tree = tree_of(git, place, "-A")
        found = git.with_objects(place / "objects").changes(worktree.base, tree)
        return {
            "worktree": worktree.path,
            "repo": worktree.repo,
            "branch": worktree.branch,
            "base": worktree.base,
            "head": git.line("rev-parse", "HEAD"),
            **total(found),
        }
    finally:
        files.remove_tree(place)


def _new(git: Git, own: Path, short_id: str, ref: str) -> Worktree:
    """Choose the path, the branch and the base of a worktree."""
    top, base = refs_of(git, ref)
    patterns = ("refs/heads/codex", f"refs/heads/codex-{short_id}*")
    told = git("for-each-ref", "--format=%(refname:short)", *patterns)
    taken = set(told.decode(errors="surrogateescape").split())
    # A branch `codex` is in the place of the directory of the others.
    branch = first = f"codex{'-' if 'codex' in taken else '/'}{short_id}"
    number = 1
    while any(each == branch or each.startswith(f"{branch}/") for each in taken):
        number += 1
        branch = f"{first}-{number}"
    path = str(own / (Path(top).name or "repository"))
    return Worktree(path=path, repo=top, branch=branch, base=base)


def _add(git: Git, worktree: Worktree) -> None:
    """Let git make a worktree; first remove what a killed git has left of it."""
    _remove_half_made(git, worktree)
    if git.asked("rev-parse", "--verify", "--quiet", f"refs/heads/{worktree.branch}"):
        git("worktree", "add", "--force", "--quiet", worktree.path, worktree.branch)
    else:
        new = ("--no-track", "-b", worktree.branch, worktree.path, worktree.base)
        git("worktree", "add", "--force", "--quiet", *new)


def _remove_half_made(git: Git, worktree: Worktree) -> None:
    """Remove a worktree that git has not made to its end; no run has worked in it.

    Not by git, which may not know it yet.
    """
    pointer = os.path.realpath(Path(worktree.path) / ".git")
    known = git.place("worktrees")
    for place in (known / name for name in files.names(known)):
        is_its = files.read_text(place / "gitdir").strip() == pointer
        if is_its and _is_half_made(place):
            files.remove_tree(place)
            files.remove_tree(Path(worktree.path))


def _is_half_made(administration: Path) -> bool:
    return files.read_text(administration / "locked").strip() == _HALF_MADE


def _lock(own: Path, seconds: float) -> int:
    """Take the lock of a session's directory: a killed run's git may hold it still."""
    deadline = clock.monotonic() + seconds
    flags = os.O_RDONLY | os.O_DIRECTORY
    while (held := locks.take(own, flags=flags, must_exist=True)) is None:
        if clock.monotonic() >= deadline:
            message = f"another process makes the worktree in {own}: try again"
            raise NoWorktreeError(message)
        clock.sleep(_PACE_SECONDS)
    return held
