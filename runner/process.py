"""Own processes and signals: start, identify, find below, end, reap.

The one invariant: no signal is ever sent to a pid whose start time was not just
seen to be the one on record.
"""

import contextlib
import os
import select
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.model import ProcessId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_LINUX = sys.platform == "linux"
_PR_SET_CHILD_SUBREAPER = 36
# Fields of /proc/PID/stat, counted after the closing parenthesis of the name,
# which may itself hold spaces and parentheses.
_STAT_STATE, _STAT_PARENT, _STAT_START = 0, 1, 19
_GONE = ("Z", "X", "x")
_DEVNULL = -3  # subprocess.DEVNULL, which is not loaded yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Hold one line of the process table."""

    pid: int
    parent: int
    start_time: int
    has_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Hold what a program is started with.

    `stdin`, `stdout` and `stderr` are open file descriptors, None is /dev/null;
    `keep` are others that it inherits. `blocked` signals wait until the program asks
    for them: one that comes before its handlers are set would end it.
    """

    argv: "Sequence[str]"
    environment: "Mapping[str, str]"
    cwd: str | None = None
    umask: int = -1
    stdin: int | None = None
    stdout: int | None = None
    stderr: int | None = None
    keep: "tuple[int, ...]" = ()
    blocked: "tuple[int, ...]" = ()


def boot_id() -> str:
    """Return what tells this boot of this machine from any other."""
    if _LINUX:
        with (
            contextlib.suppress(OSError),
            open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file,
        ):
            return file.read().strip()
        return "unknown"
    import psutil  # noqa: PLC0415 - only where there is no /proc

    return str(int(psutil.boot_time()))


def identify(pid: int) -> ProcessId | None:
    """Name a process for good, or None when it is gone or only a zombie."""
    row = _row(pid)
    if row is None or row.has_ended:
        return None
    return ProcessId(pid=pid, start_time=row.start_time, boot_id=boot_id())


def this_process() -> ProcessId:
    """Name the calling process."""
    return child(os.getpid())


def child(pid: int) -> ProcessId:
    """Name a process that cannot vanish yet: this one, or its child before `reap`."""
    row = _row(pid)
    start_time = row.start_time if row else 0
    return ProcessId(pid=pid, start_time=start_time, boot_id=boot_id())


def is_alive(process: ProcessId) -> bool:
    """Tell whether exactly this process still runs."""
    return identify(process.pid) == process


def send(process: ProcessId, number: int) -> bool:
    """Send a signal to exactly this process; tell whether it was there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "pidfd_open"):
            # The handle is taken first: what is identified then is what it points to.
            handle = os.pidfd_open(process.pid)
            try:
                if is_alive(process):
                    signal.pidfd_send_signal(handle, number)
                    return True
            finally:
                os.close(handle)
        elif is_alive(process):
            os.kill(process.pid, number)
            return True
    return False


def below(root: int, *, without: "Iterable[int]" = ()) -> list[ProcessId]:
    """List the living descendants of a process, parents before children.

    Args:
        root: the pid whose descendants are wanted; it is not listed itself.
        without: pids whose whole branches are left out.
    """
    left_out = set(without)
    children: dict[int, list[Row]] = {}
    for row in _table():
        children.setdefault(row.parent, []).append(row)
    boot = boot_id()
    found: list[ProcessId] = []
    queue = [root]
    for parent in queue:
        for row in children.get(parent, ()):
            if row.pid in left_out:
                continue
            queue.append(row.pid)
            if not row.has_ended:
                found.append(
                    ProcessId(pid=row.pid, start_time=row.start_time, boot_id=boot)
                )
    return found


class Family:
    """Know all that descends from a process, also what its parent has left behind.

    Below a subreaper whatever loses its parent is below it again. Elsewhere an
    orphan goes to init: what was once seen below is remembered.
    """

    def __init__(self, root: int, *, remember: bool = not _LINUX) -> None:
        self._root = root
        self._remember = remember
        self._seen: set[ProcessId] = set()

    def look(self) -> None:
        """Remember who is there, where the kernel does not bring orphans back."""
        if self._remember:
            for known in [self._root, *(process.pid for process in self._seen)]:
                self._seen.update(below(known))

    def members(self, *, without: "Iterable[int]" = ()) -> list[ProcessId]:
        """List the living descendants, less the branches of some of them."""
        self.look()
        left_out = set(without)
        found = below(self._root, without=left_out)
        strays = self._seen.difference(found)
        return found + [p for p in strays if p.pid not in left_out and is_alive(p)]


def writers_of(path: "Path") -> list[ProcessId]:
    """List the processes whose standard output is this file, parents first.

    Codex and its launcher write there; the tools that Codex starts write to pipes.
    Only /proc can tell: elsewhere the list is empty.
    """
    if not _LINUX:
        return []
    try:
        wanted = path.stat()
    except OSError:
        return []
    found = [row for row in _table() if _writes_to(row, wanted)]
    pids = {row.pid: row for row in found}
    found.sort(key=lambda row: (_depth(row, pids), row.pid))
    boot = boot_id()
    return [
        ProcessId(pid=row.pid, start_time=row.start_time, boot_id=boot)
        for row in found
        if not row.has_ended
    ]


def carries(process: ProcessId, variable: str) -> bool:
    """Tell whether a process was started with this environment variable."""
    try:
        with open(f"/proc/{process.pid}/environ", "rb") as file:
            return any(
                entry.startswith(variable.encode() + b"=")
                for entry in file.read().split(b"\0")
            )
    except OSError:
        return False


