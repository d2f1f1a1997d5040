"""Follow a run that has been launched, for the command that launched it."""

from __future__ import annotations

import signal

from runner.cli.context import Context
from runner.cli.output import compact, note
from runner.errors import RunnerFault
from runner.exports import queue_files, run_exports
from runner.exports.key_values import footer, tokens
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.launch import Started
from runner.model import Finished, Run
from runner.process.signals import BackgroundInterrupt, handle
from runner.service import follow
from runner.service.stop import end_started


class RunFollower:
    """Follow a run until its launch or its end, and forward signals to it."""

    def __init__(
        self, started: Started, context: Context, interrupt: BackgroundInterrupt
    ) -> None:
        self.run_id = started.run_id
        self._started = started
        self._context = context
        self._interrupt = interrupt
        handle(STOP_SIGNALS, self._stop)

    def launched(self) -> int:
        """Return when Codex is launched; print the whole block if the launch failed."""
        told = follow.until_told(
            self._started.reader, {"launched", "waiting", "finished"}, note
        )
        if told and "finished" not in told:
            self._context.sweep()
            return 0
        return self.ended() if self.settled().is_finished else 0

    def show(self) -> None:
        """Show the transcript of the run until it has ended."""
        context, is_swept = self._context, False
        for text in follow.until_finished(
            self._started, context.ledger, context.settings, note
        ):
            if self._interrupt.was_sent():
                self._stop(signal.SIGINT)
            context.output.text(text)
            context.output.check()
            if not is_swept:
                # Sweep what other runs have left, now that this run is started.
                is_swept = True
                context.sweep()

    def settled(self) -> Run:
        """Return the run after it, or its supervisor, has ended."""
        context = self._context
        return follow.settled(self._started, context.ledger, context.settings, note)

    def ended(self) -> int:
        """Show the block of a finished run, and return its exit code."""
        run = self.settled()
        if not isinstance(run.state, Finished):
            message = f"run {run.run_id} has no verdict: its record cannot be written"
            raise RunnerFault(message)
        whole = compact(run_exports.summary_of(run))
        self._context.output.text(tokens(run))
        self._context.output.lines([*footer(run), f"summary_json={whole}"])
        follow.until_told(self._started.reader, (), note)
        verdict = run.state.verdict
        if verdict.error:
            note(f"{verdict.outcome}: {verdict.error}")
        ledger = self._context.ledger
        if not run.has_begun and ledger.queue.withdraw(run):
            queue_files.refresh(ledger, run.session, [run.spec.prompt_id or 0])
        return verdict.exit_code

    def end(self, number: int) -> None:
        """Send the run this signal, as its caller would."""
        context = self._context
        end_started(self._started, number, context.ledger, context.settings)

    def _stop(self, number: int, _: object = None) -> None:
        note(
            f"{signal.Signals(number).name}: ending run {self.run_id}",
            is_interrupting=number == signal.SIGINT,
        )
        self.end(number)
