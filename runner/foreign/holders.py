"""Find the process that works for a task of the older `codex-tasks`.

`task.pid` has the pid of `codex exec`, in the first generation that of the worker, and
nothing else. A pid is reused, so the process must have been started when the file was
written, with the arguments of the older tool.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.struct import Struct
from runner import files
from runner.process.table import (
    arguments_of,
    identify,
    is_alive,
    parent_of,
    started_at,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from parsers.paths import Path
    from runner.model import ProcessId

_LARGEST_PID: Final = 1 << 31
_WORKER: Final = {"worker", "--store-root"}
_CODEX: Final = {"exec", "--output-last-message"}
# The older tool waits 60 s for the thread, then writes the file. The kernel's times are
# rounded.
_EARLIEST_SECONDS: Final = -120.0
_LATEST_SECONDS: Final = 2.0


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
