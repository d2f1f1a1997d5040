"""Follow a run that has been launched, for the command that launched it."""

from __future__ import annotations

from parsers.light import signal
from runner.cli.output import note
from runner.errors import RunnerFault
from runner.exports import queue_files, run_exports
from runner.exports.key_values import end_of_turn, head
from runner.lifecycle import timer
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.recover import sweep_beside
from runner.model import EXIT_SIGNAL_BASE, Finished, Outcome
from runner.process.signals import handle, name_of
from runner.service import follow
from runner.service.stop import end_started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any, BinaryIO

    from runner.cli.context import Context
    from runner.lifecycle.launch import Started
    from runner.model import Run
    from runner.process.signals import BackgroundInterrupt

# How often a background command of a script looks whether INT was sent to it.
_PACE_SECONDS = 0.25


class RunFollower:
    """Follow a run until its launch or its end, and forward signals to it."""

    def __init__(
        self,
        started: Started,
        log: BinaryIO | None,
        context: Context,
        interrupt: BackgroundInterrupt,
        *,
        has_turns: bool,
    ) -> None:
        self.run_id = started.run_id
        self._started = started
        self._context = context
        self._interrupt = interrupt
        self._log = log
        self._has_turns = has_turns
        self._signal = 0
        self._code: int | None = None
        self._told: Mapping[str, Any] = {}
        handle(STOP_SIGNALS, self._stop)
        if started.has_others:
            sweep_beside(None, context.settings)

    def launched(self) -> int:
        """Return when Codex is launched; print the whole block if the launch failed."""
        told = self._until({"launched", "waiting", "finished"})
        is_over = "finished" in told or (not told and self.settled().is_finished)
        return self.ended() if is_over else 0

    def show(self) -> None:
        """Show the transcript of the run, and of its further turns, to the end."""
        self._show_run()
        while self._has_next_turn():
            self._show_run()

    def _show_run(self) -> None:
        context = self._context
        following = follow.Following(self._started, self._log, note, self._wait)
        self._show(following.pieces())
        self._told = following.told
        if not self._told:
            self._show(following.rest(context.ledger, context.settings))

    def _has_next_turn(self) -> bool:
        """Go to the next turn of a prompt whose check has failed, if it gets one.

        It waits for its start, and says so. A signal ends the prompt.
        """
        run = self.settled() if self._has_turns else None
        if run is None or run.has_succeeded or run.outcome is not Outcome.SUCCEEDED:
            return False
        ledger, settings = self._context.ledger, self._context.settings

        def is_given_up() -> bool:
            if self._interrupt.was_sent():
                self._stop(signal.SIGINT)
            if self._signal and ledger.queue.withdraw(run, Outcome.INTERRUPTED):
                self._code = EXIT_SIGNAL_BASE + self._signal
            return self._code is not None

        found = follow.next_turn(run, ledger, settings, note, is_given_up)
        if found is None:
            return False
        self._context.output.text(end_of_turn(run))
        self._started = self._started.of(found, head(found.spec, settings))
        self.run_id, self._told = found.run_id, {}
        self._context.output.text(self._started.head)
        if self._signal:
            self.end(self._signal)
        return True

    def settled(self) -> Run:
        """Return the run after it, or its supervisor, has ended."""
        context = self._context
        return follow.settled(self._started, context.ledger, context.settings, note)

    def ended(self) -> int:
        """Show the last lines of a finished run, and return its exit code."""
        told = self._told
        if "lines" not in told:
            run = self.settled()
            if not isinstance(run.state, Finished):
                what = "its record cannot be written"
                message = f"run {run.run_id} has no verdict: {what}"
                raise RunnerFault(message)
            told = run_exports.end_of(run)
        self._context.output.text(told["tokens"])
        self._context.output.lines(told["lines"].splitlines())
        self._until(())
        if self._started.is_followed_by_files:
            follow.until_gone(self.run_id, self._context.settings)
        if told["error"]:
            note(told["error"])
        for doubt in told["doubts"]:
            note(doubt)
        if not told["has_begun"]:
            self._withdraw(self.settled())
        is_doubtful = self._context.settings.is_strict and bool(told["doubts"])
        return self._code or int(told["finished"] or is_doubtful)

    def _withdraw(self, run: Run) -> None:
        """End the prompt of a run that failed before its turn, if it waits again."""
        ledger = self._context.ledger
        if ledger.queue.withdraw(run):
            queue_files.refresh(ledger, run.session, [run.spec.prompt_id or 0])
            timer.wake(ledger, self._context.settings)

    def _show(self, pieces: Iterable[str]) -> None:
        for text in pieces:
            if self._interrupt.was_sent():
                self._stop(signal.SIGINT)
            self._context.output.text(text)

    def _wait(self, descriptor: int) -> None:
        pause = _PACE_SECONDS if self._interrupt.is_wanted else None
        self._context.output.wait(descriptor, pause)

    def _until(self, words: Collection[str]) -> Mapping[str, Any]:
        return follow.until_told(self._started.reader, words, note)

    def end(self, number: int) -> None:
        """Send the run this signal, as its caller would."""
        context = self._context
        end_started(self._started, number, context.ledger, context.settings)

    def _stop(self, number: int, _: object = None) -> None:
        note(
            f"{name_of(number)}: ending run {self.run_id}",
            is_interrupting=number == signal.SIGINT,
        )
        self._signal = number
        self.end(number)
