"""What a test needs to know about processes, read from /proc (Linux)."""

import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.01


def wait_until(
    predicate: Callable[[], object], deadline: float = 10, what: str = ""
) -> None:
    """Poll until the predicate holds; fail the test after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not predicate():
        if time.monotonic() > end:
            awaited = what or getattr(predicate, "__name__", "the condition")
            msg = f"{awaited} did not come true within {deadline} s"
            raise AssertionError(msg)
        time.sleep(_POLL_SECONDS)


def start_time(pid: int) -> int | None:
    """Read when a process started, in clock ticks since boot; None when it is gone."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def is_alive(pid: int, starttime: int | None = None) -> bool:
    """Say whether the process runs; a zombie and a reused pid do not count."""
    fields = _stat(pid)
    if fields is None or fields[0] in {"Z", "X"}:
        return False
    return starttime is None or int(fields[19]) == starttime


def processes_below(pid: int) -> list[int]:
    """List the live descendants by parent pid; orphans have gone to init."""
    children = defaultdict(list)
    for other in _pids():
        fields = _stat(other)
        if fields is not None and fields[0] not in {"Z", "X"}:
            children[int(fields[1])].append(other)
    found, waiting = [], [pid]
    while waiting:
        below = children[waiting.pop()]
        found += below
        waiting += below
    return sorted(found)


def processes_with(variable: str, value: str) -> list[int]:
    """List the live processes that carry this variable in their environment."""
    wanted = f"{variable}={value}".encode()
    own = os.getpid()
    return [p for p in _pids() if p != own and wanted in _environment(p)]


def command_line(pid: int) -> str:
    """Show a process's arguments, for messages and for looking for secrets."""
    with suppress(OSError):
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
        return raw.replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def kill(pid: int) -> None:
    """End one process, surely."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _stat(pid: int) -> list[str] | None:
    """Give the fields of /proc/PID/stat from the state on: [0] state, [1] ppid."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
