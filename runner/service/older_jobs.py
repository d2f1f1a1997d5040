"""Jobs of the older `codex-agent`: imported, or shown while that tool runs them.

A job that it runs is not imported. Its id is kept in the ledger, and the first command
that looks at jobs after its end imports it. No file of the older tool is changed.
"""

from __future__ import annotations

import os

from parsers import json_text, loose_json
from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import clock, files
from runner.codex import home
from runner.errors import RunnerError, RunnerFault, UsageError
from runner.exports.jobs import DIRECTORY, store_of
from runner.foreign.agent_jobs import (
    DATABASE,
    KIND,
    AgentJob,
    jobs_of,
    read_agent_jobs,
)
from runner.foreign.rollouts import read_rollout
from runner.foreign.sources import History, Unreadable
from runner.ledger import database
from runner.ledger.jobs import OLDER, Job, JobTable, touched
from runner.model import Outcome
from runner.service.findings import Wish
from runner.service.importing import Import
from runner.service.older import OlderTasks, end
from runner.service.stop import Stopped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Literal

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session
    from runner.service.findings import Finding
    from runner.service.foreign_runs import Known

    Word = Literal["imported", "present", "removed", "running", "unreadable"]

_PLACE = ".codex-agent"
_KILLED = "Killed by user"


class Migrated(Struct):
    """Hold what became of one job: its id here, and its id in the older tool."""

    word: Word
    source: Path
    id: str | None = None
    older: str | None = None
    pid: int | None = None
    reason: str | None = None


def migrate(
    places: Sequence[str],
    ledger: Ledger | None,
    settings: Config,
    tell: Callable[[Path], None],
    *,
    is_trial: bool = False,
) -> Iterator[Migrated]:
    """Import the jobs of the older tool that have ended; name those that it runs.

    Args:
        places: its directories; by default that in the home directory.
        ledger: the ledger; None in a trial when there is none yet.
        settings: for the home directory, and where job records are.
        tell: is called with the place of the copies, once something is to be written.
        is_trial: only report.

    Raises:
        UsageError: one of the places does not exist.
        RunnerFault: a file or the ledger cannot be written.
    """
    own = settings.environment.get("HOME")
    found = [Path(each).absolute() for each in places]
    if not places and own and files.is_directory(Path(own) / _PLACE):
        found = [Path(own) / _PLACE]
    for each in found:
        if not files.is_directory(each):
            message = f"DIR {each}: not a directory"
            raise UsageError(message)
    for place in found:
        taking, running = _JobImport(ledger, settings, place, tell, is_trial), []
        for job in read_agent_jobs(place):
            if isinstance(job, Unreadable):
                why = job.reason
                yield Migrated(word="unreadable", source=job.source, reason=why)
            elif (holder := job.history.holder) is not None:
                running.append(job.id)
                told = Migrated(word="running", source=job.history.source, older=job.id)
                yield replace(told, pid=holder.process.pid, reason=holder.doubt)
            else:
                yield taking.take_job(job)
        if ledger is not None and not is_trial:
            _keep(ledger, {**_kept(ledger), str(place): running})


def _kept(ledger: Ledger) -> dict[str, list[str]]:
    """Return the ids of the jobs that were running, by their directories."""
    told = loose_json.object_in(ledger.value("setting", name=OLDER) or "")
    found = {name: loose_json.sequence(each) for name, each in told.items()}
    return {name: [*map(str, each)] for name, each in found.items() if each}


def _keep(ledger: Ledger, running: Mapping[str, Sequence[str]]) -> None:
    told = {name: [*each] for name, each in running.items() if each}
    if told != _kept(ledger):
        ledger.write("save_setting", name=OLDER, value=json_text.dumps(told))


