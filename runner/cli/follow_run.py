"""Be with a run that has been launched, for the command that launched it."""

from __future__ import annotations

import signal
from pathlib import Path

from runner import clock, files
from runner.cli.output import compact, note
from runner.errors import RunnerFault
from runner.exports import key_values
from runner.ledger import record
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.liveness import Life, life_of
from runner.lifecycle.recover import reconcile_run
from runner.model import Finished
from runner.process.signals import BackgroundInterrupt, handle, send
from runner.service import follow
from runner.service.stop import stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.output import Output
    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.lifecycle.launch import Started
    from runner.model import Run


class RunFollower:
    """Be between a run and the one who called for it, until its end or its launch."""

    def __init__(
        self,
        started: Started,
        output: Output,
        ledger: Ledger,
        settings: Config,
    ) -> None:
        self._run_id = started.run_id
        self._supervisor = started.supervisor
        self._listener = started.listener
        self._output = output
        self._ledger = ledger
        self._settings = settings
        handle(STOP_SIGNALS, self._stop)

    def launched(self) -> int:
        """Return when Codex has been launched; say so in full when it cannot be."""
        for piece in follow.until_launched(self._listener):
            if isinstance(piece, follow.Launched):
                return 0
            note(piece.text)
        return self._end() if self._settled().is_finished else 0

    def followed(self, interrupt: BackgroundInterrupt) -> int:
        """Show the run as it happens, then the block, and return its exit code."""
        for piece in follow.until_finished(
            self._run_id, self._listener, self._ledger, self._settings
        ):
            if interrupt.was_sent():
                self._stop(signal.SIGINT)
            if isinstance(piece, follow.Shown):
                self._output.text(piece.text)
                self._output.check()
            else:
                note(piece.text)
        return self._end()

    def _settled(self) -> Run:
        """Return the run as it is; of a full disk the index may lack its verdict.

        Its supervisor, which has told of the end, keeps it alive until it is gone
        itself: then the files of the run tell.
        """
        run = self._look()
        if run.is_finished:
            return run
        for each in follow.until_closed(self._listener):
            note(each.text)
        while life_of(run) is Life.SUPERVISOR:
            clock.sleep(follow.PACE_SECONDS)
        return self._look()

    def _look(self) -> Run:
        return reconcile_run(
            self._ledger.find(self._run_id), self._ledger, self._settings
        )

    def _end(self) -> int:
        run = self._settled()
        if not isinstance(run.state, Finished):
            message = f"run {run.run_id} has no verdict: its record cannot be written"
            raise RunnerFault(message)
        whole = files.read_json(record.files_of(run.spec).summary)
        if whole is None:
            from runner.service.summarize import summary_of  # noqa: PLC0415 - full disk

            whole = summary_of(run, Path(run.spec.log_dir))
        self._output.lines([*key_values.verdict(run), f"summary_json={compact(whole)}"])
        for each in follow.until_closed(self._listener):
            note(each.text)
        verdict = run.state.verdict
        if verdict.error:
            note(f"{verdict.outcome}: {verdict.error}")
        return verdict.exit_code

    def _stop(self, number: int, _: object = None) -> None:
        note(
            f"{signal.Signals(number).name}: ending run {self._run_id}",
            is_interrupting=number == signal.SIGINT,
        )
        if not send(self._supervisor, number):
            run = self._ledger.find(self._run_id)
            stop(run, number, self._ledger, self._settings)
