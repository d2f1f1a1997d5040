"""Write files: private, and complete or not at all."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader, FileIO
from itertools import takewhile

from parsers.light import suppress
from runner import config
from runner.errors import FileFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parsers.paths import Path

_CHUNK = 1 << 16
_LEAST_BYTES = 1 << 16
_PRIVATE_FILE, _PRIVATE_DIRECTORY = 0o600, 0o700


def make_directory(path: Path, fix: str = "") -> None:
    """Create a private directory and its parents; leave an existing one unchanged.

    Raises:
        FileFault: it cannot be created; `fix` is the hint for the user.
    """
    try:
        missing = [*takewhile(lambda each: not each.exists(), (path, *path.parents))]
        for each in reversed(missing):
            each.mkdir(mode=_PRIVATE_DIRECTORY, exist_ok=True)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except OSError as error:
        if isinstance(error, FileExistsError):
            # A file, or a link to nothing, is in its place.
            error = NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        raise FileFault("make the directory", path, error, fix) from error


def create(path: Path, content: bytes = b"") -> None:
    """Create a private file that must not exist yet, complete or not at all.

    Raises:
        FileFault: it cannot be created or written completely; nothing is left.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
    except OSError as error:
        raise FileFault("create", path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise FileFault("write", path, error) from error


def replace(path: Path, content: bytes) -> None:
    """Replace a file durably: write a temporary file beside it, fsync, rename.

    Raises:
        FileFault: it cannot be written; the old file is unchanged.
    """
    export(path, content, is_durable=True)


def export(
    path: Path, content: bytes | Iterable[bytes], *, is_durable: bool = False
) -> None:
    """Replace a file that can be rendered again: no fsync. Raise as `replace`."""
    pieces = (content,) if isinstance(content, bytes) else content
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise FileFault("write", path, error) from error


def sync(path: Path) -> None:
    """Flush a file or directory to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_own(path: Path, flags: int) -> int:
    """Open a file of a run and return its descriptor; a link in its place is an error.

    In a shared directory another user could let us write into a private file, or send
    one to Codex.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE_FILE)


def exposure(directory: Path) -> tuple[str, str] | None:
    """Say who else may replace files in a directory, and the fix; None: no user may."""
    found = status(directory)
    if found is None or found.st_mode & stat.S_ISVTX:
        return None
    who = "every user" if found.st_mode & stat.S_IWOTH else None
    if who is None and found.st_mode & stat.S_IWGRP:
        who = _others_of(found.st_gid)
    if who is None:
        return None
    return f"{who} may replace files in {directory}", f"chmod go-w {directory}"


def _others_of(number: int) -> str | None:
    """Name a group that has other members than this user."""
    import grp  # noqa: PLC0415 - few directories are writable for a group
    import pwd  # noqa: PLC0415

    with suppress(KeyError):
        group = grp.getgrgid(number)
        users = [each.pw_name for each in pwd.getpwall() if each.pw_gid == number]
        if {*group.gr_mem, *users} - {pwd.getpwuid(os.geteuid()).pw_name}:
            return f"every member of the group {group.gr_name}"
    return None


def other_owner(directory: Path) -> str | None:
    """Name the owner of a directory; None if that is this user.

    One that root would make below a directory of sudo's caller counts as the caller's.
    """
    found = status(directory)
    if found is None and not os.geteuid():
        nearest = next(filter(None, map(status, directory.parents)))
        found = nearest if str(nearest.st_uid) == config.sudo_caller() else None
    if found is None or found.st_uid == os.geteuid():
        return None
    return user_name(found.st_uid)


