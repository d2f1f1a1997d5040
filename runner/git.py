"""Git: what it says of a repository, and the state of files as a tree.

Nothing here changes the index, HEAD, the stash or a ref of a user by itself. The state
of files is recorded as git would commit it, through a copy of the index, with the new
objects in a directory of their own: no identity and no commit is needed.
"""

from __future__ import annotations

import os

from parsers.paths import Path
from parsers.struct import Struct, replace
from parsers.text import visible
from runner import clock, files
from runner.errors import RunnerFault
from runner.process.start import run_captured, run_light

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runner.process.start import Done

_SECONDS = 600.0
# What git sets for its hooks: the directory alone says which repository is meant.
_OF_A_HOOK = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE"),
    *("GIT_QUARANTINE_PATH", "GIT_IMPLICIT_WORK_TREE", "GIT_INTERNAL_SUPER_PREFIX"),
)
_QUIET = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
}
# A monitor of the file system would outlive the command, and a copy of an index that
# is in two files would have only one of them.
_OPTIONS = ("-c", "core.fsmonitor=false", "-c", "core.splitIndex=false")
# So changes are counted as they are shown, whatever the settings of the user are.
DIFF = ("diff", "-M", "--no-ext-diff")


class GitError(RunnerFault):
    """Report what git has refused, in its words."""

    def __init__(self, command: str, told: bytes) -> None:
        text = told.decode(errors="surrogateescape")
        super().__init__(visible(f"git {command}: {' '.join(text.split())}"))


class Change(Struct):
    """Hold one changed file; None for the lines of a binary one."""

    path: str
    added: int | None
    removed: int | None


class Git(Struct, kw_only=False):
    """Run git in a directory until a deadline, in monotonic seconds.

    `is_light` is for what a run waits for: nothing is imported for it.
    """

    directory: str
    environment: Mapping[str, str]
    deadline: float
    is_light: bool = False

    def __call__(self, *words: str) -> bytes:
        """Return the output of a command.

        Raises:
            GitError: it has failed.
            RunnerFault: git cannot be run, or takes too long.
        """
        done = self.ended(*words)
        if done.exit_code:
            raise GitError(words[0], done.errors or done.output)
        return done.output

    def ended(self, *words: str) -> Done:
        """Return how a command has ended. Raise RunnerFault as above."""
        left = max(0.001, self.deadline - clock.monotonic())
        argv = ("git", *_OPTIONS, *words)
        run = run_light if self.is_light else run_captured
        return run(argv, self.environment, self.directory, left)

    def line(self, *words: str) -> str:
        """Return the output of a command, which is a line. Raise as a call."""
        return os.fsdecode(self(*words).removesuffix(b"\n"))

    def asked(self, *words: str) -> str | None:
        """Return that line, or None when the command fails. Raise RunnerFault."""
        done = self.ended(*words)
        line = os.fsdecode(done.output.removesuffix(b"\n"))
        return None if done.exit_code else line

    def names(self, *words: str) -> list[str]:
        """Return the names in the output of a command with -z. Raise as a call."""
        return [os.fsdecode(each) for each in self(*words).split(b"\0") if each]

    def place(self, name: str) -> Path:
        """Return the path of a file of the repository. Raise as a call."""
        return Path(self.directory) / self.line("rev-parse", "--git-path", name)

    def having(self, **variables: str) -> Git:
        """Return this with more variables of git's."""
        return replace(self, environment={**self.environment, **variables})

    def with_objects(self, new: Path, *old: Path) -> Git:
        """Return this with the objects of other directories; `new` gets new ones."""
        known = map(_quoted, (*old, self.place("objects")))
        return self.having(
            GIT_OBJECT_DIRECTORY=str(new),
            GIT_ALTERNATE_OBJECT_DIRECTORIES=os.pathsep.join(known),
        )

    def changes(self, since: str, until: str) -> list[Change]:
        """Return the files that differ between two trees. Raise as a call."""
        fields = iter(self(*DIFF, "--numstat", "-z", since, until, "--").split(b"\0"))
        found = []
        for field in filter(None, fields):
            *counts, path = field.split(b"\t", 2)
            if not path:  # the file was renamed: both names follow
                _, path = next(fields), next(fields)
            added, removed = (None if n == b"-" else int(n) for n in counts)
            found.append(Change(path=os.fsdecode(path), added=added, removed=removed))
        return found


def git_in(
    directory: str,
    environment: Mapping[str, str],
    seconds: float = _SECONDS,
    *,
    is_light: bool = False,
) -> Git:
    """Return git for a directory; all its commands take so many seconds at most."""
    own = {**outside_of_hook(environment), **_QUIET}
    return Git(directory, own, clock.monotonic() + seconds, is_light)


def outside_of_hook(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which the directory alone names the repository."""
    return {name: v for name, v in environment.items() if name not in _OF_A_HOOK}


def tree_of(git: Git, place: Path, which: str) -> str:
    """Record the state of the files of a working tree, and return the tree.

    Args:
        git: in the top directory.
        place: a directory for a copy of the index, and below `objects` for new ones.
        which: `-u` for the tracked files, `-A` also for those that are not ignored.

    Raises:
        GitError, RunnerFault, OSError: it cannot be recorded.
    """
    index, theirs = place / f"index-{os.getpid()}", git.place("index")
    (place / "objects").mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        if theirs.exists():
            files.export(index, theirs.read_bytes())
            # A file of the same time as the index may have been changed after it.
            os.utime(index, ns=(0, theirs.stat().st_mtime_ns))
        own = git.with_objects(place / "objects").having(GIT_INDEX_FILE=str(index))
        own("add", which)
        return own.line("write-tree")
    finally:
        index.unlink(missing_ok=True)


def total(changes: Iterable[Change]) -> dict[str, int]:
    """Add up changes: the files, and the lines that are counted."""
    found = [*changes]
    return {
        "files": len(found),
        "lines_added": sum(each.added or 0 for each in found),
        "lines_removed": sum(each.removed or 0 for each in found),
    }


def _quoted(path: Path) -> str:
    """Quote a directory of objects for git: its name may have a colon."""
    text = str(path).replace("\\", r"\\").replace('"', r"\"")
    return f'"{text}"'
