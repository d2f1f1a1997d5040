"""The run as its supervisor knows it, with the changes not yet in the ledger."""

from __future__ import annotations

from parsers.light import suppress
from parsers.struct import replace
from runner import clock, files
from runner.errors import FileFault, RunnerError, StaleStateError
from runner.exports import queue_files, run_exports
from runner.ledger.runs import FOREIGN_THREAD
from runner.model import SessionId
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.ledger.ledger import Ledger
    from runner.lifecycle.handoff import StatusPipe
    from runner.model import Event, Run

# A locked ledger blocks each attempt, but Codex must be supervised meanwhile.
_PAUSE_SECONDS = 1.0
_REST_PER_ATTEMPT = 10.0
# How long to retry a verdict that neither the ledger nor a file can store.
_GIVE_UP_SECONDS = 60.0


class RunRecorder:
    """Advance a run through its states, and store each state in the ledger.

    A full disk must not end a running run: failed writes are kept and retried in
    order. A verdict that the ledger cannot store is written to the meta file, which the
    next reader reads.
    """

    def __init__(self, run: Run, ledger: Ledger, pipe: StatusPipe) -> None:
        self.run = run
        self.ledger = ledger
        self.pipe = pipe
        self.warnings: list[str] = []
        self._pending: list[Callable[[], object]] = []
        self._not_before = 0.0

    def claim(self, event: Event) -> None:
        """Store the first change, which must be in the ledger before Codex is started.

        Raises:
            StaleStateError: the run has been stopped or judged.
            LedgerFault: the ledger cannot be written.
        """
        self.run = self.ledger.runs.advance(self.run, event)

    def advance(self, event: Event) -> None:
        """Advance the run to its next state; store it as soon as the ledger can."""
        was, self.run = self.run, self.run.advanced(event)
        self._keep(lambda: self.ledger.runs.advance(was, event))

    def set_thread(self, thread: str, begin_exports: Callable[[Run], None]) -> None:
        """Set the thread of the run and, for a new session, of the session.

        The exports are created before the caller gets the name.
        """
        name = SessionId(thread)
        spec = self.run.spec
        self.run = replace(self.run, thread=name)

        def write() -> None:
            exports = None if spec.is_flat else name
            is_ours = self.ledger.runs.set_thread(self.run, name, exports)
            if not is_ours and spec.resume_session is None:
                self.warn(FOREIGN_THREAD.format(name))
            self.attempt(lambda: begin_exports(self.run))
            # From now on the caller may use this name for the session.
            self.pipe.send(session=name)
            self.write_meta()

        self._keep(write)

    def begin_turn(self) -> None:
        """Record that Codex has begun the turn."""
        run = self.run = replace(self.run, has_begun=True)

        def write() -> None:
            self.ledger.runs.begin_turn(run.run_id)
            if run.spec.prompt_id is not None:
                with suppress(RunnerError):
                    queue_files.refresh(self.ledger, run.session, [run.spec.prompt_id])

        self._keep(write)

    @property
    def next_retry(self) -> float | None:
        """When to retry the failed writes, in monotonic seconds."""
        return self._not_before if self._pending else None

    def flush(self) -> bool:
        """Retry the failed writes; return whether none is left."""
        began = clock.monotonic()
        if self._pending and began < self._not_before:
            return False
        try:
            while self._pending:
                self._pending[0]()
                self._pending.pop(0)
        except StaleStateError:
            self._pending.clear()
        except RunnerError as error:
            self.warn(str(error))
            now = clock.monotonic()
            rest = max(_PAUSE_SECONDS, _REST_PER_ATTEMPT * (now - began))
            self._not_before = now + rest
        return not self._pending

    def finish(self, over: Run) -> bool:
        """Store the verdict in the ledger, or only in the meta file.

        Returns:
            Whether it is in the ledger.

        If both fail, retry for a time; after that the next reader judges by the files.
        """
        was, self.run = self.run, over
        deadline = clock.monotonic() + _GIVE_UP_SECONDS
        while True:
            self._not_before = 0.0
            try:
                if self.flush():
                    self.ledger.runs.finish(was, self.run)
                    return True
            except StaleStateError:
                # Another process has ended it: what the ledger says is exported.
                with suppress(RunnerError):
                    self.run = self.ledger.runs.find(over.run_id)
                return True
            except RunnerError as error:
                self.warn(str(error))
            self.run = self.run.with_warnings(self.warnings)
            with suppress(FileFault):
                meta = files_of(over.spec).meta
                files.replace(meta, run_exports.render_meta(self.run))
                return False
            if clock.monotonic() >= deadline:
                return False
            clock.sleep(_PAUSE_SECONDS)

    def write_meta(self) -> None:
        """Write the meta file of an unfinished run; ignore a full disk."""
        self.attempt(lambda: run_exports.write_meta(self.run))

    def attempt(self, step: Callable[[], object]) -> None:
        """Run a step that must not end the run; an error becomes a warning."""
        try:
            step()
        except RunnerError as error:
            self.warn(str(error))

    def warn(self, text: str, name: str | None = None) -> None:
        """Add a warning to the record, by its name if any, and tell the caller."""
        if (name or text) not in self.warnings:
            self.warnings.append(name or text)
            self.pipe.send(warning=text)

    def add_late_warnings(self) -> None:
        """Add warnings from after the verdict to the record of a finished run."""
        if self.run.with_warnings(self.warnings) == self.run:
            return
        run_id, told = self.run.run_id, self.warnings

        def export(run: Run) -> None:
            run_exports.best_effort(lambda: run_exports.write_records(run))

        with suppress(RunnerError):
            # Another process may have removed the session.
            self.run = self.ledger.runs.add_warnings(run_id, told, export)

    def _keep(self, write: Callable[[], object]) -> None:
        self._pending.append(write)
        self.flush()
