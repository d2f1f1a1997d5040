"""Job records of `codex-agent`: what neither the run nor the session knows of a job.

A job is a session; the id of the job is the short id of the session. Where the records
are is a setting: this table, files (`exports.jobs`), or both.
"""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.struct import Struct, as_dict, replace
from runner import clock
from runner.errors import RunnerError, StaleStateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from runner.ledger.ledger import Ledger

    class JobStore(Protocol):
        """Store job records, and the end of the last turn of each."""

        def save(self, job: Job) -> None:
            """Write a record.

            Raises:
                StaleJobError: there is one of this job that is newer.
            """

        def load(self, job_id: str) -> Job | None:
            """Return the record of a job; None when there is none that can be read."""

        def list(self) -> Sequence[Job]:
            """Return all records that can be read."""

        @property
        def ids(self) -> Sequence[str]:
            """Name the jobs that have a record, without reading it."""

        def remove(self, job_id: str) -> None:
            """Remove all that is stored of a job."""

        def write_signal(self, job_id: str, end: TurnEnd) -> None:
            """Write the end of the last turn."""

        def read_signal(self, job_id: str) -> TurnEnd | None:
            """Return the end of the last turn; None when one runs."""

        def clear_signal(self, job_id: str) -> None:
            """Remove the end of the last turn: another text was sent."""


# The setting of the ledger that has the ids of the jobs that the older tool runs.
OLDER = "older jobs"


class Job(Struct):
    """Hold the record of a job.

    `files` are the paths that were attached to its prompt, `map_name` the file of the
    codebase map, `constraints` the names of the blocks that were added. `effort` is
    what Codex was given, None where its configuration decides. `shown_by` is `spawn`,
    or `tmux` for a job whose log is shown in a pane. `older` is the id that it had in
    the older tool, when that is another one.
    """

    id: str
    parent_session: str | None = None
    label: str | None = None
    effort: str | None = None
    files: tuple[str, ...] = ()
    map_name: str | None = None
    constraints: tuple[str, ...] = ()
    shown_by: str = "spawn"
    older: str | None = None
    updated_at: str = ""


class TurnEnd(Struct):
    """Hold the end of the last turn of a job: the turn, its answer, and when."""

    turn: str
    message: str | None
    at: str


class StaleJobError(StaleStateError):
    """Refuse a record: a newer one is stored, or its session was removed."""

    def __init__(self, job_id: str) -> None:
        RunnerError.__init__(self, f"job {job_id} was changed or deleted meanwhile")


def touched(job: Job) -> Job:
    """Return a record as one that is changed now: always newer than it was."""
    now = clock.iso(clock.now())
    if job.updated_at >= now:
        now = clock.iso(clock.after(clock.parse_iso(job.updated_at), 0.001))
    return replace(job, updated_at=now)


def encode(value: Job | TurnEnd) -> str:
    """Write a record as JSON."""
    return json_text.dumps(as_dict(value))


def decode_job(data: str | bytes, job_id: str) -> Job | None:
    """Read a record; None when it is not one of this job."""
    told = _object(data)
    if told.get("id") != job_id or not isinstance(told.get("updated_at"), str):
        return None

    def text(name: str) -> str | None:
        return loose_json.text(told.get(name))

    def texts(name: str) -> tuple[str, ...]:
        value = told.get(name)
        return tuple(map(str, value)) if isinstance(value, list) else ()

    return Job(
        id=job_id,
        parent_session=text("parent_session"),
        label=text("label"),
        effort=text("effort"),
        files=texts("files"),
        map_name=text("map_name"),
        constraints=texts("constraints"),
        shown_by="tmux" if told.get("shown_by") == "tmux" else "spawn",
        older=text("older"),
        updated_at=str(told["updated_at"]),
    )


def decode_signal(text: str | bytes) -> TurnEnd | None:
    """Read the end of a turn; None when it is damaged."""
    told = _object(text)
    turn, at = loose_json.text(told.get("turn")), loose_json.text(told.get("at"))
    if not turn or not at:
        return None
    return TurnEnd(turn=turn, message=loose_json.text(told.get("message")), at=at)


def _object(text: str | bytes) -> Mapping[str, object]:
    try:
        return loose_json.mapping(json_text.loads(text))
    except (ValueError, RecursionError):
        return {}


class JobTable:
    """Store job records in the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def save(self, job: Job) -> None:
        how = {"id": job.id, "record": encode(job), "at": job.updated_at}
        if not self._ledger.write("save_job", **how):
            raise StaleJobError(job.id)

    def load(self, job_id: str) -> Job | None:
        row = self._ledger.one("job", id=job_id)
        return None if row is None else decode_job(row["record"], job_id)

    def list(self) -> Sequence[Job]:
        rows = self._ledger.all("jobs")
        found = [decode_job(row["record"], row["id"]) for row in rows]
        return [job for job in found if job is not None]

    @property
    def ids(self) -> Sequence[str]:
        return [row["id"] for row in self._ledger.all("job_ids")]

    def remove(self, job_id: str) -> None:
        self._ledger.write("remove_job", id=job_id)

    def write_signal(self, job_id: str, end: TurnEnd) -> None:
        self._ledger.write("signal_job", id=job_id, signal=encode(end))

    def read_signal(self, job_id: str) -> TurnEnd | None:
        row = self._ledger.one("job", id=job_id)
        signal = None if row is None else row["signal"]
        return None if signal is None else decode_signal(signal)

    def clear_signal(self, job_id: str) -> None:
        self._ledger.write("signal_job", id=job_id, signal=None)
