"""Job records as files: `jobs/<id>.json`, and the store of the configured kind.

`CODEX_AGENT_STORAGE` says where records are: `sqlite` (the table of the ledger),
`json` (these files), or `dual` (both). Runs and prompts are always in the ledger.
"""

from __future__ import annotations

import os

from parsers.light import contextmanager, suppress
from parsers.struct import Struct
from runner import clock, files, locks
from runner.errors import UsageError
from runner.ledger.jobs import (
    JobTable,
    StaleJobError,
    decode_job,
    decode_signal,
    encode,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parsers.paths import Path
    from runner.ledger.jobs import Job, JobStore, TurnEnd
    from runner.ledger.ledger import Ledger

DIRECTORY = "jobs"
VARIABLE = "CODEX_AGENT_STORAGE"
KINDS = ("sqlite", "json", "dual")
_RECORD, _SIGNAL = ".json", ".turn-complete"
_PRIVATE = 0o700
_PACE_SECONDS = 0.01


def store_of(ledger: Ledger, environment: Mapping[str, str]) -> JobStore:
    """Return the store that is configured.

    Raises:
        UsageError: there is no such kind.
        FileFault: the directory of the files cannot be made.
    """
    kind = kind_of(environment)
    if kind == "sqlite":
        return JobTable(ledger)
    jobs = JobFiles(ledger.home)
    return jobs if kind == "json" else BothStores(JobTable(ledger), jobs)


def kind_of(environment: Mapping[str, str]) -> str:
    """Return the kind that is configured. Raise as `store_of`."""
    kind = environment.get(VARIABLE) or KINDS[0]
    if kind not in KINDS:
        message = f"{VARIABLE}: {kind!r} is none of {', '.join(KINDS)}"
        raise UsageError(message)
    return kind


class JobFiles:
    """Store job records in a directory, each in files of its own.

    A file that is damaged harms its own job alone. A write replaces the file, under a
    lock of the directory, so that of two writers the newer record stays.
    """

    def __init__(self, state_home: Path) -> None:
        self._place = state_home / DIRECTORY
        files.make_directory(self._place)
        with suppress(OSError):
            if self._place.stat().st_mode & ~_PRIVATE & 0o777:
                self._place.chmod(_PRIVATE)

    def _path(self, job_id: str, kind: str) -> Path:
        return self._place / f"{job_id}{kind}"

    def save(self, job: Job) -> None:
        with self._locked():
            known = self.load(job.id)
            if known is not None and known.updated_at > job.updated_at:
                raise StaleJobError(job.id)
            files.replace(self._path(job.id, _RECORD), encode(job).encode())

    def load(self, job_id: str) -> Job | None:
        return decode_job(files.read_if_there(self._path(job_id, _RECORD)), job_id)

    def list(self) -> Sequence[Job]:
        found = (self.load(job_id) for job_id in self.ids)
        return [job for job in found if job is not None]

    @property
    def ids(self) -> Sequence[str]:
        """Name the jobs that have a record, also one that cannot be read."""
        names = (n for n in files.names(self._place) if n.endswith(_RECORD))
        return sorted(n.removesuffix(_RECORD) for n in names if not n.startswith("."))

    def __contains__(self, job_id: str) -> bool:
        return os.path.lexists(self._path(job_id, _RECORD))

    def set_aside(self, job_id: str) -> None:
        """Rename a record that cannot be read, so that another can be written."""
        path = self._path(job_id, _RECORD)
        with suppress(OSError):
            path.rename(path.with_name(f"{path.name}.damaged"))

    def remove(self, job_id: str) -> None:
        files.remove([self._path(job_id, kind) for kind in (_RECORD, _SIGNAL)])

    def write_signal(self, job_id: str, end: TurnEnd) -> None:
        files.replace(self._path(job_id, _SIGNAL), encode(end).encode())

    def read_signal(self, job_id: str) -> TurnEnd | None:
        return decode_signal(files.read_if_there(self._path(job_id, _SIGNAL)))

    def clear_signal(self, job_id: str) -> None:
        files.remove([self._path(job_id, _SIGNAL)])

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = self._place / ".lock"
        while (handle := locks.take(lock)) is None:
            clock.sleep(_PACE_SECONDS)
        try:
            yield
        finally:
            os.close(handle)


class BothStores(Struct, kw_only=False):
    """Write the table and the files; read the table, and what is newer in a file.

    A file without a row gets one when it is read.
    """

    table: JobTable
    files: JobFiles

    def save(self, job: Job) -> None:
        self.table.save(job)
        self.files.save(job)

    def load(self, job_id: str) -> Job | None:
        row, file = self.table.load(job_id), self.files.load(job_id)
        if file is None or (row is not None and row.updated_at >= file.updated_at):
            return row
        with suppress(StaleJobError):  # its session is gone, or another was faster
            self.table.save(file)
        return file

    def list(self) -> Sequence[Job]:
        ids = {*self.files.ids, *(job.id for job in self.table.list())}
        found = (self.load(job_id) for job_id in sorted(ids))
        return [job for job in found if job is not None]

    def remove(self, job_id: str) -> None:
        self.files.remove(job_id)
        self.table.remove(job_id)

    def write_signal(self, job_id: str, end: TurnEnd) -> None:
        self.table.write_signal(job_id, end)
        self.files.write_signal(job_id, end)

    def read_signal(self, job_id: str) -> TurnEnd | None:
        return self.table.read_signal(job_id) or self.files.read_signal(job_id)

    def clear_signal(self, job_id: str) -> None:
        self.table.clear_signal(job_id)
        self.files.clear_signal(job_id)
