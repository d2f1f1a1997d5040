"""Copy and compare the job records of the table and the files.

What is compared depends on where records are: a place that is not in use may lack
records or have older ones. The newer of two records is right; of two that say to be as
old, that of the table.
"""

from __future__ import annotations

from parsers.light import suppress
from parsers.struct import Struct, as_dict, replace
from runner.exports.jobs import DIRECTORY, KINDS, JobFiles, kind_of
from runner.ledger.jobs import Job, JobTable, StaleJobError, decode_job, touched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from runner.ledger.jobs import JobStore
    from runner.ledger.ledger import Ledger

    Kind = Literal[
        "only_in_table",
        "only_in_files",
        "different",
        "turn_end",
        "unreadable_file",
        "unreadable_row",
        "no_session",
    ]

_TO_FILES = "codex-agent migrate --to json writes the file"
_TO_TABLE = "codex-agent migrate --to sqlite writes the row"
_REPAIR = "codex-agent verify-storage --repair"


class Difference(Struct):
    """Hold a difference between the table and the files, of one job, and its fix."""

    id: str
    kind: Kind
    detail: str
    fix: str
    fixed: bool = False


class Storage:
    """The records of both places; `kind` is where they are to be."""

    def __init__(self, ledger: Ledger, environment: Mapping[str, str]) -> None:
        self.kind = kind_of(environment)
        self._ledger, self._table = ledger, JobTable(ledger)
        self._files = JobFiles(ledger.home)

    @property
    def ids(self) -> Sequence[str]:
        """Name the jobs that have a record, readable or not."""
        rows = self._ledger.all("jobs")
        return sorted({*self._files.ids, *(row["id"] for row in rows)})

    def copy(self, to: str) -> tuple[int, Sequence[str]]:
        """Write records where they are missing, or older.

        Args:
            to: one of `KINDS`.

        Returns:
            How many were written, and the jobs whose session is gone.

        Raises:
            RunnerFault: a file or the ledger cannot be written.
        """
        written, gone = 0, list[str]()
        table, in_files = self._table, self._files
        pairs: Sequence[tuple[str, JobStore, JobStore]] = (
            (KINDS[0], in_files, table),
            (KINDS[1], table, in_files),
        )
        for kind, source, target in pairs:
            if to not in {kind, KINDS[2]}:
                continue
            for job in source.list():
                known = target.load(job.id)
                if known is not None and known.updated_at >= job.updated_at:
                    continue
                try:
                    _write(job, source, target)
                    written += 1
                except StaleJobError:
                    gone.append(job.id)
        return written, gone

    def differences(self) -> list[Difference]:
        """Compare all records; one that was being written is compared again."""
        found = filter(None, map(self._compare, self.ids))
        return [*filter(None, (self._compare(each.id) for each in found))]

    def _compare(self, job_id: str) -> Difference | None:
        with self._ledger.snapshot():
            record = self._ledger.one("job", id=job_id)
            has_session = self._ledger.value("has_short_id", text=job_id)
        row = decode_job(record["record"], job_id) if record else None
        file, has_file = self._files.load(job_id), job_id in self._files
        if has_file and not has_session:
            detail, fix = "its session is gone", f"{_REPAIR} removes the file"
            return Difference(id=job_id, kind="no_session", detail=detail, fix=fix)
        if has_file and file is None:
            detail = f"{DIRECTORY}/{job_id}.json cannot be read"
            fix = f"{_REPAIR} {'writes it' if row else 'sets it aside'}"
            return Difference(id=job_id, kind="unreadable_file", detail=detail, fix=fix)
        if record and row is None:
            fix = f"{_REPAIR} {'takes the file' if file else 'writes a new one'}"
            detail = "its row cannot be read"
            return Difference(id=job_id, kind="unreadable_row", detail=detail, fix=fix)
        return self._difference(job_id, row, file)

    def _difference(
        self, job_id: str, row: Job | None, file: Job | None
    ) -> Difference | None:
        table, both = self.kind == KINDS[0], self.kind == KINDS[2]
        if row is None and file is None:
            return None
        if file is None:
            missing = Difference(
                id=job_id, kind="only_in_table", detail="it has no file", fix=_TO_FILES
            )
            return None if table else missing
        if row is None:
            missing = Difference(
                id=job_id, kind="only_in_files", detail="it has no row", fix=_TO_TABLE
            )
            return missing if both or table else None
        # A place that is not in use stays as it was when it was left.
        is_left = (file if table else row).updated_at < (
            row if table else file
        ).updated_at
        if row != file and (both or not is_left):
            was, now = as_dict(row), as_dict(file)
            names = ", ".join(name for name in was if was[name] != now[name])
            newer = "row" if row.updated_at >= file.updated_at else "file"
            fix = f"{_REPAIR} takes the {newer}, which is newer"
            return Difference(id=job_id, kind="different", detail=names, fix=fix)
        ends = [each.read_signal(job_id) for each in (self._table, self._files)]
        if both and ends[0] != ends[1]:
            fix, detail = f"{_REPAIR} takes the row", "the end of its last turn"
            return Difference(id=job_id, kind="turn_end", detail=detail, fix=fix)
        return None

    def repair(self, found: Difference) -> Difference:
        """Remove a difference; it stays when it was not, or another came.

        Raises:
            RunnerFault: a file or the ledger cannot be written.
        """
        job_id = found.id
        row, file = self._table.load(job_id), self._files.load(job_id)
        if found.kind == "no_session":
            self._files.remove(job_id)
        elif row is None and file is None:
            self._files.set_aside(job_id)
            self._table.remove(job_id)
            new = touched(Job(id=job_id))
            for each in self._used:
                each.save(new)
        elif file is None or (row is not None and row.updated_at >= file.updated_at):
            if row is not None:
                _write(row, self._table, self._files)
        else:
            if found.kind == "unreadable_row":
                self._table.remove(job_id)
            with suppress(StaleJobError):
                _write(file, self._files, self._table)
        return replace(found, fixed=self._compare(job_id) is None)

    @property
    def _used(self) -> Sequence[JobStore]:
        stores: Mapping[str, Sequence[JobStore]] = {
            KINDS[0]: (self._table,),
            KINDS[1]: (self._files,),
        }
        return stores.get(self.kind, (self._table, self._files))


def _write(job: Job, source: JobStore, target: JobStore) -> None:
    """Write a record with the end of the last turn."""
    target.save(job)
    end = source.read_signal(job.id)
    if end is None:
        target.clear_signal(job.id)
    else:
        target.write_signal(job.id, end)
