"""Read the process table: identify and find processes.

Linux is read from /proc, other systems with psutil. When this process has run out of
descriptors or memory, a function raises `FileFault`, and never reports another process
as gone.
"""

from __future__ import annotations

import os
import sys
from functools import cache

from parsers.light import suppress
from parsers.struct import Struct
from runner.errors import FileFault, is_resource_exhaustion
from runner.model import ProcessId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from parsers.paths import Path

_LINUX = sys.platform == "linux"
# Fields of /proc/PID/stat, counted after the closing parenthesis of the name,
# which may itself hold spaces and parentheses.
_STAT_STATE, _STAT_PARENT, _STAT_START = 0, 1, 19
_GONE, _SUSPENDED = ("Z", "X", "x"), "T"
_LISTINGS = 10


class Row(Struct):
    """Hold one line of the process table."""

    pid: int
    parent: int
    start_time: int
    has_ended: bool
    is_suspended: bool = False


@cache
def here() -> Mapping[str, str]:
    """Return the kernel, PID namespace and machine, as fields of a ProcessId."""
    if _LINUX:
        found = _read("/proc/sys/kernel/random/boot_id")
        boot_id = "unknown" if found is None else found.decode().strip()
    else:
        import psutil  # noqa: PLC0415 - only where there is no /proc

        boot_id = str(int(psutil.boot_time()))
    machine = (_read("/etc/machine-id") or b"").decode(errors="replace").strip()
    namespace = _target("/proc/self/ns/pid")
    return {"boot_id": boot_id, "namespace": namespace, "machine_id": machine}


def process_of(row: Row) -> ProcessId:
    """Return the identity of the process of a row."""
    return ProcessId(pid=row.pid, start_time=row.start_time, **here())


def identify(pid: int) -> ProcessId | None:
    """Return the identity of a process; None when it is gone or a zombie."""
    row = _row(pid)
    return None if row is None or row.has_ended else process_of(row)


def exists(pid: int) -> bool:
    """Return whether a pid is in use, even by a zombie."""
    return _row(pid) is not None


def shows_this_process() -> bool:
    """Return whether the table has this process under its own pid.

    A PID namespace without a /proc of its own shows the pids of another one, or none.
    """
    return not _LINUX or _target("/proc/self") == str(os.getpid())


def this_process() -> ProcessId:
    """Return the identity of this process."""
    return child(os.getpid())


def child(pid: int) -> ProcessId:
    """Return the identity of a process that cannot vanish: this one, or its child."""
    row = _row(pid)
    return ProcessId(pid=pid, start_time=row.start_time if row else 0, **here())


def is_alive(process: ProcessId) -> bool:
    """Return whether exactly this process still runs."""
    return identify(process.pid) == process


def is_suspended(process: ProcessId) -> bool:
    """Return whether exactly this process waits for SIGCONT."""
    row = _row(process.pid)
    return row is not None and row.is_suspended and process_of(row) == process


def writers_of(path: Path) -> list[ProcessId]:
    """List the processes whose standard output is this file, parents first.

    Codex and its launcher write there; the tools that Codex starts write to pipes.
    Only /proc has this: on other systems the list is empty.
    """
    if not _LINUX:
        return []
    try:
        wanted = path.stat()
    except OSError:
        return []
    found = [row for row in read_table() if _writes_to(row.pid, wanted)]
    pids = {row.pid: row for row in found}
    found.sort(key=lambda row: (_depth(row, pids), row.pid))
    return [process_of(row) for row in found if not row.has_ended]


def writers_among(processes: Iterable[ProcessId], path: Path) -> list[ProcessId]:
    """Return those of some processes whose standard output is this file (Linux)."""
    try:
        wanted = path.stat()
    except OSError:
        return []
    return [each for each in processes if _writes_to(each.pid, wanted)]


def has_child_lists() -> bool:
    """Return whether Linux was built with lists of the children of a process."""
    return _LINUX and os.path.exists("/proc/thread-self/children")


def listed_children(pid: int) -> list[Row]:
    """List the children of a process without reading the whole table.

    If another child is reaped meanwhile, one may be missing. That does not happen to
    children of this process.
    """
    threads = f"/proc/{pid}/task"
    try:
        lists = [_read(f"{threads}/{each}/children") for each in os.listdir(threads)]
    except OSError as error:
        if is_resource_exhaustion(error):
            raise FileFault("read", threads, error) from error
        return []
    pids = [int(each) for text in lists for each in (text or b"").split()]
    return [row for each in pids if (row := _row(each))]


