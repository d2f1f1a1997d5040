"""The run as its supervisor knows it, and its record, which may lag but not lie."""

from __future__ import annotations

import contextlib
import os

from runner.errors import FileFault, RunnerError, StaleStateError
from runner.ledger.runs import write_meta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ledger.runs import Ledger
    from runner.lifecycle.channel import StatusPipe
    from runner.model import Event, Run


class RunRecorder:
    """Carry a run through its states and keep its record up to it.

    A disk that refuses must not cost a run that is at work: what could not be
    written is written with the next change, at the end into the index or the meta file
    alone.
    """

    def __init__(self, run: Run, ledger: Ledger, channel: StatusPipe) -> None:
        self.run = run
        self.ledger = ledger
        self.channel = channel
        self.warnings: list[str] = []
        self.session_locks: list[int] = []
        self._stored = run

    def claim(self, event: Event) -> None:
        """Make the first change, which must be on record before anything is done.

        Raises:
            StaleStateError: a reader found the run abandoned and has judged it.
            FileFault, LedgerFault: the record cannot be written.
        """
        self.run = self._stored = self.ledger.advance(self.run, event)

    def carry(self, event: Event) -> None:
        """Advance the run."""
        self.keep(self.run.advanced(event))

    def keep(self, run: Run) -> bool:
        """Take the run as it is now; tell whether the index has it so."""
        self.run = run
        try:
            self._stored = self._store(run)
        except RunnerError as error:
            self.warn(str(error))
            if run.is_finished:
                self._store_apart(run)
        return self._stored is run

    def _store_apart(self, run: Run) -> None:
        with contextlib.suppress(RunnerError):
            self._stored = self.ledger.store(self._stored, run, with_meta=False)
        with contextlib.suppress(FileFault):
            write_meta(run)

    def _store(self, run: Run) -> Run:
        try:
            return self.ledger.store(self._stored, run)
        except StaleStateError:
            # A reader that could not see this process (another host or namespace, and
            # the events file removed) has judged the run. Whoever owns it knows better.
            return self.ledger.store(self.ledger.find(run.run_id), run)

    def warn(self, text: str) -> None:
        """Keep a warning for the record and tell the watcher."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.channel.say(warning=text)

    def release_session(self) -> None:
        """Let the next run have the session."""
        while self.session_locks:
            os.close(self.session_locks.pop())

    def note_late_warnings(self) -> None:
        """Add to the record of a finished run what came up after its verdict."""
        noted = self.run.with_warnings(self.warnings)
        if noted == self.run:
            return
        if self._stored is not self.run:
            self.keep(noted)
            return
        with contextlib.suppress(RunnerError):
            # Its session is free: somebody may have moved it, or removed it.
            self.ledger.add_warnings(noted.run_id, self.warnings)
