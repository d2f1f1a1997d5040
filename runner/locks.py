"""Advisory locks, which the kernel releases when their holder ends."""

from __future__ import annotations

import fcntl
import os

from runner.errors import FileFault, is_resource_exhaustion
from runner.files import open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


_PRIVATE_FILE = 0o600

_PRIVATE_DIRECTORY = 0o700

PREFIX = "codex-run-"


def lock(path: Path, *, is_there: bool = False) -> int | None:
    """Take an exclusive advisory lock, made when missing; None when it is held.

    The kernel gives it back when the last copy of the descriptor is closed, also by
    a death. Programs that are started do not inherit it unless it is handed to them.

    Args:
        path: the file.
        is_there: it is a file with another use, neither made nor written to.

    Raises:
        FileFault: the file cannot be opened, or its file system knows no locks.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        handle = open_regular(path) if is_there else os.open(path, flags, _PRIVATE_FILE)
    except OSError as error:
        raise FileFault("open the lock", path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            return None
        raise FileFault("lock", path, error) from error
    return handle


def is_locked(path: Path) -> bool:
    """Tell whether some process holds the lock of this file.

    Raises:
        FileFault: this process lacks what it takes to look.
    """
    try:
        handle = open_regular(path)
    except OSError as error:
        if is_resource_exhaustion(error):
            raise FileFault("open the lock", path, error) from error
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(handle)
    return False