def program_of(process: ProcessId) -> str:
    """Return the file name of the program that a process runs, or nothing."""
    try:
        return os.path.basename(os.readlink(f"/proc/{process.pid}/exe"))
    except OSError:
        return ""


def name_of(process: ProcessId) -> str:
    """Return a process's short name, as the kernel keeps it."""
    try:
        with open(f"/proc/{process.pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return "?"


def become_subreaper() -> None:
    """Adopt every orphan below this process (Linux; elsewhere nothing happens)."""
    if _LINUX:
        import ctypes  # noqa: PLC0415 - 3 ms, for the supervisor only

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(launch: Launch) -> int:
    """Start a program in a session of its own and return its pid.

    Its end is told by `reap` alone.

    Raises:
        OSError: as the kernel says why it cannot be started.
    """
    import subprocess  # noqa: PLC0415 - 4 ms, not before a run's id is out

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, launch.blocked)
    try:
        child = subprocess.Popen(
            launch.argv,
            stdin=_or_null(launch.stdin),
            stdout=_or_null(launch.stdout),
            stderr=_or_null(launch.stderr),
            env=dict(launch.environment),
            cwd=launch.cwd,
            umask=launch.umask,
            pass_fds=launch.keep,
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    # The object would wait for its pid when it is dropped and take the status
    # away from `reap`: it is told that there is nothing to wait for.
    child.returncode = 0
    return child.pid


def reap() -> "Iterator[tuple[int, int]]":
    """Yield (pid, wait status) of every child, own or adopted, that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


@contextlib.contextmanager
def held_back(numbers: "Iterable[int]") -> "Iterator[None]":
    """Let signals wait until the end of a block."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class SparedInterrupt:
    """Tell an INT that was sent on purpose from the Ctrl-C that a script got.

    A script's background command is started deaf to INT, because a terminal sends it
    to all of a script's commands. An INT that some process sends is meant.
    """

    def __init__(self) -> None:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        self._is_wanted = ignored and hasattr(signal, "sigtimedwait")
        if self._is_wanted:
            # A blocked signal is kept although it is ignored.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])

    def was_sent(self) -> bool:
        """Tell whether one has been sent since the last call."""
        if not self._is_wanted:
            return False
        while info := signal.sigtimedwait([signal.SIGINT], 0):
            if info.si_code <= 0:
                return True
        return False


class SignalInbox:
    """Collect signals instead of being ended by them, and wait for the next.

    Handled signals are back at their default in every program started from here.
    """

    def __init__(
        self, numbers: "Iterable[int]", *, deaf_to: "Iterable[int]" = ()
    ) -> None:
        self._pending: list[int] = []
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (*numbers, signal.SIGCHLD):
            signal.signal(number, self._collect)
        for number in deaf_to:
            # Handled, not ignored: what is ignored would stay so in Codex.
            signal.signal(number, lambda *_: None)
        # Unblocked last: what came before the handlers were set is heard now.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def wait(self, seconds: float, *others: int) -> list[int]:
        """Return what has arrived, at the latest after so many seconds.

        A child's end and data at one of the other descriptors end the wait too.
        """
        if not self._pending:
            select.select([self._read, *others], (), (), seconds)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass
        arrived, self._pending = self._pending, []
        return [number for number in arrived if number != signal.SIGCHLD]

    def _collect(self, number: int, _: object) -> None:
        self._pending.append(number)


def which(program: str, search_path: str) -> str | None:
    """Find the file that a program's name stands for."""
    import shutil  # noqa: PLC0415 - 5 ms, not for the launch

    return shutil.which(program, path=search_path)


def capture(
    argv: "Sequence[str]",
    environment: "Mapping[str, str]",
    timeout: float,
    *,
    any_exit_code: bool = False,
) -> str | None:
    """Return what a short program prints, or None when it fails or takes too long."""
    import subprocess  # noqa: PLC0415 - see start

    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environment),
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    text = done.stdout.decode(errors="replace").strip()
    is_good = any_exit_code or done.returncode == 0
    return text if is_good and text else None


def _or_null(descriptor: int | None) -> int:
    return _DEVNULL if descriptor is None else descriptor


def _table() -> "Iterator[Row]":
    if _LINUX:
        for entry in os.listdir("/proc"):
            if entry.isdecimal() and (row := _row(int(entry))):
                yield row
        return
    import psutil  # noqa: PLC0415 - only where there is no /proc

    for process in psutil.process_iter():
        if row := _psutil_row(process.pid):
            yield row


def _row(pid: int) -> Row | None:
    if not _LINUX:
        return _psutil_row(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return Row(
        pid=pid,
        parent=int(fields[_STAT_PARENT]),
        start_time=int(fields[_STAT_START]),
        has_ended=fields[_STAT_STATE].decode() in _GONE,
    )


def _psutil_row(pid: int) -> Row | None:
    import psutil  # noqa: PLC0415 - only where there is no /proc

    try:
        process = psutil.Process(pid)
        return Row(
            pid=pid,
            parent=process.ppid(),
            start_time=int(process.create_time() * 1_000_000),
            has_ended=process.status() == psutil.STATUS_ZOMBIE,
        )
    except psutil.Error:
        return None


def _writes_to(row: Row, wanted: os.stat_result) -> bool:
    try:
        held = os.stat(f"/proc/{row.pid}/fd/1")
    except OSError:
        return False
    return (held.st_dev, held.st_ino) == (wanted.st_dev, wanted.st_ino)


def _depth(row: Row, among: "Mapping[int, Row]") -> int:
    depth = 0
    while (parent := among.get(row.parent)) is not None and depth < len(among):
        row, depth = parent, depth + 1
    return depth
