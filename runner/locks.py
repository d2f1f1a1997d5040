"""Advisory locks, which the kernel releases when their holder ends."""

from __future__ import annotations

import fcntl
import os
import stat

from parsers.light import StrEnum
from runner.errors import FileFault, is_resource_exhaustion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.paths import Path

_PRIVATE_FILE = 0o600


class Lock(StrEnum):
    """The state of a lock, read without taking it."""

    HELD = "a process holds it"
    FREE = "no process holds it"
    UNKNOWN = "its file is gone, or cannot be opened or locked"


def take(path: Path, *, flags: int = os.O_RDWR, must_exist: bool = False) -> int | None:
    """Take the exclusive lock of a file; None when another process holds it.

    The lock belongs to the open file: it is released when the last copy of the
    descriptor is closed. Child processes do not inherit it unless it is passed to
    them.

    Raises:
        FileFault: the file cannot be opened, or its file system has no locks.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW | (0 if must_exist else os.O_CREAT)
    try:
        descriptor = os.open(path, flags, _PRIVATE_FILE)
    except OSError as error:
        raise FileFault("open the lock", path, error) from error
    try:
        if take_open(descriptor):
            return descriptor
    except OSError as error:
        os.close(descriptor)
        raise FileFault("lock", path, error) from error
    os.close(descriptor)
    return None


def take_open(descriptor: int) -> bool:
    """Lock an open file for all copies of its descriptor; return whether it worked.

    Raises:
        OSError: its file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def look(path: Path) -> Lock:
    """Return whether a process holds the lock of a file, without taking it.

    Raises:
        FileFault: this process has run out of descriptors or memory.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if is_resource_exhaustion(error):
            raise FileFault("open the lock", path, error) from error
        return Lock.UNKNOWN
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Lock.UNKNOWN
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.HELD
    except OSError:
        return Lock.UNKNOWN
    finally:
        os.close(descriptor)
    return Lock.FREE
