"""The queue: the prompts of each session in order, each delivered once.

A prompt is one row from insert to end. The transaction that inserts its run sets it to
`running`; the transaction that ends the run sets its next state. So a kill at any
moment leaves it waiting, running or ended, and it is never delivered twice.
"""

from __future__ import annotations

from parsers.struct import Struct, as_dict, replace
from runner import clock
from runner.clock import iso
from runner.errors import (
    AlreadyDeliveredError,
    ConflictFault,
    RunnerError,
    SessionBusyError,
    StaleStateError,
)
from runner.ledger.database import value_of
from runner.ledger.fate import WRITER_SECONDS, Delivery, Ends, fate_of, hold_of
from runner.ledger.record import settings_json
from runner.ledger.sessions import PromptsWaitError
from runner.model import OUTCOMES, QUIT, Outcome, Taken, Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from parsers.light import datetime
    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger
    from runner.model import Run, RunRequest

_PREVIEW = 200


class Prompt(Struct):
    """Hold one waiting prompt.

    `word` is why it waits, None when it can be delivered; `until` is an RFC 3339
    instant if the wait has an end, `detail` the reason in a sentence. `run_id` is the
    waiting run that it is reserved for (`--wait-for-session`).
    """

    id: int
    session: int
    text: bytes | None
    digest: str | None
    preview: str
    run_id: str | None
    queued_at: str
    word: str | None
    until: str | None
    detail: str | None

    @property
    def is_quit(self) -> bool:
        """Return whether it ends the session instead of being sent to Codex."""
        return self.text is not None and self.text.strip() == QUIT


class QuitWaitsError(SessionBusyError):
    """Refuse a prompt behind a waiting `/quit`: it would never be delivered."""

    def __init__(self, name: str, number: int) -> None:
        RunnerError.__init__(
            self,
            f"task {name} accepts no prompts: a /quit waits (prompt {number});"
            " codex-tasks stop cancels it",
        )


class Candidate(Struct):
    """Hold a prompt that can be delivered now, with its thread and Codex home."""

    prompt: int
    session: int
    thread: str | None
    home: bytes
    waits_for_writer: bool