class _JobImport(Import):
    """Import jobs of a directory, each with a job record; copy all files before."""

    def __init__(
        self,
        ledger: Ledger | None,
        settings: Config,
        place: Path,
        tell: Callable[[Path], None] | None,
        is_trial: bool = False,  # noqa: FBT001, FBT002 - as its caller was told
    ) -> None:
        super().__init__(ledger, settings, Wish(is_trial=is_trial))
        self._place, self._tell = place, tell

    def take_job(self, job: AgentJob) -> Migrated:
        """Import a job, and write its record; the turns of its thread if it has them.

        Raises:
            RunnerFault: a file or the ledger cannot be written.
        """
        history, source = self._in_rollout(job.history), job.history.source
        (found,) = self.take(history)
        told = Migrated(word="unreadable", source=source, older=job.id)
        if found.word not in {"imported", "present"}:
            is_removed = found.word == "removed"
            word: Word = "removed" if is_removed else "unreadable"
            return replace(told, word=word, reason=found.reason)
        short_id, is_new = self._record(job, found)
        word = "imported" if is_new or found.word == "imported" else "present"
        return replace(told, word=word, id=short_id)

    def write(self, part: History, known: Known | None, wanted: set[int]) -> bool:
        self._copy()
        return super().write(part, known, wanted)

    def _in_rollout(self, history: History) -> History:
        """Take the turns of the thread, unless the log has events or it is another."""
        paths = self.rollouts_of(history).paths_of(history.session_id or "")
        if not paths or history.runs[0].events is not None:
            return history
        found, job = read_rollout(*paths, is_wanted=lambda _: True), history.runs[0]
        if not isinstance(found, History) or not found.runs:
            return history
        if not _is_in(history.working_dir, found.working_dir):
            return replace(history, session_id=None)
        first, *rest = found.runs
        runs = [replace(first, source_run_id=job.source_run_id), *rest]
        if found.is_open:  # how the older tool has ended it
            how = {"stated": job.stated, "last_words": job.last_words}
            runs[-1] = replace(runs[-1], **how)
        writer = home.writer_of(self._settings.codex_home, history.session_id or "")
        return replace(
            found,
            kind=KIND,
            source=history.source,
            created_at=min(history.created_at, found.created_at),
            written_at=history.written_at,
            is_open=found.is_open and writer is not None,
            runs=tuple(runs),
        )

    def _record(self, job: AgentJob, found: Finding) -> tuple[str | None, bool]:
        """Write the record of a job unless there is one; return its id here."""
        ledger = self._ledger
        named = ledger.sessions.named(found.session_id) if ledger else []
        if ledger is None or not named:
            return None, True
        session = named[0]
        if self._wish.is_trial:  # a store would make its directory
            path = ledger.home / DIRECTORY / f"{session.short_id}.json"
            has_row = JobTable(ledger).load(session.short_id) is not None
            return session.short_id, not has_row and not files.is_regular(path)
        store = store_of(ledger, self._settings.environment)
        known, is_other = store.load(session.short_id), session.short_id != job.id
        if known is not None and (known.older or not is_other):
            return session.short_id, False
        self._copy()
        new = Job(id=session.short_id, effort=job.effort, parent_session=job.parent)
        older = job.id if is_other else None
        store.save(touched(replace(known or new, older=older)))
        return session.short_id, known is None

    def _copy(self) -> None:
        """Copy the ledger and the files of the jobs, before the first change."""
        if self._tell is None or self._ledger is None:
            return
        tell, self._tell = self._tell, None
        at = clock.iso(clock.now()).replace(":", "")
        to = self._ledger.home / f"codex-agent-{at}"
        jobs = jobs_of(self._place)
        try:
            files.make_directory(to / DIRECTORY)
            database.copy_database(self._ledger.path, to / database.NAME)
            found = [(jobs / name, to / DIRECTORY) for name in files.names(jobs)]
            found += [(jobs.parent / f"{DATABASE}{end}", to) for end in ("", "-wal")]
            for path, below in found:
                if files.is_regular(path):
                    files.export(below / path.name, files.lines_of([path]))
        except (RunnerError, OSError):
            files.remove_tree(to)
            raise
        tell(to)


def _is_in(told: str | None, place: str | None) -> bool:
    """Return whether a job's directory is that of a thread, if both are known."""
    known = [os.path.realpath(each) for each in (told, place) if each]
    return len({*known}) <= 1


class OlderJobs(OlderTasks):
    """Hold the jobs that the older tool runs, in a ledger in memory."""

    def __init__(self, jobs: Sequence[AgentJob], settings: Config) -> None:
        super().__init__((), settings, is_counted=False)
        self.table = JobTable(self)
        self._jobs: dict[int, AgentJob] = {}
        for job in jobs:
            self.add(job.history, is_counted=False)
            key = max(self.histories)
            new = Job(id=self.sessions.get(key).short_id, effort=job.effort)
            self.table.save(touched(replace(new, parent_session=job.parent)))
            self._jobs[key] = job

    def kill(self, session: Session, ledger: Ledger) -> Stopped:
        """End the process of a job with what it has started, and import the job."""
        job, task = self._jobs[session.key], self.histories[session.key]
        told = Stopped(
            name=job.id,
            short_id=job.id,
            has_ended=True,
            canceled=0,
            notes=(),
            error=None,
        )
        try:
            if task.holder and task.holder.doubt:
                message = f"job {job.id} is not killed: {task.holder.doubt}"
                raise RunnerFault(message, "end that process yourself")
            if task.holder:
                end(task.holder, self._settings)
            settle(ledger, self._settings, killed=job.id)
        except RunnerError as error:
            return replace(told, has_ended=False, error=error)
        return told


def settle(
    ledger: Ledger, settings: Config, killed: str | None = None
) -> OlderJobs | None:
    """Import the jobs that have ended since; return those that the older tool runs.

    Args:
        ledger: the ledger.
        settings: for the homes of Codex.
        killed: a job that was ended here.

    Raises:
        RunnerFault: a job cannot be imported.
    """
    running, left, kept = list[AgentJob](), {}, _kept(ledger)
    for name, ids in kept.items():
        place = Path(name)
        taking, going = _JobImport(ledger, settings, place, None), list[str]()
        for job in read_agent_jobs(place, ids):
            if isinstance(job, Unreadable):
                going.append(job.source.name.partition(".")[0])
            elif job.history.holder is not None:
                going.append(job.id)
                running.append(job)
            else:
                ended = _killed(job) if job.id == killed else job
                if taking.take_job(ended).word == "unreadable":
                    going.append(job.id)  # a Codex still has its thread
        left[name] = going
    if kept:
        _keep(ledger, left)
    return OlderJobs(running, settings) if running else None


def _killed(job: AgentJob) -> AgentJob:
    last = replace(job.history.runs[-1], stated=Outcome.STOPPED, last_words=_KILLED)
    return replace(job, history=replace(job.history, runs=(last,)))
