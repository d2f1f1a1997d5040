"""`run_codex_task`: one Codex run, launched, followed, judged and counted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

from runner.cli.output import Output, ReaderGoneError, checks_shown
from runner.cli.parser import enter, leave
from runner.cli.run_options import Arguments, parse
from runner.config import Config
from runner.errors import RunnerError
from runner.exports.key_values import header
from runner.ledger.ledger import Ledger
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.launch import fail_launch, launch_run, prepare_run
from runner.model import Verbosity
from runner.process.signals import BackgroundInterrupt, blocked


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    return enter(lambda settings: _command(parse(words, settings), settings))


def _command(arguments: Arguments, settings: Config) -> int:
    if arguments.doctor:
        return _doctor(arguments, settings)
    from runner.exports.preamble import preamble  # noqa: PLC0415 - not for --help
    from runner.service.request import read_prompt, run_request  # noqa: PLC0415

    output = Output()
    prompt = read_prompt(arguments.words)
    ledger = Ledger(settings.state_home)
    request = run_request(arguments.words, prompt, ledger, settings)
    interrupt = BackgroundInterrupt()
    # Blocked until there is a supervisor to pass them on to: a signal that ended this
    # command now would leave a run behind that was not stopped.
    with blocked(STOP_SIGNALS):
        prepared = prepare_run(request, ledger, settings)
        spec = prepared.run.spec
        try:
            # Without a reader the run is started all the same: it was asked for.
            with suppress(ReaderGoneError):
                output.lines(header(spec))
                if spec.verbosity is not Verbosity.LOW:
                    output.text(preamble(spec, settings))
            started = launch_run(prepared, settings)
        except RunnerError as error:
            fail_launch(prepared.run, str(error), ledger)
            raise
        # Loaded while the supervisor comes up, not before the id is out.
        from runner.cli.follow_run import RunFollower  # noqa: PLC0415

        follower = RunFollower(started, output, ledger, settings)
    if arguments.detach:
        return follower.launched()
    return follower.followed(interrupt)


def _doctor(arguments: Arguments, settings: Config) -> int:
    from runner.service.doctor import examine  # noqa: PLC0415 - only when asked for

    checks = examine(arguments.words, settings)
    Output().lines(checks_shown(checks, as_json=arguments.json))
    return 0 if all(check.is_good for check in checks) else 1


if __name__ == "__main__":
    leave(main())