class Queue:
    """Read and write the prompts of all sessions."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def waiting(self, session: int) -> list[Prompt]:
        """Return the waiting prompts of a session in order, with the reasons."""
        return self._ledger.values(Prompt, "waiting_prompts", session=session)

    def head(self, session: int) -> Prompt | None:
        """Return the first waiting prompt of a session."""
        found = self._ledger.values(Prompt, "queue_head", session=session)
        return found[0] if found else None

    def candidates(self) -> list[Candidate]:
        """Return the prompts that can be delivered now, the best first.

        This includes prompts that wait for another writer, whose lock may be free now.
        Prompts whose hold has expired are released first.
        """
        if not self._ledger.has_waiting_prompts:
            return []  # the view takes 1 ms
        at = iso(clock.now())
        if self._ledger.one("has_due_holds", at=at) is not None:
            self._ledger.write("release_due", at=at)
        return self._ledger.values(Candidate, "deliverable")

    def canceled(self, session: int) -> int:
        """Return how many prompts for a session were canceled before their delivery."""
        return int(self._ledger.value("canceled_count", session=session))

    def add(self, session: int, text: bytes, preview: str, at: datetime) -> int:
        """Insert a prompt durably, and return its number.

        Raises:
            ArchivedError: the session is archived.
            NoSuchTaskError: it was removed.
            QuitWaitsError: a `/quit` waits in it.
        """
        with self._ledger.transaction(is_durable=True):
            self._ledger.sessions.refuse_archived(session)
            self.refuse_after_quit(session)
            return self._ledger.insert(
                "insert_prompt",
                prompt=None,
                session=session,
                text=text,
                preview=preview[:_PREVIEW],
                digest=digest_of(text),
                run_id=None,
                at=iso(at),
            )

    def refuse_after_quit(self, session: int) -> None:
        """Raise QuitWaitsError when a `/quit` waits in a session."""
        number = self._ledger.value("waiting_quit", session=session)
        if number is not None:
            raise QuitWaitsError(self._ledger.sessions.get(session).name, number)

    def prepare(self, run: Run, request: RunRequest) -> Run:
        """Insert a run, with its session and its prompt, in one transaction.

        A run with its own prompt is refused when another run has the session or prompts
        wait, unless it waits for the session. A run for a queued prompt sets it to
        `running`.

        Raises:
            SessionBusyError: another run has the session, another program writes it, or
            prompts wait for it.
            ArchivedError: the session is archived.
            AlreadyDeliveredError: the prompt no longer waits, or has changed.
        """
        with self._ledger.transaction(is_durable=request.wait_for_session):
            run = replace(run, session=self._session_for(run, request))
            number = request.prompt_id
            if number is None:
                run = self._bring(run, request)
            elif not self._ledger.change(
                "deliver_prompt",
                prompt=number,
                run_id=run.run_id,
                digest=digest_of(request.prompt),
            ):
                raise AlreadyDeliveredError(number)
            try:
                return self._ledger.runs.insert(run)
            except ConflictFault as error:
                raise self._busy(run.session) from error

    def restore(
        self, number: int, header: Mapping[str, object], text: bytes, hold: str | None
    ) -> None:
        """Insert a prompt that a rebuild read from its file, inside a transaction."""
        sessions, at = self._ledger.sessions, iso(clock.now())
        told = {name: str(value) for name, value in header.items() if value is not None}
        at, place = told.get("queued_at", at), header.get("place")
        thread, short_id = told.get("thread"), told.get("short_id", "")
        found = sessions.named(thread or "") or sessions.named(short_id)
        key = found[0].key if found else sessions.open(at, thread=thread, seed=short_id)
        values: dict[str, Cell] = {
            "prompt": number,
            "session": key,
            "place": place if isinstance(place, int) else number,
            "text": text,
            "preview": told.get("preview", text.decode(errors="replace")[:_PREVIEW]),
            "digest": digest_of(text),
            "settings": told.get("settings", "{}"),
            "hold": hold or told.get("hold"),
            "at": at,
        }
        try:
            self._ledger.change("restore_prompt", **values)
        except ConflictFault:
            # Another prompt has its place, which happens only with a damaged header.
            self._ledger.change("restore_prompt", **{**values, "place": number})

    def restore_running(self, number: int, run: Run) -> None:
        """Set a prompt to running for the unfinished run that a rebuild found."""
        waits = isinstance(run.state, Waiting)
        ids: dict[str, Cell] = {"prompt": number, "run_id": run.run_id}
        if not self._ledger.change("restore_running", waits=waits, **ids):
            self._insert(run)

    def close(self, number: int, state: str = "canceled") -> None:
        """End a prompt that a rebuild found delivered or without a file."""
        self._end(number, state, "rebuilt", Outcome.LOST)

    def take(self, run: Run) -> Run | None:
        """Give a waiting run its session and prompt; None while it has to wait."""
        with self._ledger.transaction():
            if not self._ledger.change("take_prompt", run_id=run.run_id):
                return None
            ids: dict[str, Cell] = {"run_id": run.run_id, "session": run.session}
            ordinal = self._ledger.value("take_turn", **ids)
            if ordinal is None:
                raise StaleStateError(run.run_id, "waiting")
            return replace(run.advanced(Taken()), waits=False, ordinal=ordinal)

    def reason_of(self, run: Run) -> str | None:
        """Return why a waiting run has to wait."""
        reason: str | None = self._ledger.value("reason_of_run", run_id=run.run_id)
        return reason

    def holder(self, session: int) -> str | None:
        """Return the run that has the lock of a session."""
        holder: str | None = self._ledger.value("holder", session=session)
        return holder

    def settle(self, run: Run) -> None:
        """Set the next state of the prompt of a finished run, inside a transaction."""
        verdict = run.verdict
        if verdict is None:
            return
        outcome = verdict.outcome
        row = self._ledger.one("prompt_of_run", run_id=run.run_id)
        now = clock.now()
        if row is not None and row["state"] == "running":
            delivery = value_of(Delivery, row)
            fate = fate_of(delivery, verdict, has_begun=run.has_begun)
            if isinstance(fate, Ends):
                self._end(row["id"], fate.state, fate.reason, outcome)
            else:
                wake_at = iso(clock.after(now, fate.wait)) if fate.wait else None
                told = {**as_dict(fate), "at": iso(now), "wake_at": wake_at}
                self._ledger.change("put_back", prompt=row["id"], **told)
        elif row is not None and verdict.error_class == "killed":
            # Its caller may have gone: it is delivered like any other prompt.
            self._ledger.change("free_prompt", prompt=row["id"])
        elif row is not None:
            self._end(row["id"], OUTCOMES[outcome].prompt, str(outcome), outcome)
        if OUTCOMES[outcome].then == "held":
            hold, until = hold_of(run)
            values = {"hold": hold, "until": until, "at": iso(now)}
            self._ledger.change("hold_first", session=run.session, **values)
        if outcome is Outcome.STOPPED and not self._ledger.value(
            "is_marked", run_id=run.run_id
        ):
            # `stop` could only signal, because another process had the ledger's lock.
            # That one then sends a prompt: without this it would be delivered.
            self._cancel([run.session])

    def quit(self, prompt: Prompt) -> list[int]:
        """Execute a `/quit` that is first in the queue: end all waiting prompts."""
        with self._ledger.transaction(is_durable=True):
            if prompt.id not in [each.id for each in self.waiting(prompt.session)]:
                return []
            self._end(prompt.id, "done", "quit", Outcome.STOPPED)
            canceled = self._cancel([prompt.session])
        return [prompt.id, *(each.id for each in canceled)]

    def stop(self, sessions: Collection[int]) -> list[Prompt]:
        """Cancel waiting prompts and mark runs as stopped, in one transaction.

        Prompts that are sent later are kept. A running prompt never returns to the
        queue.

        Returns:
            The canceled prompts.
        """
        with self._ledger.transaction(is_durable=True):
            canceled = self._cancel(sessions)
            for key in sessions:
                self._ledger.change("ask_stop", session=key, at=iso(clock.now()))
        return canceled

    def _cancel(self, sessions: Collection[int]) -> list[Prompt]:
        """End the waiting prompts of sessions, inside a transaction."""
        canceled = [each for key in sessions for each in self.waiting(key)]
        for each in canceled:
            self._end(each.id, "canceled", "stopped", Outcome.STOPPED)
        return canceled

    def to_stop(self) -> list[int]:
        """Return the sessions with an unfinished run or a waiting prompt."""
        return [row["session"] for row in self._ledger.all("sessions_to_stop")]

    def release(self, session: int) -> None:
        """Release the first held prompt, when the user sends another one."""
        self._ledger.write("release_first", session=session)

    def hold(self, prompt: int, reason: str) -> None:
        """Hold a prompt until a person acts."""
        self._ledger.write("hold_prompt", prompt=prompt, hold=reason)

    def wait_for_writer(self, candidate: Candidate, *, is_free: bool) -> None:
        """Record that another program writes a prompt's thread, or no longer does."""
        now = clock.now()
        wake_at = None if is_free else iso(clock.after(now, WRITER_SECONDS))
        times = {"at": iso(now), "wake_at": wake_at}
        self._ledger.write("wait_for_writer", prompt=candidate.prompt, **times)

    def withdraw(self, run: Run) -> bool:
        """End the prompt of a finished run if it waits again: its caller is told.

        A script that repeats a failed command would send it a second time.
        """
        with self._ledger.transaction(is_durable=True):
            number, outcome = run.spec.prompt_id, run.outcome
            waits = number in [each.id for each in self.waiting(run.session)]
            if waits and number is not None and outcome is not None:
                self._end(number, "failed", str(outcome), outcome)
        return waits

    def _session_for(self, run: Run, request: RunRequest) -> int:
        """Find or open the session of a run."""
        sessions, spec = self._ledger.sessions, run.spec
        key = request.session or sessions.of_thread(request.thread)
        if key is None:
            return sessions.open(
                iso(spec.prepared_at),
                seed=spec.run_id,
                thread=request.thread,
                title=request.title,
                repo=spec.repo,
                home=spec.codex_home,
                settings=settings_json(spec),
            )
        if request.has_exports:
            sessions.refuse_archived(key)
        return key

    def _bring(self, run: Run, request: RunRequest) -> Run:
        """Insert the run's own prompt, and return whether it waits."""
        first = self._ledger.one("first_waiting", session=run.session)
        is_ours = first is not None or self.holder(run.session) is not None
        is_busy = is_ours or request.writer is not None
        if is_busy and not request.wait_for_session:
            if is_ours:
                raise self._busy(run.session)
            name = self._ledger.sessions.get(run.session).name
            raise SessionBusyError(name, "", pid=request.writer or 0)
        if is_busy:
            self.refuse_after_quit(run.session)
        number = self._insert(run, request.prompt if is_busy else None)
        if is_busy:
            run = replace(run, state=Waiting(), waits=True)
        return replace(run, spec=replace(run.spec, prompt_id=number))

    def _insert(self, run: Run, text: bytes | None = None) -> int:
        """Insert the run's own prompt, and return its number; with a text it waits."""
        return self._ledger.insert(
            "insert_prompt",
            prompt=run.spec.prompt_id,
            session=run.session,
            text=text,
            preview=run.spec.task[:_PREVIEW],
            digest=None if text is None else digest_of(text),
            run_id=run.run_id,
            at=iso(run.spec.prepared_at),
        )

    def _busy(self, session: int) -> SessionBusyError:
        """Name the run that writes a session, or the first waiting run."""
        found = self._ledger.sessions.get(session)
        holder = self.holder(session)
        if holder is None and found.waiting:
            return PromptsWaitError(found.name, found.waiting)
        return SessionBusyError(found.name, holder or found.last_run or "?")

    def _end(self, prompt: int, state: str, reason: str, outcome: Outcome) -> None:
        """End a prompt, and the waiting run that it is reserved for."""
        values = {"state": state, "reason": reason, "at": iso(clock.now())}
        ended: dict[str, Cell] = {"prompt": prompt, "outcome": outcome}
        ended |= {"exit_code": OUTCOMES[outcome].exit_code, "at": values["at"]}
        run_id = self._ledger.value("end_waiting_run", **ended)
        if run_id is not None:
            self._ledger.runs.note(self._ledger.runs.find(run_id), "run_completed")
        self._ledger.change("end_prompt", prompt=prompt, **values)


def digest_of(text: bytes) -> str:
    """Return the hash of a text."""
    import hashlib  # noqa: PLC0415 - 4 ms, for a prompt that waits

    return hashlib.sha256(text).hexdigest()
