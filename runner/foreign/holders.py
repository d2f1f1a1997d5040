"""Find the process that works for a task of the older `codex-tasks`.

`task.pid` has the pid of `codex exec`, in the first generation that of the worker, and
nothing else. A pid is reused, so the process must have been started when the file was
written, with the arguments of the older tool.
"""

from __future__ import annotations

from functools import cached_property

from parsers import loose_json
from parsers.struct import Struct
from runner import files
from runner.process.table import (
    arguments_of,
    identify,
    is_alive,
    parent_of,
    process_of,
    read_table,
    started_at,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from parsers.paths import Path
    from runner.model import ProcessId
    from runner.process.table import Row

_LARGEST_PID: Final = 1 << 31
_WORKER: Final = {"worker", "--store-root"}
_CODEX: Final = {"exec", "--output-last-message"}
# The older tool waits 60 s for the thread, then writes the file. The kernel's times are
# rounded.
_EARLIEST_SECONDS: Final = -120.0
_LATEST_SECONDS: Final = 2.0
# What the older codex-agent starts a job with.
_SHELLS: Final = ("bash", "sh", "dash", "zsh")
_SCRIPT: Final = "script"


class Holder(Struct):
    """The process of a running task.

    `worker` is its parent, if that is the one that records its end. `doubt` is why the
    process may belong to another program: then no command signals it.
    """

    process: ProcessId
    worker: ProcessId | None = None
    doubt: str | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the task is still being written."""
        return any(each and is_alive(each) for each in (self.process, self.worker))


def holder_of(directory: Path) -> Holder | None:
    """Return the process of a task; None when there is none, or another program's.

    Raises:
        FileFault: this process has run out of descriptors or memory.
    """
    path = directory / "task.pid"
    pid = loose_json.integer(files.read_text(path)) or 0
    written = files.status(path)
    process = identify(pid) if 0 < pid < _LARGEST_PID else None
    if process is None or written is None:
        return None
    words = arguments_of(process)
    is_its = _WORKER.issubset(words) or _CODEX.issubset(words)
    late = started_at(process) - written.st_mtime
    is_timely = _EARLIEST_SECONDS <= late <= _LATEST_SECONDS
    if is_its and is_timely:
        above = parent_of(process)
        is_worker = above is not None and _WORKER.issubset(arguments_of(above))
        return Holder(process=process, worker=above if is_worker else None)
    if not (is_its or is_timely):
        return None
    told = "it was not started when task.pid was written"
    if is_timely:
        told = "its command line is not that of the older tool"
    doubt = f"process {pid} may be another program's: {told}"
    return Holder(process=process, doubt=doubt)


class JobProcesses:
    """Find the processes of jobs of the older `codex-agent`, in one look at all."""

    @cached_property
    def _rows(self) -> Mapping[int, tuple[Row, str, list[str]]]:
        """The programs that it starts jobs with, with their arguments."""
        found = {}
        for row in read_table():
            words = [] if row.has_ended else arguments_of(process_of(row))
            program = words[0].rpartition("/")[2] if words else ""
            if program in {_SCRIPT, *_SHELLS}:
                found[row.pid] = row, program, words
        return found

    def holder(
        self, files_of: Path, pid: int | None, created_at: float
    ) -> Holder | None:
        """Return the process of a job; None when there is none, or another program's.

        It is the outermost of those whose command line has a file of the job.

        Args:
            files_of: the path of the job's files, without what tells them apart.
            pid: that of its record, if there is one.
            created_at: when the job was, in seconds of the epoch.

        Raises:
            FileFault: this process has run out of descriptors or memory.
        """
        rows, start = self._rows, f"{files_of}."
        its = [each for each, found in rows.items() if _is_of(*found[1:], start)]
        outer = [rows[each][0] for each in its if rows[each][0].parent not in its]
        for row in sorted(outer, key=lambda row: row.start_time):
            process = process_of(row)
            if _is_of_the_time(process, created_at):
                return Holder(process=process)
            return _doubted(process, "it was not started when the job was")
        named = identify(pid) if pid and 0 < pid < _LARGEST_PID else None
        if named is None or not _is_of_the_time(named, created_at):
            return None
        return _doubted(named, "its command line is not that of the older tool")


def _doubted(process: ProcessId, why: str) -> Holder:
    doubt = f"process {process.pid} may be another program's: {why}"
    return Holder(process=process, doubt=doubt)


def _is_of_the_time(process: ProcessId, created_at: float) -> bool:
    late = started_at(process) - created_at
    return -_LATEST_SECONDS <= late <= -_EARLIEST_SECONDS


def _is_of(program: str, words: Sequence[str], start: str) -> bool:
    """Return whether a command line is that of a job: its launcher, or its terminal."""
    if program == _SCRIPT:
        return any(word.startswith(start) for word in words)
    return any(
        word == f"{start}sh"
        or (start in word and (" exec " in word or _SCRIPT in word))
        for word in words[1:]
    )
