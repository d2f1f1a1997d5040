"""Follow a run that has been launched, for the command that launched it."""

from __future__ import annotations

import signal

from runner import clock
from runner.cli.output import compact, note
from runner.errors import RunnerFault
from runner.exports import run_exports
from runner.exports.key_values import footer
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.liveness import Life, life_of
from runner.lifecycle.recover import reconcile_run, sweep
from runner.model import Finished
from runner.process.signals import handle
from runner.service import follow
from runner.service.stop import end_started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.output import Output
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.lifecycle.launch import Started
    from runner.model import Run
    from runner.process.signals import BackgroundInterrupt


class RunFollower:
    """Stay with a run until its end or its launch, and pass signals on to it."""

    def __init__(
        self,
        started: Started,
        output: Output,
        ledger: Ledger,
        settings: Config,
    ) -> None:
        self._started = started
        self._run_id = started.run_id
        self._output = output
        self._ledger = ledger
        self._settings = settings
        handle(STOP_SIGNALS, self._stop)

    def launched(self) -> int:
        """Return when Codex has been launched; say so in full when it cannot be."""
        told = follow.until_told(
            self._started.reader, {"launched", "waiting", "finished"}, note
        )
        if told and "finished" not in told:
            self._sweep()
            return 0
        return self._end() if self._settled().is_finished else 0

    def followed(self, interrupt: BackgroundInterrupt) -> int:
        """Show the run as it happens, then the block, and return its exit code."""
        is_swept = False
        for text in follow.until_finished(
            self._started, self._ledger, self._settings, note
        ):
            if interrupt.was_sent():
                self._stop(signal.SIGINT)
            self._output.text(text)
            self._output.check()
            if not is_swept:
                is_swept = True
                self._sweep()
        return self._end()

    def _sweep(self) -> None:
        """Judge what other runs have left behind, now that this one is on its way."""
        for fault in sweep(self._ledger, self._settings).faults:
            note(fault)

    def _settled(self) -> Run:
        """Return the run as it is; a full disk may keep its verdict out of the ledger.

        Its supervisor, which has said that it is over, keeps it alive until it is gone
        itself: then the files of the run tell.
        """
        run = self._look()
        if run.is_finished:
            return run
        follow.until_told(self._started.reader, (), note)
        while life_of(run, self._settings.state_home) is Life.SUPERVISOR:
            clock.sleep(follow.PACE_SECONDS)
        return self._look()

    def _look(self) -> Run:
        run = self._ledger.runs.find(self._run_id)
        return reconcile_run(run, self._ledger, self._settings)

    def _end(self) -> int:
        run = self._settled()
        if not isinstance(run.state, Finished):
            message = f"run {run.run_id} has no verdict: its record cannot be written"
            raise RunnerFault(message)
        whole = compact(run_exports.summary_of(run))
        self._output.lines([*footer(run), f"summary_json={whole}"])
        follow.until_told(self._started.reader, (), note)
        verdict = run.state.verdict
        if verdict.error:
            note(f"{verdict.outcome}: {verdict.error}")
        return verdict.exit_code

    def _stop(self, number: int, _: object = None) -> None:
        note(
            f"{signal.Signals(number).name}: ending run {self._run_id}",
            is_interrupting=number == signal.SIGINT,
        )
        end_started(self._started, number, self._ledger, self._settings)