def user_name(number: int) -> str:
    """Return the name of a user, else the number."""
    import pwd  # noqa: PLC0415 - rare

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def append(
    path: Path, content: bytes, *, is_durable: bool = False, is_own: bool = True
) -> None:
    """Append to a file in one write, so that lines of several writers do not mix.

    A pipe without a reader, or with a slow one, is an error; the write does not block.
    A link is followed only when the user has named the file.

    Raises:
        FileFault: it cannot be opened, or not all of it could be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
    try:
        handle = (
            open_own(path, flags) if is_own else os.open(path, flags, _PRIVATE_FILE)
        )
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(handle, rest) :]
            if is_durable:
                os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise FileFault("append to", path, error) from error


def write_all(descriptor: int, content: bytes, path: Path) -> int:
    """Append to an open file; return the offset of its new end.

    Raises:
        FileFault: not all of it could be written.
    """
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError as error:
        raise FileFault("append to", path, error) from error


def append_text(path: Path, text: str) -> None:
    """Append text; escape what is not Unicode (a path's stray bytes)."""
    append(path, text.encode(errors="backslashreplace"))


def copy_to(path: Path, content: bytes) -> None:
    """Write a copy for the user: replace a file, write into a device or pipe."""
    if path.exists() and not path.is_file():
        append(path, content, is_own=False)
    else:
        replace(path.resolve(), content)


def open_regular(path: Path) -> int:
    """Open a file for reading and return its descriptor.

    A pipe or a device in the place of a file could block its reader for ever.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return handle


def reader(path: Path) -> BufferedReader:
    """Open a file as a stream. Raise as `open_regular`."""
    return BufferedReader(FileIO(open_regular(path)), _CHUNK)


def lines_of(paths: Iterable[Path]) -> Iterator[bytes]:
    """Return the lines of files, one after the other. Raise as `open_regular`."""
    for path in paths:
        with reader(path) as stream:
            yield from stream


def read_bytes(path: Path) -> bytes:
    """Read a file whole. Raise as `open_regular`, or when it cannot be read."""
    handle, pieces = open_regular(path), list[bytes]()
    try:
        while piece := os.read(handle, _CHUNK):
            pieces.append(piece)
    finally:
        os.close(handle)
    return b"".join(pieces)


def read_end(path: Path, most: int) -> tuple[int, bytes]:
    """Return the size of a file and its last bytes; nothing when it cannot be read."""
    with suppress(OSError):
        handle = open_regular(path)
        try:
            size = os.fstat(handle).st_size
            return size, os.pread(handle, most, max(0, size - most))
        finally:
            os.close(handle)
    return 0, b""


def read_text(path: Path) -> str:
    """Read a text file; return "" when it does not exist."""
    return read_if_there(path).decode(errors="replace")


def read_if_there(path: Path) -> bytes:
    """Read a whole file; return nothing when it cannot be read."""
    with suppress(OSError):
        return read_bytes(path)
    return b""


def status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None when it does not exist."""
    try:
        return path.stat()
    except (OSError, ValueError):  # a null byte in its name
        return None


def is_directory(path: Path) -> bool:
    """Return whether a path is a directory; False when that cannot be checked."""
    found = status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_regular(path: Path) -> bool:
    """Return whether a path is a regular file; False when that cannot be checked."""
    found = status(path)
    return found is not None and stat.S_ISREG(found.st_mode)


def is_utf8(path: Path) -> bool:
    """Return whether a path is UTF-8, whatever the locale."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return False
    return True


def names(directory: Path) -> list[str]:
    """List the names in a directory, sorted; nothing when it cannot be read."""
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - names are enough
    except OSError:
        return []


def read_json(path: Path) -> object:
    """Read a JSON file; None when it does not exist or is not JSON."""
    from parsers import json_text  # noqa: PLC0415 - not every command reads one

    try:
        return json_text.loads(read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return None


def free_bytes(path: Path) -> int:
    """Return the free space for the user on the disk of a path."""
    room = os.statvfs(path)
    blocks = room.f_bavail if os.geteuid() else room.f_bfree
    return blocks * room.f_frsize


def unwritable(directory: Path) -> str | None:
    """Say why nothing can be written in a directory; None if it can."""
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"{directory} cannot be written"
    has_sizes = os.statvfs(directory).f_blocks > 0
    is_full = has_sizes and free_bytes(directory) < _LEAST_BYTES
    return f"the disk of {directory} is full" if is_full else None


def remove(paths: list[Path]) -> None:
    """Remove the files of a run that was not started; ignore missing ones."""
    for path in paths:
        with suppress(OSError):
            path.unlink()


def remove_empty(directory: Path, below: Path) -> None:
    """Remove a directory and its parents up to another one, while they are empty."""
    with suppress(OSError):
        while directory != below and directory.is_relative_to(below):
            directory.rmdir()
            directory = directory.parent


def remove_tree(directory: Path) -> list[str]:
    """Remove a directory with its contents; return why files could not be removed."""
    import shutil  # noqa: PLC0415 - few commands remove

    faults: list[str] = []

    def note(_: object, path: str, fault: tuple[object, object, object]) -> None:
        error = fault[1]
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            faults.append(f"{path}: {error.strerror}")

    shutil.rmtree(directory, onerror=note)
    return faults