def by_environment(variable: str) -> dict[str, list[ProcessId]]:
    """Group the living processes by a variable of their initial environment."""
    found: dict[str, list[ProcessId]] = {}
    wanted = f"{variable}=".encode()
    for row in read_table():
        text = None if row.has_ended else _read(f"/proc/{row.pid}/environ")
        for each in (text or b"").split(b"\0"):
            if each.startswith(wanted):
                value = each[len(wanted) :].decode(errors="replace")
                found.setdefault(value, []).append(process_of(row))
    return found


def described(process: ProcessId) -> dict[str, object]:
    """Return a process as the record of a run names it: which, and its short name."""
    name = comm(process)
    return {"pid": process.pid, "name": name, "start_time": process.start_time}


def carries(process: ProcessId, variable: str, value: str) -> bool:
    """Return whether a process was started with this variable and value."""
    found = _read(f"/proc/{process.pid}/environ")
    return found is not None and f"{variable}={value}".encode() in found.split(b"\0")


def program_of(process: ProcessId) -> str:
    """Return the file name of the program of a process, or ""."""
    return os.path.basename(_target(f"/proc/{process.pid}/exe"))


def comm(process: ProcessId) -> str:
    """Return a process's short name in the kernel."""
    try:
        with open(f"/proc/{process.pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return "?"


def arguments_of(process: ProcessId) -> list[str]:
    """Return the command line of a process; nothing when it cannot be read."""
    if not _LINUX:
        import psutil  # noqa: PLC0415 - only where there is no /proc

        with suppress(psutil.Error):
            return list(psutil.Process(process.pid).cmdline())
        return []
    text = _read(f"/proc/{process.pid}/cmdline") or b""
    return text.decode(errors="replace").split("\0")[:-1]


def started_at(process: ProcessId) -> float:
    """Return when a process was started, in seconds of the epoch, to a second or so."""
    if not _LINUX:
        return process.start_time / 1_000_000
    lines = (_read("/proc/stat") or b"").splitlines()
    booted = next((line for line in lines if line.startswith(b"btime ")), b"btime 0")
    return int(booted.split()[1]) + process.start_time / os.sysconf("SC_CLK_TCK")


def parent_of(process: ProcessId) -> ProcessId | None:
    """Return the identity of the parent of a process."""
    row = _row(process.pid)
    return None if row is None else identify(row.parent)


def read_table() -> list[Row]:
    """Read the whole table, with every process that is alive at the end.

    A process may start a child after the listing and end before it is read, so the
    table is listed again.
    """
    rows: dict[int, Row] = {}
    listed: set[int] = set()
    for _ in range(_LISTINGS):
        new = _pids() - listed
        if not new:
            break
        listed |= new
        rows.update((pid, row) for pid in sorted(new) if (row := _row(pid)))
    # A process whose parent ended before it was read has another parent by now.
    for row in [row for row in rows.values() if row.parent not in rows]:
        if now := _row(row.pid):
            rows[row.pid] = now
    return list(rows.values())


def _pids() -> set[int]:
    if _LINUX:
        try:
            names = os.listdir("/proc")
        except OSError as error:
            raise FileFault("read", "/proc", error) from error
        return {int(name) for name in names if name.isdecimal()}
    import psutil  # noqa: PLC0415 - only where there is no /proc

    return set(psutil.pids())


def _row(pid: int) -> Row | None:
    if not _LINUX:
        import psutil  # noqa: PLC0415 - only where there is no /proc

        try:
            process = psutil.Process(pid)
            return Row(
                pid=pid,
                parent=process.ppid(),
                start_time=int(process.create_time() * 1_000_000),
                has_ended=process.status() == psutil.STATUS_ZOMBIE,
                is_suspended=process.status() == psutil.STATUS_STOPPED,
            )
        except psutil.Error:
            return None
    text = _read(f"/proc/{pid}/stat")
    if text is None:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    state = fields[_STAT_STATE].decode()
    return Row(
        pid=pid,
        parent=int(fields[_STAT_PARENT]),
        start_time=int(fields[_STAT_START]),
        has_ended=state in _GONE,
        is_suspended=state == _SUSPENDED,
    )


def _read(path: str) -> bytes | None:
    """Read a whole file of /proc; None when its process is gone.

    Raises:
        FileFault: this process has run out of descriptors or memory.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        if is_resource_exhaustion(error):
            raise FileFault("read", path, error) from error
        return None


def _target(link: str) -> str:
    with suppress(OSError):
        return os.readlink(link)
    return ""


def _writes_to(pid: int, wanted: os.stat_result) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.stat(f"/proc/{pid}/fd/1"), wanted)
    return False


def _depth(row: Row, among: Mapping[int, Row]) -> int:
    depth = 0
    while (parent := among.get(row.parent)) is not None and depth < len(among):
        row, depth = parent, depth + 1
    return depth
