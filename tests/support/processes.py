"""What a test needs to know about processes, read from /proc (Linux)."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.01
_QUIET_SECONDS = 1.0
# So many equal looks at its switches mean that a process sleeps.
_SETTLED = 20


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
    """List the live descendants; orphans have gone to init."""
    found, waiting = [], [pid]
    while waiting:
        below = [each for each in _children(waiting.pop()) if is_alive(each)]
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


def switches(pid: int) -> int:
    """Read how often a process has gone to wait for something."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def assert_sleeps(pid: int) -> None:
    """Wait until a process sleeps, and check that nothing wakes it up."""
    counts = [switches(pid)]

    def sleeps() -> bool:
        counts.append(switches(pid))
        return len(counts) > _SETTLED and len({*counts[-_SETTLED:]}) == 1

    wait_until(sleeps, what="the sleep of a process")
    time.sleep(_QUIET_SECONDS)  # what is watched is that nothing happens
    assert switches(pid) == counts[-1]


def kill(pid: int) -> None:
    """End one process, surely; it holds no lock and no file any more."""
    started = start_time(pid)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if started is not None:
        wait_until(lambda: not is_alive(pid, started), what=f"the end of {pid}")


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdecimal()]  # noqa: PTH208  # as below


def _children(pid: int) -> list[int]:
    """List the children of each thread of a process."""
    found = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # as below
            found += _read(f"/proc/{pid}/task/{thread}/children").split()
    return [int(each) for each in found]


def _environment(pid: int) -> list[bytes]:
    try:
        return _read(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return []


def _read(path: str) -> bytes:
    """Read a file of /proc: every test does it hundreds of times."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # pathlib takes twice as long
        return file.read()


def _stat(pid: int) -> list[str] | None:
    """Give the fields of /proc/PID/stat from the state on: [0] state, [1] ppid."""
    try:
        text = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    return text.rpartition(b")")[2].decode().split()
