"""The git worktrees of sessions: whether one can be made, its merge, its removal."""

from __future__ import annotations

import os

from parsers.light import contextmanager
from parsers.paths import Path
from parsers.struct import Struct
from runner import files
from runner.errors import (
    RunnerError,
    RunnerFault,
    SessionBusyError,
    UnmergedError,
    UsageError,
)
from runner.git import GitError, git_in, total
from runner.ledger.sessions import PromptsWaitError
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.worktree import NoWorktreeError, refs_of
from runner.process.signals import blocked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.config import Config
    from runner.git import Git
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session, Worktree

_SHOWN = 3
_SUBJECT_LENGTH = 72
_OURS = "codex-tasks"
_WHO = ("AUTHOR", "COMMITTER")
_CHANGED = ("status", "--porcelain", "-z", "--no-renames")
_AGREES = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z")


class Merged(Struct):
    """Hold what a merge has brought: files and lines, and the user's branch."""

    branch: str
    repo: str
    counts: dict[str, int]


class MergeError(RunnerError):
    """Refuse a merge; nothing is changed."""

    code = "merge"


def check(
    directory: str, ref: str, settings: Config, warn: Callable[[str], None]
) -> None:
    """Refuse a worktree that cannot be made; name the changes that it does not have.

    Raises:
        UsageError: the directory is in no repository, or the ref is no commit.
        RunnerFault: git cannot be run.
    """
    git = git_in(directory, settings.environment)
    try:
        top, _ = refs_of(git, ref or "HEAD")
    except (GitError, NoWorktreeError) as error:
        message = f"--worktree: {directory}: {error}"
        raise UsageError(message, "leave out --worktree") from error
    if changed := _changed(git):
        warn(f"not in the worktree: uncommitted changes in {top}: {_few(changed)}")


def merge(session: Session, ledger: Ledger, settings: Config) -> Merged | None:
    """Merge the work of a session into the branch that the user has checked out.

    What is not committed in the worktree is committed first.

    Returns:
        None when there is nothing to merge.

    Raises:
        SessionBusyError: the session runs, or prompts wait.
        NoWorktreeError: it has no worktree.
        MergeError: a conflict, or changes of the user that it would overwrite.
        RunnerFault: git has refused it.
    """
    _refuse_busy(session, ledger)
    worktree = ledger.sessions.worktree(session.key)
    if worktree is None:
        message = f"task {session.name} has no worktree"
        fix = f'codex-tasks send --worktree {session.name} "PROMPT"'
        raise NoWorktreeError(message, fix)
    theirs = _identified(git_in(worktree.repo, settings.environment))
    branch = theirs.asked("symbolic-ref", "--quiet", "--short", "HEAD")
    if branch is None:
        message = f"{worktree.repo}: no branch is checked out"
        raise MergeError(message, "git switch BRANCH")
    ours = _identified(git_in(worktree.path, settings.environment))
    subject = _subject(session, ledger)
    head, tip = _tip(ours, subject)
    if theirs.asked("merge-base", "--is-ancestor", tip, "HEAD") is not None:
        return None
    tree = _merged_tree(theirs, tip, branch)
    found = total(theirs.changes("HEAD", tree))
    # Both steps: an interrupted merge would be the user's to abort.
    with blocked(STOP_SIGNALS):
        if head != tip:
            ours("reset", "--quiet", tip)
        done = theirs.ended("merge", "--quiet", "--no-edit", "-m", subject, tip)
        if done.exit_code:
            theirs.ended("merge", "--abort")
            raise GitError("merge", done.errors or done.output)
    return Merged(branch=branch, repo=worktree.repo, counts=found)


@contextmanager
def removing(
    session: Session,
    ledger: Ledger,
    settings: Config,
    *,
    with_unmerged: bool = False,
    is_dry: bool = False,
) -> Iterator[list[str]]:
    """Remove the worktree and the branch of a session, which a block removes.

    Yields:
        What stays, and why: complete after the block.

    Raises:
        SessionBusyError: the session runs, or prompts wait.
        UnmergedError: it has work that is nowhere else.
    """
    worktree, faults = ledger.sessions.worktree(session.key), list[str]()
    if worktree is not None and not with_unmerged:
        _refuse_busy(session, ledger)
        _refuse_unmerged(session.name, worktree, settings)
    yield faults
    if worktree is not None and not is_dry:
        faults += _remove(worktree, settings)


def _refuse_busy(session: Session, ledger: Ledger) -> None:
    if holder := ledger.queue.holder(session.key):
        fix = f"codex-tasks status --wait {session.short_id}"
        raise SessionBusyError(session.short_id, holder, fix)
    if session.waiting:
        raise PromptsWaitError(session.short_id, session.waiting, puts_away=True)


