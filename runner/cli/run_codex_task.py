"""`run_codex_task`: one Codex run, launched, followed, judged and counted."""

import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from runner import artifacts, block, process, record
from runner.cli import render
from runner.cli.arguments import parse
from runner.cli.door import enter
from runner.cli.render import Output, ReaderGoneError
from runner.errors import RunnerError, RunnerFault
from runner.model import Finished, Verbosity
from runner.service import follow
from runner.service import launch as launching
from runner.service.settle import settle
from runner.service.stop import stop
from runner.store.ledger import Ledger
from runner.supervisor import STOP_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.arguments import Arguments
    from runner.config import Config
    from runner.model import Run


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    return enter(lambda settings: _command(parse(words, settings), settings))


def _command(arguments: "Arguments", settings: "Config") -> int:
    if arguments.doctor:
        return _doctor(arguments, settings)
    return _run(arguments, settings)


def _run(arguments: "Arguments", settings: "Config") -> int:
    from runner.cli.preamble import preamble  # noqa: PLC0415 - not needed for --help
    from runner.service.request import build_spec, read_prompt  # noqa: PLC0415

    output = Output()
    prompt = read_prompt(arguments.request)
    ledger = Ledger(settings.state_home)
    spec = build_spec(arguments.request, prompt, ledger)
    head = preamble(spec, settings)
    # Held back until there is a supervisor to pass them on to: one that ended this
    # command now would leave a run behind that nobody has stopped.
    with process.held_back(STOP_SIGNALS):
        preparation = launching.prepare(spec, prompt, head, ledger, settings)
        try:
            # Without a reader the run is started all the same: it was asked for.
            with suppress(ReaderGoneError):
                output.lines(block.announcement(preparation.run))
                if spec.verbosity is not Verbosity.LOW:
                    output.text(head)
            started = launching.launch(preparation, settings)
        except RunnerError as error:
            launching.abandon(preparation, str(error), ledger)
            raise
        door = Door(preparation.run, started, output, ledger, settings)
    return door.launched() if arguments.detach else door.followed()


class Door:
    """Be between a run and the one who called for it, until its end or its launch."""

    def __init__(
        self,
        run: "Run",
        started: "launching.Started",
        output: Output,
        ledger: Ledger,
        settings: "Config",
    ) -> None:
        self._run_id = run.run_id
        self._supervisor = started.supervisor
        self._listener = started.listener
        self._output = output
        self._ledger = ledger
        self._settings = settings
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._stop)

    def launched(self) -> int:
        """Return when Codex has been launched; say so in full when it cannot be."""
        for piece in follow.until_launched(self._listener):
            if isinstance(piece, follow.Launched):
                return 0
            render.note(piece.text)
        run = settle(self._ledger.find(self._run_id), self._ledger, self._settings)
        return self._end() if run.is_finished else 0

    def followed(self) -> int:
        """Show the run as it happens, then the block, and return its exit code."""
        interrupt = process.SparedInterrupt()
        for piece in follow.until_finished(
            self._run_id, self._listener, self._ledger, self._settings
        ):
            if interrupt.was_sent():
                self._stop(signal.SIGINT)
            if isinstance(piece, follow.Shown):
                self._output.text(piece.text)
                self._output.check()
            else:
                render.note(piece.text)
        return self._end()

    def _end(self) -> int:
        run = self._ledger.find(self._run_id)
        if not isinstance(run.state, Finished):
            message = f"run {run.run_id} has no verdict: its record cannot be written"
            raise RunnerFault(message)
        whole = artifacts.read_json(record.files_of(run.spec).summary)
        self._output.lines(
            [*block.verdict(run), f"summary_json={render.compact(whole)}"]
        )
        for each in follow.until_closed(self._listener):
            render.note(each.text)
        verdict = run.state.verdict
        if verdict.error:
            render.note(f"{verdict.outcome}: {verdict.error}")
        return verdict.exit_code

    def _stop(self, number: int, _: object = None) -> None:
        render.note(f"{signal.Signals(number).name}: ending run {self._run_id}")
        if not process.send(self._supervisor, number):
            stop(self._ledger.find(self._run_id), number)


def _doctor(arguments: "Arguments", settings: "Config") -> int:
    from runner.service.doctor import examine  # noqa: PLC0415 - only when asked for

    checks = examine(arguments.request, settings)
    if arguments.json:
        print(render.doctor_json(checks))
    else:
        print("\n".join(render.doctor_lines(checks)))
    return 0 if all(check.is_good for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
