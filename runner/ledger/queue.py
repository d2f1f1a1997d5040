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
    QuitWaitsError,
    SessionBusyError,
    StaleStateError,
)
from runner.ledger import prompts
from runner.ledger.database import value_of
from runner.ledger.prompts import Content, Prompt, PromptOptions, digest_of
from runner.ledger.sessions import PromptsWaitError
from runner.ledger.settings import settings_json, settings_of
from runner.model import OUTCOMES, Outcome, Taken, Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from parsers.light import datetime
    from runner.ledger.database import Cell
    from runner.ledger.environments import Environment
    from runner.ledger.ledger import Ledger
    from runner.model import Run, RunRequest


class Candidate(Struct):
    """Hold a prompt that can be delivered now, with its thread and Codex home."""

    prompt: int
    session: int
    thread: str | None
    home: bytes
    waits_for_writer: bool
    environment: int | None


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
        if self._ledger.one("refused_logins") is not None:
            from runner.ledger import homes  # noqa: PLC0415 - a rare need

            homes.look_for_logins(self._ledger)
        if self._ledger.one("expired", at=at) is not None:
            with self._ledger.transaction(is_durable=True):
                prompts.expire(self._ledger)
        return self._ledger.values(Candidate, "deliverable")

    def canceled(self, session: int) -> int:
        """Return how many prompts for a session were canceled before their delivery."""
        return int(self._ledger.value("canceled_count", session=session))

    def undelivered(self, session: int, ordinal: int = 0) -> list[dict[str, Any]]:
        """Return the prompts that have failed without a run, since a run of theirs."""
        rows = self._ledger.all("undelivered", session=session, ordinal=ordinal)
        return [*map(dict, rows)]

    def end_of(self, prompt: int) -> str | None:
        """Say how a prompt has ended; None while it waits or runs."""
        row = self._ledger.one("prompt_row", prompt=prompt)
        if row is None or row["ended_at"] is None:
            return None
        return f"prompt {prompt} has ended: {row['reason']}"

    def add(
        self,
        session: int,
        text: bytes,
        preview: str,
        at: datetime,
        options: PromptOptions = PromptOptions(),  # noqa: B008 - a frozen value
    ) -> int:
        """Insert a prompt durably, and return its number.

        Raises:
            ArchivedError: the session is archived.
            NoSuchTaskError: it was removed.
            QuitWaitsError: a `/quit` waits in it.
            RefusedPromptError: its key has another text, a prompt with its `dedup`
                waits, or it needs a prompt that does not exist.
        """
        body = prompts.body_of(options, session, text)
        with self._ledger.transaction(is_durable=True):
            if known := prompts.with_key(self._ledger, options, body):
                return known[1]
            self._ledger.sessions.refuse_archived(session)
            self.refuse_after_quit(session)
            content = Content(text=text, preview=preview, body=body)
            return prompts.insert(self._ledger, session, content, at, options)

    def open(
        self, request: RunRequest, preview: str, at: datetime, options: PromptOptions
    ) -> tuple[int, int]:
        """Insert a session whose first prompt waits, durably; return both keys.

        Raises:
            RefusedPromptError: as `add`.
        """
        title, repo, home = request.title, request.repo, request.codex_home
        settings = settings_json(request)
        body = prompts.body_of(options, title, repo, home, settings, request.prompt)
        with self._ledger.transaction(is_durable=True):
            if known := prompts.with_key(self._ledger, options, body):
                return known
            session = self._ledger.sessions.open(
                iso(at), title=title, repo=repo, home=home, settings=settings
            )
            content = Content(text=request.prompt, preview=preview, body=body)
            number = prompts.insert(self._ledger, session, content, at, options)
        return session, number

    def refuse_after_quit(self, session: int) -> None:
        """Raise QuitWaitsError when a `/quit` waits in a session."""
        number = self._ledger.value("waiting_quit", session=session)
        if number is not None:
            raise QuitWaitsError(self._ledger.sessions.get(session).name, number)

    def prepare(
        self, run: Run, request: RunRequest, environment: Environment | None = None
    ) -> Run:
        """Insert a run, with its session and its prompt, in one transaction.

        A run with its own prompt is refused when another run has the session or prompts
        wait, unless it waits for the session: then its prompt keeps `environment`. A
        run for a queued prompt sets it to `running`.

        Raises:
            SessionBusyError: another run has the session, another program writes it, or
            prompts wait for it.
            ArchivedError: the session is archived.
            AlreadyDeliveredError: the prompt no longer waits, or has changed.
        """
        waits = request.wait_for_session or request.wait_for_slot
        with self._ledger.transaction(is_durable=waits):
            run = replace(run, session=self._session_for(run, request))
            number, parent = request.prompt_id, None
            if number is None:
                run, parent = self._bring(run, request, environment), request.parent
            elif not self._ledger.change(
                "deliver_prompt",
                prompt=number,
                run_id=run.run_id,
                digest=digest_of(request.prompt),
            ):
                raise AlreadyDeliveredError(number)
            try:
                run = self._ledger.runs.insert(run, parent)
            except ConflictFault as error:
                raise self._busy(run.session) from error
            if not run.waits:
                self._try_first(run)
            return run

    def take(self, run: Run) -> Run | None:
        """Give a waiting run its session and prompt; None while it has to wait."""
        with self._ledger.transaction():
            if not self._ledger.change("take_prompt", run_id=run.run_id):
                return None
            ids: dict[str, Cell] = {"run_id": run.run_id, "session": run.session}
            at = iso(clock.now())
            ordinal = self._ledger.value("take_turn", at=at, **ids)
            if ordinal is None:
                raise StaleStateError(run.run_id, "waiting")
            self._try_first(run)
            spec = replace(run.spec, prepared_at=clock.parse_iso(at))
            run = replace(run, spec=spec, waits=False, ordinal=ordinal)
            return run.advanced(Taken())

    def _try_first(self, run: Run) -> None:
        """Let a run be the first of its Codex home, if a hold is over."""
        ids: dict[str, Cell] = {"run_id": run.run_id, "session": run.session}
        self._ledger.change("try_home", at=iso(clock.now()), **ids)

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
        # At the end of a run, when Codex has long been started.
        from runner.ledger import homes  # noqa: PLC0415
        from runner.ledger.fate import (  # noqa: PLC0415
            Delivery,
            Ends,
            fate_of,
            limit_seconds,
        )

        verdict = run.verdict
        if verdict is None:
            return
        outcome = verdict.outcome
        row = self._ledger.one("prompt_of_run", run_id=run.run_id)
        now = clock.now()
        parks = 0 if row is None else row["parks"]
        reset = limit_seconds(run, parks, now.timestamp())
        if row is not None and row["state"] == "running":
            if run.has_begun:
                # Its supervisor may have been killed before it recorded that.
                self._ledger.change("begin_turn", run_id=run.run_id)
            turns = run.spec.terms.max_iterations
            delivery = value_of(Delivery, row, turns=turns)
            fate = fate_of(delivery, verdict, has_begun=run.has_begun, reset=reset)
            if isinstance(fate, Ends):
                prompts.end(self._ledger, row["id"], fate.state, fate.reason, outcome)
            else:
                wake_at = iso(clock.after(now, fate.wait)) if fate.wait else None
                told: dict[str, Cell] = {"why": fate.why, "hold": fate.hold}
                told |= {"is_parked": fate.is_parked, **as_dict(fate.counters)}
                ids: dict[str, Cell] = {"prompt": row["id"], "at": iso(now)}
                self._ledger.change("put_back", wake_at=wake_at, **told, **ids)
        elif row is not None and verdict.error_class == "killed":
            # Its caller may have gone: it is delivered like any other prompt.
            self._ledger.change("free_prompt", prompt=row["id"])
        elif row is not None:
            prompts.end(
                self._ledger, row["id"], OUTCOMES[outcome].prompt, str(outcome), outcome
            )
        homes.settle(self._ledger, run, reset)
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
            prompts.end(self._ledger, prompt.id, "done", "quit", Outcome.STOPPED)
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
            prompts.end(self._ledger, each.id, "canceled", "stopped", Outcome.STOPPED)
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
        from runner.ledger.fate import WRITER_SECONDS  # noqa: PLC0415 - rare

        now = clock.now()
        wake_at = None if is_free else iso(clock.after(now, WRITER_SECONDS))
        times = {"at": iso(now), "wake_at": wake_at}
        self._ledger.write("wait_for_writer", prompt=candidate.prompt, **times)

    def withdraw(self, run: Run, outcome: Outcome | None = None) -> bool:
        """End the prompt of a finished run if it waits again: its caller is told.

        A script that repeats a failed command would send it a second time. The prompt
        ends as its run did, or with an `outcome`.
        """
        with self._ledger.transaction(is_durable=True):
            number, outcome = run.spec.prompt_id, outcome or run.outcome
            waits = number in [each.id for each in self.waiting(run.session)]
            if waits and number is not None and outcome is not None:
                state = OUTCOMES[outcome].prompt
                prompts.end(self._ledger, number, state, str(outcome), outcome)
        return waits

    def is_open(self, prompt: int | None) -> bool:
        """Return whether a prompt has not ended."""
        row = self._ledger.one("prompt_row", prompt=prompt)
        return row is not None and row["ended_at"] is None

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

    def _bring(
        self, run: Run, request: RunRequest, environment: Environment | None
    ) -> Run:
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
        refusal = None
        if request.parent or self._ledger.value("has_limits", session=run.session):
            from runner.ledger import slots  # noqa: PLC0415 - where there is a limit

            slots.refuse_too_deep(self._ledger, request.parent)
            refusal = slots.refusal(self._ledger, run.session, request)
        if refusal is not None and not (is_busy or request.wait_for_slot):
            raise refusal
        waits = is_busy or refusal is not None
        how = PromptOptions(group=request.group, settings=settings_of(request, waits))
        if waits or request.park or request.terms.max_iterations > 1:
            how = replace(how, environment=environment)
        text = request.prompt if waits else None
        number = prompts.insert_of(self._ledger, run, text, how)
        if waits:
            run = replace(run, state=Waiting(), waits=True)
        return replace(run, spec=replace(run.spec, prompt_id=number))

    def _busy(self, session: int) -> SessionBusyError:
        """Name the run that writes a session, or the first waiting run."""
        found = self._ledger.sessions.get(session)
        holder = self.holder(session)
        if holder is None and found.waiting:
            return PromptsWaitError(found.name, found.waiting)
        return SessionBusyError(found.name, holder or found.last_run or "?")
