"""Look into other people's files without changing or believing them.

Only regular files are opened: a pipe would wait for a writer for ever. Whatever cannot
be read is an `OSError`, what a file holds is narrowed and never raises.
"""

from __future__ import annotations

import errno
import json
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
_UUID_WITH_TIME: Final = "7"


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
    """Give the lines of a file, each with the byte that it begins at.

    One that is too large to be anybody's is passed over.
    """
    offset, is_rest = stream.tell(), False
    while line := stream.readline(_LARGEST):
        is_whole = line.endswith(b"\n") or len(line) < _LARGEST
        if is_whole and not is_rest:
            yield offset, line
        offset, is_rest = offset + len(line), not is_whole


def texts(stream: BinaryIO) -> Iterator[bytes]:
    """Give the lines of a file alone."""
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


def words(path: Path) -> str | None:
    """Read a text; None when it cannot be read or says nothing."""
    try:
        text = content(path).decode("utf-8", "replace").strip()
    except OSError:
        return None
    return text or None


def why(error: Exception) -> str:
    """Say in a few words why something could not be read."""
    match error:
        case MemoryError():
            return "it is too large"
        case RecursionError():
            return "it nests too deeply"
        case _:
            return getattr(error, "strerror", None) or str(error)


def names(directory: Path) -> list[str]:
    """List what is in a directory, in order.

    Raises:
        OSError: it cannot be listed.
    """
    return sorted(path.name for path in directory.iterdir())


def exists(path: Path) -> bool:
    """Tell whether something has this name, if only a link that leads nowhere."""
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def modified(path: Path) -> datetime | None:
    """Return when a file was last written to."""
    found = files.status(path)
    return None if found is None else _at(found.st_mtime)


def instant(value: object) -> datetime | None:
    """Narrow to an instant in UTC; a text that is none is None."""
    try:
        found = clock.parse_iso(loose_json.text(value) or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found >= EPOCH else None  # the zero of other languages


def made_at(thread_id: str | None) -> datetime | None:
    """Return when a thread was opened, which its id tells in version 7."""
    if thread_id is None or thread_id[14:15] != _UUID_WITH_TIME:
        return None
    return _at(int(thread_id[:8] + thread_id[9:13], 16) / 1000)


def said(value: object) -> str | None:
    """Narrow to a text that says something."""
    text = loose_json.text(value)
    return text if text and text.strip() else None


def plain(value: object) -> Mapping[str, object]:
    """Make an object of a foreign record fit to be written as JSON again."""
    try:
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        return loose_json.mapping(json.loads(text, parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        return {}


def _at(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
