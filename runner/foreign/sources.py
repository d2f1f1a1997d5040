"""Read files of other tools without changing or believing them.

Only regular files are opened: a pipe would wait for a writer for ever. What cannot be
read is an `OSError`; what a file holds is narrowed and never raises.
"""

from __future__ import annotations

import errno
from datetime import UTC, datetime

from parsers import loose_json
from runner import clock, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import BinaryIO, Final

_LARGEST: Final = 64 << 20  # bytes of a file that is read whole, and of a line
# What a source can do to its reader, besides what the disk says of it.
OVERWHELMED: Final = (MemoryError, RecursionError)
UNREADABLE: Final = (OSError, *OVERWHELMED)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)  # where nothing tells a time


def opened(path: Path) -> BinaryIO:
    """Open a regular file.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    try:
        return files.reader(path)
    except ValueError as error:
        raise OSError(errno.EINVAL, "it is not the name of a file") from error


def lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Return the lines of a file, each with the byte that it begins at.

    A line that is larger than any that Codex writes is left out.
    """
    offset, is_rest = stream.tell(), False
    while line := stream.readline(_LARGEST):
        is_whole = line.endswith(b"\n") or len(line) < _LARGEST
        if is_whole and not is_rest:
            yield offset, line
        offset, is_rest = offset + len(line), not is_whole


def texts(stream: BinaryIO) -> Iterator[bytes]:
    """Return the lines of a file alone."""
    return (line for _, line in lines(stream))


def content(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        OSError: it cannot be read, or is too large for what it should be.
    """
    with opened(path) as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise OSError(errno.EFBIG, "it is too large", str(path))
    return data


def load(path: Path) -> Mapping[str, object]:
    """Read a JSON object.

    Raises:
        OSError: it cannot be read, or holds something else.
    """
    try:
        return loose_json.load_object(content(path))
    except loose_json.NotAnObjectError as error:
        raise OSError(errno.EINVAL, f"it holds no JSON object: {error}") from error


def why(error: BaseException) -> str:
    """Say in a few words why something could not be read."""
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
    """Return when the first of some files that is there was last written to."""
    found = next(filter(None, map(files.status, paths)), None)
    try:
        return datetime.fromtimestamp(found.st_mtime, UTC) if found else EPOCH
    except (ValueError, OverflowError, OSError):
        return EPOCH


def instant(value: object) -> datetime | None:
    """Narrow to an instant in UTC; a text that is none is None."""
    try:
        found = clock.parse_iso(loose_json.text(value) or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found >= EPOCH else None  # the zero of other languages


def said(value: object) -> str | None:
    """Narrow to a text that says something."""
    text = loose_json.text(value)
    return text if text and text.strip() else None


def directory(value: object) -> str | None:
    """Narrow to the absolute path of a directory."""
    text = said(value)
    return text if text and text.startswith("/") and "\0" not in text else None
