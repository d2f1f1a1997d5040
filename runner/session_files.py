"""Where a session's files lie, and how they move.

One directory per session, named after its thread: `task.json` (metadata), `task.log`
(the events of all runs), `task.result` (the last answer), `task.pid` (the live Codex),
the files of its runs and the prompts of its mailbox. A session whose thread Codex has
not named yet lies in `.pending/<run id>`; an archived one in `archive/YYYY/MM/DD`.
The four `task.*` files have the names and the content of the older `codex-tasks` (0.3).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from parsers.struct import Struct, replace
from parsers.text import UUID
from runner import files
from runner.errors import FileFault
from runner.run_files import PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from runner.model import Run

PENDING = ".pending"
ARCHIVE = "archive"
REMOVED = ".removed-"
_RUNS = "runs"
_BUCKETS_DEEP = 3
_NOT_SESSIONS = (ARCHIVE, "locks")


class SessionFiles(Struct, kw_only=False):
    """Name the files of one session."""

    directory: Path

    @property
    def json(self) -> Path:
        return self.directory / "task.json"

    @property
    def log(self) -> Path:
        return self.directory / "task.log"

    @property
    def result(self) -> Path:
        return self.directory / "task.result"

    @property
    def pid(self) -> Path:
        return self.directory / "task.pid"

    @property
    def runs(self) -> Path:
        """Return the log directory of the runs that were started for the session."""
        return self.directory / _RUNS

    def mail(self, mail_id: int) -> Path:
        """Name the file of a prompt in the mailbox."""
        return self.mailbox / f"{mail_id:08d}.prompt"

    def skipped(self, mail_id: int) -> Path:
        """Name the file of a prompt that will not be delivered."""
        return self.mailbox / f"{mail_id:08d}.skipped"

    @property
    def mailbox(self) -> Path:
        return self.directory / "mail"

    @property
    def last_mail(self) -> int:
        """Return the highest number that a file of the mailbox has, 0 without any."""
        try:
            stems = [path.stem for path in self.mailbox.iterdir()]
        except OSError:
            return 0
        return max((int(stem) for stem in stems if stem.isdecimal()), default=0)


def pending(state_home: Path, run_id: str) -> SessionFiles:
    """Name the files of a session whose thread has no name yet."""
    return SessionFiles(state_home / PENDING / run_id)


def active(state_home: Path, session_id: str) -> SessionFiles:
    """Name the files of a session in use: of a thread, or of a run without one."""
    if UUID.fullmatch(session_id):
        return SessionFiles(state_home / session_id)
    return pending(state_home, session_id)


def bucket(at: datetime) -> str:
    """Name the directory of a day's archived sessions, below the state directory."""
    return f"{ARCHIVE}/{at:%Y/%m/%d}"


def placed(state_home: Path, session_id: str, archived_in: str | None) -> SessionFiles:
    """Name the files of a session where the index has it."""
    if archived_in is None:
        return active(state_home, session_id)
    return SessionFiles(state_home / archived_in)


def archived_in(state_home: Path, paths: SessionFiles) -> str | None:
    """Say of a directory what the index would: None for that of a session in use."""
    place = paths.directory.relative_to(state_home)
    return str(place) if place.parts[0] == ARCHIVE else None


def aside(state_home: Path, name: str) -> SessionFiles:
    """Name the place of a directory that is being removed."""
    return SessionFiles(state_home / f"{REMOVED}{name}-{os.urandom(4).hex()}")


def put_aside(state_home: Path, name: str) -> SessionFiles | None:
    """Find a directory of this name that was to be removed, the last one to be."""
    found = [*state_home.glob(f"{REMOVED}{name}-*")]
    last = max(found, key=lambda path: path.stat().st_ctime, default=None)
    return None if last is None else SessionFiles(last)


def is_aside(paths: SessionFiles) -> bool:
    """Tell whether a directory was to be removed."""
    return paths.directory.name.startswith(REMOVED)


