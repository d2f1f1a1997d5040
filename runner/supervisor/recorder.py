"""The run as its supervisor knows it, and what of it the ledger does not have yet."""

from __future__ import annotations

import contextlib

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

# A ledger that is locked makes each attempt wait: Codex must be attended meanwhile.
_PAUSE_SECONDS = 1.0
_REST_PER_ATTEMPT = 10.0
# How long a verdict is tried again that neither the ledger nor a file takes.
_GIVE_UP_SECONDS = 60.0


class RunRecorder:
    """Take a run through its states and keep the ledger up to it.

    A disk that refuses must not cost a run that is going on: what could not be written
    is kept and tried again, in its order. A verdict that the ledger refuses goes into
    the meta file, where the next reader finds it.
    """

    def __init__(self, run: Run, ledger: Ledger, pipe: StatusPipe) -> None:
        self.run = run
        self.ledger = ledger
        self.pipe = pipe
        self.warnings: list[str] = []
        self._pending: list[Callable[[], object]] = []
        self._not_before = 0.0

    def claim(self, event: Event) -> None:
        """Make the first change, which must be on record before anything is done.

        Raises:
            StaleStateError: the run has been stopped or judged.
            LedgerFault: the ledger cannot be written.
        """
        self.run = self.ledger.runs.advance(self.run, event)

    def advance(self, event: Event) -> None:
        """Take the run to its next state, on record as soon as the ledger takes it."""
        was, self.run = self.run, self.run.advanced(event)
        self._keep(lambda: self.ledger.runs.advance(was, event))

    def set_thread(self, thread: str, begin_exports: Callable[[Run], None]) -> None:
        """Name the thread of the run and, of a new one, of its session.

        The exports are begun before the caller learns the name.
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
            # The caller may ask for the session by this name from now on.
            self.pipe.send(session=name)
            self.write_meta()

        self._keep(write)

    def begin_turn(self) -> None:
        """Note that Codex has begun to work on the prompt."""
        run = self.run = replace(self.run, has_begun=True)

        def write() -> None:
            self.ledger.runs.begin_turn(run.run_id)
            if run.spec.prompt_id is not None:
                with contextlib.suppress(RunnerError):
                    queue_files.refresh(self.ledger, run.session, [run.spec.prompt_id])

        self._keep(write)

    def flush(self) -> bool:
        """Write what could not be written before; tell whether nothing is left."""
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

    def finish(self, over: Run) -> None:
        """Put the verdict on record, or into the meta file alone.

        A disk that takes neither is asked again for a time; then the files of the run
        have to tell.
        """
        was, self.run = self.run, over
        deadline = clock.monotonic() + _GIVE_UP_SECONDS
        while True:
            self._not_before = 0.0
            try:
                if self.flush():
                    self.ledger.runs.finish(was, self.run)
                    return
            except StaleStateError:
                # Another process has ended it: what the ledger says is exported.
                with contextlib.suppress(RunnerError):
                    self.run = self.ledger.runs.find(over.run_id)
                return
            except RunnerError as error:
                self.warn(str(error))
            self.run = self.run.with_warnings(self.warnings)
            with contextlib.suppress(FileFault):
                meta = files_of(over.spec).meta
                files.replace(meta, run_exports.render_meta(self.run))
                return
            if clock.monotonic() >= deadline:
                return
            clock.sleep(_PAUSE_SECONDS)

    def write_meta(self) -> None:
        """Write the meta file of a run that goes on; a disk may refuse it."""
        self.attempt(lambda: run_exports.write_meta(self.run))

    def attempt(self, step: Callable[[], object]) -> None:
        """Take a step that must not cost the run; what goes wrong is a warning."""
        try:
            step()
        except RunnerError as error:
            self.warn(str(error))

    def warn(self, text: str) -> None:
        """Keep a warning for the record and show it to the caller."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.pipe.send(warning=text)

    def add_late_warnings(self) -> None:
        """Add to the record of a finished run what came up after its verdict."""
        if self.run.with_warnings(self.warnings) == self.run:
            return
        with contextlib.suppress(RunnerError):
            # Its session may have been removed.
            self.run = self.ledger.runs.add_warnings(self.run.run_id, self.warnings)
            run_exports.write_meta(self.run)

    def _keep(self, write: Callable[[], object]) -> None:
        self._pending.append(write)
        self.flush()