def _refuse_unmerged(name: str, worktree: Worktree, settings: Config) -> None:
    branch, is_there = worktree.branch, files.is_directory(Path(worktree.path))
    git = git_in(worktree.repo, settings.environment)
    ours = git_in(worktree.path, settings.environment)
    others = (f"--exclude={branch}", "--branches", "--remotes", "--tags", "HEAD")
    try:
        heads = [ours.line("rev-parse", "HEAD")] if is_there else []
        if own := _commit(git, branch):
            heads.append(own)
        since = ("--not", *others, worktree.base)
        if heads and git("rev-list", "--max-count=1", *heads, *since):
            raise UnmergedError(name, f"has commits on {branch} that are not merged")
        if is_there and (changed := _changed(ours)):
            why = f"has uncommitted changes in its worktree: {_few(changed)}"
            raise UnmergedError(name, why)
    except RunnerFault as error:
        why = f"has a worktree that git cannot look at: {error}"
        raise UnmergedError(name, why) from error


def _remove(worktree: Worktree, settings: Config) -> list[str]:
    if not files.is_directory(Path(worktree.repo)):
        return []
    git, branch = git_in(worktree.repo, settings.environment), worktree.branch
    try:
        git.ended("worktree", "remove", "--force", "--force", worktree.path)
        if _commit(git, branch):
            git("branch", "--quiet", "-D", branch)
    except RunnerFault as error:
        return [f"branch {branch} of {worktree.repo}: {error}"]
    return []


def _commit(git: Git, branch: str) -> str | None:
    return git.asked("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")


def _tip(ours: Git, subject: str) -> tuple[str, str]:
    """Return the commit that a worktree is at, and one of all that it has."""
    head = ours.line("rev-parse", "HEAD")
    ours("add", "-A")
    tree = ours.line("write-tree")
    if tree == ours.line("rev-parse", "HEAD^{tree}"):
        return head, head
    return head, ours.line("commit-tree", tree, "-p", head, "-m", subject)


def _merged_tree(theirs: Git, tip: str, branch: str) -> str:
    """Merge without touching a file, and return the tree; refuse what would clash."""
    if theirs.place("MERGE_HEAD").exists():
        message = f"{theirs.directory}: a merge is not finished"
        raise MergeError(message, "git merge --abort, or git commit")
    done = theirs.ended(*_AGREES, "HEAD", tip)
    tree, *names = (os.fsdecode(each) for each in done.output.split(b"\0"))
    if done.exit_code == 1:
        what = f"it conflicts with {branch} in {_few([n for n in names if n])}"
        message = f"{what}: nothing is merged"
        raise MergeError(message, f"git merge {tip[:12]}")
    if done.exit_code:
        raise GitError("merge-tree (of git 2.38 or newer)", done.errors)
    wanted = theirs.names("diff", "--name-only", "--no-renames", "-z", "HEAD", tree)
    changed = _changed(theirs, "--untracked-files=all")
    if clash := [each for each in changed if each in set(wanted)]:
        message = (
            f"uncommitted changes in {theirs.directory} would be overwritten:"
            f" {_few(clash)}"
        )
        raise MergeError(message, "git stash -u, or git commit")
    return tree


def _identified(git: Git) -> Git:
    """Return git with an identity, if the user has none."""
    strict = ("-c", "user.useConfigOnly=true", "var")
    if git.asked(*strict, "GIT_COMMITTER_IDENT") is not None:
        return git
    names = [f"GIT_{who}_{what}" for what in ("NAME", "EMAIL") for who in _WHO]
    return git.having(**dict.fromkeys(names, _OURS))


def _subject(session: Session, ledger: Ledger) -> str:
    """Write the first line of a commit: the title, or the beginning of the prompt."""
    last = ledger.runs.latest(session.key, "launched")
    # A run may have had another text: of a failed check, or to continue.
    asked = last and ledger.value("preview", prompt=last.spec.prompt_id)
    text = session.title or asked or (last.spec.task if last else "")
    line = " ".join(text.split()) or f"Task {session.short_id}"
    return line if len(line) <= _SUBJECT_LENGTH else f"{line[: _SUBJECT_LENGTH - 1]}…"


def _changed(git: Git, *how: str) -> list[str]:
    """Name the files of a working tree that are not committed."""
    return [each[3:] for each in git.names(*_CHANGED, *how)]


def _few(names: Sequence[str]) -> str:
    """Name the first of some files, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