def found(state_home: Path, session_id: str) -> SessionFiles | None:
    """Find the directory of a session by looking, whatever the index says."""
    in_use = active(state_home, session_id)
    if files.is_directory(in_use.directory):
        return in_use
    places = (day / session_id for day in buckets(state_home))
    there = filter(files.is_directory, places)
    return next(map(SessionFiles, there), None)


def buckets(state_home: Path) -> Iterator[Path]:
    """List the directories of the days on which sessions were archived."""
    found = [state_home / ARCHIVE]
    for _ in range(_BUCKETS_DEEP):
        found = [below for place in found for below in _numbered(place)]
    yield from found


def _numbered(directory: Path) -> Iterator[Path]:
    for name in files.names(directory):
        if name.isdecimal() and files.is_directory(directory / name):
            yield directory / name


def of_run(state_home: Path, run: Run) -> SessionFiles | None:
    """Name the files of the session that a run was started for, where it lay then.

    None for a run with a log directory of its own.
    """
    runs = Path(run.spec.log_dir)
    if runs.name == _RUNS and runs.is_relative_to(state_home):
        return SessionFiles(runs.parent)
    return None


def located(state_home: Path, run: Run) -> Run:
    """Return a run with the place where its files really are.

    Whoever moved its session may have died before that was on record.
    """
    was = of_run(state_home, run)
    if was is None or files.is_directory(was.runs):
        return run
    now = found(state_home, run.key) or _holding(state_home, run.run_id)
    return run if now is None else moved(run, now)


def _holding(state_home: Path, run_id: str) -> SessionFiles | None:
    """Find the directory that a run's record lies in, whatever it is called.

    It looks into every directory: the last resort, where all else has failed.
    """
    name = f"{PREFIX}{run_id}.meta.json"
    tops = (state_home, state_home / PENDING, *buckets(state_home))
    places = (
        SessionFiles(top / each)
        for top in tops
        for each in files.names(top)
        if not each.startswith(".")
    )
    there = (each for each in places if files.status(each.runs / name) is not None)
    return next(there, None)


def moved(run: Run, to: SessionFiles) -> Run:
    """Return a run whose session lies elsewhere now."""
    return replace(run, spec=replace(run.spec, log_dir=str(to.runs)))


def move(was: SessionFiles, now: SessionFiles) -> None:
    """Move a session in one rename; open files and locks go with it.

    Raises:
        FileFault: it cannot be moved; it is where it was.
    """
    try:
        was.directory.rename(now.directory)
    except OSError as error:
        doing = f"move {was.directory} to"
        raise FileFault(doing, now.directory, error) from error


@contextlib.contextmanager
def moving(was: SessionFiles, now: SessionFiles) -> Iterator[None]:
    """Have a session elsewhere, and back where it was when the block fails.

    Raises:
        FileFault: it cannot be moved; it is where it was.
    """
    move(was, now)
    try:
        yield
    except Exception:
        move(now, was)
        raise


def merge_mail(of: SessionFiles, to: SessionFiles) -> None:
    """Move the prompts of a directory that holds nothing else to another one.

    What stands in the way is left where it is: the move that follows tells of it.
    """
    with contextlib.suppress(OSError):
        for prompt in of.mailbox.iterdir():
            to.mailbox.mkdir(mode=0o700, exist_ok=True)
            prompt.rename(to.mailbox / prompt.name)
        of.mailbox.rmdir()
        of.directory.rmdir()


def size(paths: SessionFiles) -> int:
    """Return how many bytes of the disk a session's files take."""
    total = 0
    for name, _, entries in os.walk(paths.directory):
        for entry in entries:
            with contextlib.suppress(OSError):
                total += (Path(name) / entry).lstat().st_blocks * 512
    return total


def in_use(state_home: Path) -> set[str]:
    """Name the directories that lie where sessions in use do, ours or not."""
    try:
        with os.scandir(state_home) as entries:
            return {
                entry.name
                for entry in entries
                if entry.name not in _NOT_SESSIONS
                and not entry.name.startswith(".")
                and entry.is_dir(follow_symlinks=False)
            }
    except OSError:
        return set()
