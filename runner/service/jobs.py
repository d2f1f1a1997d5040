"""The jobs of `codex-agent`: sessions with a job record, and what each is told as.

A run is a turn: `await_turns` returns its end to every waiter, until another text is
sent to the job.
"""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.light import suppress
from parsers.struct import Struct, replace
from runner import clock
from runner.errors import (
    LedgerFault,
    NoSuchTaskError,
    RunnerError,
    SessionBusyError,
    WaitTimeoutError,
)
from runner.exports.jobs import KINDS, VARIABLE, store_of
from runner.exports.run_exports import SAID
from runner.ledger.jobs import OLDER, JobTable, TurnEnd, touched
from runner.lifecycle.recover import sweep
from runner.service import lookup
from runner.service.job_states import (
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    WAITS_FOR_LONG,
    paths,
    status_of,
    tokens,
    turn_state,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from runner.config import Config
    from runner.ledger.jobs import Job, JobStore
    from runner.ledger.ledger import Ledger
    from runner.ledger.prompts import PromptOptions
    from runner.ledger.sessions import Session
    from runner.model import Run, RunRequest
    from runner.service.older_jobs import OlderJobs

    Json = dict[str, Any]

# The order of the list.
_ORDER = (RUNNING, PENDING, FAILED, COMPLETED)
_PROMPT, _SUMMARY, _MESSAGE = 100, 500, 500
_PACE_SECONDS, _SWEEP_SECONDS = 0.01, 1.0
_ACCOUNT = {
    "limit": "the usage limit of its account is reached",
    "login": "the login of its account was refused",
}
# Why a text has ended without a turn.
_NEVER = {
    "stopped": "killed before its first turn",
    "dependency_failed": "a job that it waits for (--after) has not succeeded",
}


class Ended(Struct):
    """Hold the end of a turn of a job; without a run, why it will have no turn."""

    session: Session
    turn: str | None = None
    at: str | None = None
    run: Run | None = None
    error: str | None = None
    is_limited: bool = False


class Jobs:
    """Find, start and report jobs.

    `older` are those that the older tool runs, if there are any, in a ledger of their
    own.
    """

    def __init__(
        self, ledger: Ledger, settings: Config, older: OlderJobs | None = None
    ) -> None:
        self.ledger = self._ledger = ledger
        self._settings, self.older_jobs = settings, older
        self._fresh: list[Json] = []
        self.older: Jobs | None = None
        if older is not None:
            self.store: JobStore = older.table
            return
        self.store = store_of(ledger, settings.environment)
        if ledger.value("setting", name=OLDER) is not None:
            from runner.service.older_jobs import settle  # noqa: PLC0415 - seldom

            found = settle(ledger, settings)
            self.older = Jobs(found, settings, found) if found else None

    def find(self, text: str) -> Session:
        """Return the session of a job: by its id or a prefix, its thread or a run.

        Raises:
            NoSuchTaskError: there is no such session, or it is no job.
            SessionBusyError: the older tool runs it.
            UsageError: several match.
        """
        jobs, session = self.owner(text)
        holder = jobs.older_jobs and jobs.older_jobs.histories[session.key].holder
        if holder:
            fix = "codex-agent kill ends it, status shows it"
            pid = holder.process.pid
            raise SessionBusyError(session.short_id, "", fix, pid=pid)
        return session

    def find_all(self, texts: Sequence[str]) -> list[Session]:
        """Return the sessions of jobs, each once; raises as `find`."""
        return [*{each.key: each for each in map(self.find, texts)}.values()]

    def owner(self, text: str) -> tuple[Jobs, Session]:
        """Return a job, with the jobs that it is one of. Raise as `find`.

        An id that a job had in the older tool is one of it, unless another job has it.
        """
        task: str | None = None
        with suppress(NoSuchTaskError):
            session = lookup.find(text, self._ledger)
            if self.store.load(session.short_id) is not None:
                return self, session
            task = session.short_id
        for job in self.store.list():
            if job.older == text:
                return self, self._ledger.sessions.named(job.id)[0]
        if self.older is None:
            raise NoSuchJobError(text, task)
        return self.older.owner(text)

    def start(
        self,
        request: RunRequest,
        job: Job,
        options: PromptOptions,
        warn: Callable[[str], None],
    ) -> tuple[Session, str | None]:
        """Open a session with a job record, and start its first turn if that can be.

        Returns the session and the run, None for a job that waits.

        Raises:
            RunnerFault: Codex could not be launched; the job stays on record.
            RunnerError: as `start.opened`; nothing is on record.
        """
        from runner.lifecycle import timer  # noqa: PLC0415 - not for a look at jobs
        from runner.lifecycle.queue import deliver_next  # noqa: PLC0415 - as above
        from runner.service import queue, send, start  # noqa: PLC0415 - as above

        ledger, settings = self._ledger, self._settings
        key, number = start.opened(request, ledger, settings, options)
        session = ledger.sessions.get(key)
        self.store.save(touched(replace(job, id=session.short_id)))
        try:
            started = deliver_next(key, ledger, settings, number)
            timer.wake(ledger, settings)
            if started is not None:
                send.launched(started, ledger, settings, warn)
        except RunnerError:
            name = session.short_id
            warn(f"job {name} could not be launched (codex-agent status {name})")
            # Its caller starts another job, which must not be done twice.
            with suppress(RunnerError):
                queue.remove(number, ledger)
            raise
        if started is None and (end := ledger.queue.end_of(number)):
            warn(end)
        return session, None if started is None else started.run_id

    def all(self, most: int | None) -> list[Json]:
        """Report jobs: those at work first, then what waits, failed and completed.

        In each state the newest is first. `most` limits the whole list.
        """
        return [
            json_text.loads(each) if isinstance(each, str) else each
            for each in self.texts(most)
        ]

    def texts(self, most: int | None) -> list[Json | str]:
        """Report jobs as `all` does; one that has ended before as the text of JSON.

        That text is stored with what it depends on: of 2,000 jobs it takes 50 ms.
        """
        found = [(row, by) for by in (self, self.older) if by for row in by.states()]
        found.sort(key=lambda each: each[0]["created_at"], reverse=True)
        found.sort(key=lambda each: _ORDER.index(each[0]["status"]))
        found = found[:most]
        # A file may be newer than the row, which the stored texts are of.
        has_texts = isinstance(self.store, JobTable)
        mine = [row for row, by in found if by is self and has_texts]
        viewed = [row["session"] for row in mine if row["is_viewed"]]
        rows = self._ledger.all("job_texts", sessions=json_text.dumps(viewed))
        known = {row["session"]: str(row["text"]) for row in rows}
        told: list[Json | str] = []
        for row, by in found:
            text = known.get(row["session"]) if by is self else None
            if text is not None:
                told.append(text)
            elif (job := by.store.load(row["id"])) is not None:
                told.append(by.report(job, row["session"]))
                if by is self and has_texts and row["status"] in {COMPLETED, FAILED}:
                    self._note(row, told[-1])
        return told

    def states(self) -> list[Any]:
        """Return a row with the state of each job."""
        return self._ledger.all("job_states", ids=json_text.dumps([*self.store.ids]))

    def _note(self, row: Any, report: object) -> None:  # noqa: ANN401 - a row
        if row["version"] is not None:
            kept = {name: row[name] for name in ("session", "version", "status")}
            self._fresh.append({**kept, "text": json_text.dumps(report)})

    def keep(self) -> None:
        """Store the reports of jobs that have ended since the last list."""
        with suppress(LedgerFault), self._ledger.transaction():
            for each in self._fresh:
                self._ledger.change("save_job_view", **each)

    def report(self, job: Job, session: int) -> Json:
        """Report one job: the keys of the older tool in their order, then ours."""
        row, run = self._ledger.sessions.line(session), self._last(session)
        status = status_of(row)
        began = row["launched_at"]
        ended = row["ended_at"] if status in {COMPLETED, FAILED} else None
        end = clock.now() if ended is None else clock.parse_iso(ended)
        since = clock.parse_iso(began or row["created_at"])
        accounts = run.accounts if run is not None and status == COMPLETED else {}
        usage = loose_json.mapping(accounts.get("token_usage"))
        said = loose_json.mapping(accounts.get(SAID))
        answer = loose_json.text(said.get("final_message"))
        changed = said.get("files_changed")
        verdict = run.verdict if run else None
        return {
            "id": job.id,
            "status": status,
            "prompt": (row["prompt"] or (run.spec.task if run else ""))[:_PROMPT],
            "model": run.accounts.get("model") or run.spec.codex.model if run else None,
            "reasoning": job.effort,
            "cwd": row["working_dir"],
            "elapsed_ms": round((end - since).total_seconds() * 1000),
            "created_at": row["created_at"],
            "started_at": began,
            "completed_at": ended,
            "tokens": tokens(usage, accounts) if usage else None,
            "files_modified": paths(changed) if accounts else None,
            "summary": answer[:_SUMMARY] if answer else None,
            "session_id": run.thread if run else None,
            "outcome": verdict.outcome if verdict else row["outcome"],
            "error": (verdict and verdict.error) or self._why_never(session, row),
            "error_class": row["error_class"],
            "exit_code": verdict.exit_code if verdict else None,
            "turn_state": turn_state(row),
            "usage": {"total_tokens": row["tokens"]},
            "cost": {"usd": row["usd"] if row["priced"] else None},
            "runner": job.shown_by,
            "label": job.label,
            "parent_session": job.parent_session,
            "worktree": run.worktree if run else None,
        }

    def _last(self, session: int) -> Run | None:
        unfinished = self._ledger.runs.unfinished(session)
        return next(iter(unfinished), None) or self._ledger.runs.latest(session)

    def _why_never(self, session: int, row: Json) -> str | None:
        """Tell why the text of a job has had no turn, and will have none soon."""
        if row["queue"] and row["why"] == "held":
            return f"{row['hold']}"
        if row["queue"] or row["last_run"]:
            return _ACCOUNT.get(row["why"]) if row["queue"] else None
        reason = self._ledger.value("end_of_text", session=session)
        return _NEVER.get(f"{reason}", f"its text has ended: {reason}")

    def end_of_turn(self, session: Session) -> tuple[TurnEnd, Run] | None:
        """Return the end of the last turn, None while one runs or a text waits.

        It is stored, and gone from the store when another text is sent.
        """
        key, job_id = session.key, session.short_id
        with self._ledger.snapshot():
            row, run = self._ledger.sessions.line(key), self._ledger.runs.latest(key)
        is_over = row["queue"] == 0 or row["why"] in WAITS_FOR_LONG
        # Not of a text that waits since: it was given to no run.
        if run and row["queue"] and is_over:
            head = self._ledger.queue.head(key)
            is_over = head is None or head.id == run.spec.prompt_id
        if run is None or row["run_state"] != "finished" or not is_over:
            self.store.clear_signal(job_id)
            return None
        said = loose_json.mapping(run.accounts.get(SAID))
        message = loose_json.text(said.get("final_message"))
        at = clock.iso(run.ended_at or clock.now())
        message = message[:_MESSAGE] if message else None
        end = TurnEnd(turn=run.run_id, message=message, at=at)
        if self.store.read_signal(job_id) != end:
            self.store.write_signal(job_id, end)
        return end, run

    def await_turns(
        self,
        sessions: Sequence[Session],
        *,
        for_any: bool = False,
        timeout: float | None = None,
        after: str | None = None,
    ) -> Iterator[Ended]:
        """Yield each job whose turn has ended, also one that has ended before.

        So is one that will have no turn: its text was canceled, say.

        Args:
            sessions: those of the jobs.
            for_any: end with the first.
            timeout: the time limit in seconds; None is without limit.
            after: a turn; only a later one counts.

        Raises:
            WaitTimeoutError: the time is up.
        """
        left, version = {each.key: each for each in sessions}, -1
        began = looked = clock.monotonic()
        while left:
            now = clock.monotonic()
            written = self._ledger.version()
            if written != version or now - looked >= _SWEEP_SECONDS:
                version, looked = written, now
                sweep(self._ledger, self._settings)
                for session in [*left.values()]:
                    found = self.ended(session)
                    if found is not None and (not after or found.turn != after):
                        del left[session.key]
                        yield found
                        if for_any:
                            return
            if timeout is not None and now - began >= timeout:
                names = ", ".join(each.short_id for each in left.values())
                message = f"after {timeout:g} s no turn of {names} has ended"
                raise WaitTimeoutError(message)
            clock.sleep(_PACE_SECONDS)

    def doubts(self) -> list[str]:
        """Say of jobs that the older tool may run why that is not certain."""
        told = self.older_jobs.histories.values() if self.older_jobs else ()
        return [each.holder.doubt for each in told if each.holder and each.holder.doubt]

    def ended(self, session: Session) -> Ended | None:
        """Return the end of the last turn; None while one runs, or will run."""
        if found := self.end_of_turn(session):
            end, run = found
            return Ended(session=session, turn=end.turn, at=end.at, run=run)
        with self._ledger.snapshot():
            row = self._ledger.sessions.line(session.key)
            is_idle = row["run_state"] in {None, "finished"}
            if is_idle and (why := self._why_never(session.key, row)):
                is_limited = bool(row["queue"]) and row["why"] == "limit"
                return Ended(session=session, error=why, is_limited=is_limited)
        return None

    def until_begun(self, session: Session) -> Iterator[None]:
        """Wait until a job has had a run, or will have none."""
        looked = clock.monotonic()
        while self._ledger.sessions.get(session.key).last_run is None:
            row = self._ledger.sessions.line(session.key)
            if not row["queue"] or row["why"] == "held":
                return
            yield
            clock.sleep(_PACE_SECONDS * 4)
            if clock.monotonic() - looked >= _SWEEP_SECONDS:
                looked = clock.monotonic()
                sweep(self._ledger, self._settings)

    def only_in_table(self) -> int:
        """Count the jobs that files do not have, where only files are used."""
        kind = self._settings.environment.get(VARIABLE) or KINDS[0]
        if kind != "json":
            return 0
        known = {job.id for job in self.store.list()}
        return sum(job.id not in known for job in JobTable(self._ledger).list())


class NoSuchJobError(NoSuchTaskError):
    """Report a session that is no job, or that does not exist."""

    def __init__(self, text: str, task: str | None = None) -> None:
        message, fix = f"no job {text!r}", "codex-agent jobs --all"
        if task is not None:
            message += ": the task was not started by codex-agent"
            fix = f"codex-tasks status {task}"
        RunnerError.__init__(self, message, fix)
