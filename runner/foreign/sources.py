"""The runs of another tool as values, and the reading of its files.

A value has only the data of its source. No file is changed, and none is trusted. Only
regular files are opened: a pipe would block for ever. An unreadable file is an
`OSError`; the contents of a file are narrowed and never raise.
"""

from __future__ import annotations

import errno
import os

from parsers import loose_json
from parsers.facts import Facts
from parsers.light import UTC, datetime
from parsers.struct import Struct
from runner import clock, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import BinaryIO, Final, Literal

    from parsers.paths import Path
    from parsers.rollouts.thread import Rollout
    from runner.foreign.holders import Holder
    from runner.model import Outcome

    Kind = Literal[
        "codex-tasks", "codex-tasks-fifo", "run_codex_task.sh", "codex-agent", "rollout"
    ]

_LARGEST: Final = 64 << 20  # bytes of a file that is read whole, and of a line
# Errors from the contents of a source, besides OSError.
OVERWHELMED: Final = (MemoryError, RecursionError)
UNREADABLE: Final = (OSError, *OVERWHELMED)
LINK: Final = "it is a link out of the directory"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)  # where nothing tells a time


class ForeignRun(Struct):
    """One invocation of Codex, with the data of the source.

    `number` counts from 0 in the order of time. `place` is the byte of the thread's
    rollout at which its turn begins and `turn_id` Codex's name of that turn, if they
    are known. `rollout` is the file with that turn, and the place in it, if `lines` are
    made of it. `events` bounds the lines of `codex exec --json` in a file by
    the first byte and the end (None: the file's); `lines` are converted from another
    format and follow them. `is_dated` is False if the times are only estimates.

    `facts` are those of its events or its log. `error_class`, `last_words`,
    `was_aborted` and `asked_for` are more evidence for `lifecycle.judge`; `stated` is
    the outcome that the tool recorded, for a run without an end.
    """

    number: int = 0
    place: int | None = None
    turn_id: str | None = None
    prompt: str | None = None
    facts: Facts = Facts(kind="empty")
    rollout: tuple[Path, int] | None = None
    events: tuple[Path, int, int | None] | None = None
    lines: tuple[bytes, ...] = ()
    stderr: tuple[str, ...] = ()
    started_at: datetime
    ended_at: datetime
    is_dated: bool = True
    error_class: str | None = None
    last_words: str | None = None
    was_aborted: bool = False
    asked_for: str | None = None
    stated: Outcome | None = None
    exit_code: int | None = None
    model: str | None = None
    codex_version: str | None = None
    source_run_id: str | None = None

    @property
    def answer(self) -> str | None:
        return self.facts.final_message or None

    @property
    def turn(self) -> str | None:
        """The turn of the thread that the run is: its id, else its place."""
        return self.turn_id or (None if self.place is None else f"@{self.place}")

    @property
    def transcript(self) -> dict[str, object]:
        """Where the run's events are, if they stay in a rollout; else empty."""
        if self.rollout is None:
            return {}
        path, place = self.rollout
        turn = self.turn_id or f"@{place}"
        return {"path": str(path), "place": place, "turn": turn}


class History(Struct):
    """The runs of one session; `session_id` is None when Codex named no thread.

    `likely_dir` is a guess of its working directory; `codex_home` is the home to resume
    its thread in, set by the importer if it is certain. `written_at` is when the newest
    of its files was written, in nanoseconds of the epoch. `is_open` is true when the
    last turn has no recorded end. `parts` are the places of all turns of the
    thread's rollout, if it was read, and what it says of each. `holder` is the process
    that still works for it, `read_to` the end of the last complete event in its log.
    """

    session_id: str | None
    title: str | None = None
    created_at: datetime
    updated_at: datetime
    working_dir: str | None = None
    likely_dir: str | None = None
    codex_home: str | None = None
    archived_at: datetime | None = None
    kind: Kind
    source: Path
    written_at: int = 0
    is_open: bool = False
    parts: tuple[tuple[int, Rollout], ...] = ()
    holder: Holder | None = None
    read_to: int = 0
    runs: tuple[ForeignRun, ...]


class Unreadable(Struct, kw_only=False):
    """A source that cannot be imported, and why."""

    source: Path
    reason: str


class Other(Struct, kw_only=False):
    """A thread that another program than `codex exec` or the SDK began."""

    source: Path
    session_id: str
    originator: str


def opened(path: Path) -> BinaryIO:
    """Open a regular file.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    try:
        return files.reader(path)
    except ValueError as error:
        raise OSError(errno.EINVAL, "it is not the path of a file") from error


def lines(stream: BinaryIO, before: int = 0) -> Iterator[tuple[int, bytes]]:
    """Return the lines of a file, each with its offset plus what is before it.

    Lines larger than any line of Codex are left out.
    """
    offset, is_rest = before + stream.tell(), False
    while line := stream.readline(_LARGEST):
        is_whole = line.endswith(b"\n") or len(line) < _LARGEST
        if is_whole and not is_rest:
            yield offset, line
        offset, is_rest = offset + len(line), not is_whole


def lines_of(paths: Sequence[Path]) -> Iterator[tuple[int, bytes]]:
    """Return the lines of files, each with its offset in all of them.

    Raises:
        OSError: one of them cannot be read.
    """
    before = 0
    for path in paths:
        with opened(path) as stream:
            yield from lines(stream, before)
            before += stream.tell()


def texts(stream: BinaryIO) -> Iterator[bytes]:
    """Return the lines of a file without offsets."""
    return (line for _, line in lines(stream))


def content(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        OSError: it cannot be read, or is too large.
    """
    with opened(path) as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(errno.EFBIG, "it is too large", str(path))
    return data


def load(path: Path) -> Mapping[str, object]:
    """Read a JSON object.

    Raises:
        OSError: it cannot be read, or is not a JSON object.
    """
    try:
        return loose_json.load_object(content(path))
    except loose_json.NotAnObjectError as error:
        raise OSError(errno.EINVAL, f"it holds no JSON object: {error}") from error


def is_inside(path: Path, root: Path) -> bool:
    """Return whether a path stays in a directory when links are followed."""
    real, top = os.path.realpath(path), os.path.realpath(root)
    return os.path.commonpath([real, top]) == top


def why(error: BaseException) -> str:
    """Return in a few words why something could not be read."""
    if isinstance(error, MemoryError):
        return "it is too large"
    if isinstance(error, RecursionError):
        return "it nests too deeply"
    return getattr(error, "strerror", None) or str(error)


def written_at(*paths: Path) -> int:
    """Return when the newest of some files was written, in nanoseconds of the epoch."""
    found = filter(None, map(files.status, paths))
    return max((status.st_mtime_ns for status in found), default=0)


def modified(*paths: Path) -> datetime:
    """Return when the first existing one of some files was last written."""
    found = next(filter(None, map(files.status, paths)), None)
    try:
        return datetime.fromtimestamp(found.st_mtime, UTC) if found else EPOCH
    except (ValueError, OverflowError, OSError):
        return EPOCH


def instant(value: object) -> datetime | None:
    """Narrow to an instant in UTC; None for any other text."""
    try:
        found = clock.parse_iso(loose_json.text(value) or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found >= EPOCH else None  # the zero time of other languages


def said(value: object) -> str | None:
    """Narrow to a text that is not blank."""
    text = loose_json.text(value)
    return text if text and text.strip() else None


def directory(value: object) -> str | None:
    """Narrow to the absolute path of a directory."""
    text = said(value)
    return text if text and text.startswith("/") and "\0" not in text else None
