"""`bin/quickstart`: one Codex run from nothing to its counted summary.

It does what a script would do: starts `run_codex_task --detach`, reads the id from its
lines, follows the run, and asks `parse_codex_run` what has come of it.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from parsers.struct import Struct, replace
from runner import clock, config, files
from runner.cli.output import Output, ReaderGoneError, note
from runner.cli.parser import Parser, enter
from runner.cli.run_options import parse as parse_run
from runner.config import Config
from runner.errors import FileFault, RunnerFault
from runner.ledger.ledger import Ledger
from runner.lifecycle.recover import reconcile_run
from runner.model import Finished
from runner.process.signals import handle, reap, recorded
from runner.process.start import Launch, run_helper, start_program
from runner.run_files import files_of
from runner.service.doctor import Check, examine
from runner.service.stop import end_run

PROG = "bin/quickstart"
TASK = "Look around in this repository and add a file HELLO.md that greets the reader."
_RUNS = Path("runs")
_GIT_SECONDS = 20.0
# Should this command be killed, the model is gone and Codex would try for an hour.
_OFFLINE_TIMEOUT_SECONDS = "300"
_PACE_SECONDS = 0.05
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
_OPTIONS = """\
--offline          never use a login
--repo DIR         where Codex works
--task TEXT        what it is to do
--codex-bin BIN    the binary [default: codex]
"""
_EPILOG = """\
Every other option is one of run_codex_task and passed on to it.

With a login (`codex login`, or CODEX_API_KEY) the run is on your model, in --repo and
with --task, or else in a scratch repository with a small task. Without one, or with
--offline, it is a demonstration: the real Codex, driven by a model server on
127.0.0.1, runs a command and adds a file in a scratch repository.
"""


class Wishes(Struct):
    """Hold what the caller of a quickstart has asked for.

    `rest` are options of `run_codex_task`, passed on as they are; `has_prompt` and
    `has_sandbox` tell whether they hold these.
    """

    repo: str | None
    task: str | None
    codex_bin: str
    has_prompt: bool
    has_sandbox: bool
    is_offline: bool
    rest: tuple[str, ...]


class Scenario(Struct):
    """Hold a run's command line, less the program, and the settings it is read with.

    `place` is the directory that was made for it, if one was.
    """

    arguments: tuple[str, ...]
    settings: Config
    place: Path | None
    is_offline: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: that of the run."""
    words = sys.argv[1:] if argv is None else argv
    handle([signal.SIGTERM], signal.default_int_handler)
    return enter(lambda settings: _command(_parse(words), settings))


def _parse(argv: Sequence[str]) -> Wishes:
    parser = Parser(
        prog=PROG,
        usage="%(prog)s [--offline] [--repo DIR] [--task TEXT] [options]",
        description="Run Codex once, in the background, and show all that comes of it.",
        epilog=_EPILOG,
    )
    parser.describe(_OPTIONS)
    end = argv.index("--") if "--" in argv else len(argv)
    found, rest = parser.parse_known_args(argv[:end])
    names = {word.partition("=")[0] for word in rest}
    return Wishes(
        repo=found.repo,
        task=found.task,
        codex_bin=found.codex_bin,
        has_prompt=bool(names & {"--task-file", "--resume"}),
        has_sandbox=bool(names & {"--sandbox", "-s"}),
        is_offline=found.offline,
        rest=(*(word for word in rest if word != "--detach"), *argv[end:]),
    )


def _command(wishes: Wishes, settings: Config) -> int:
    with _stage(wishes, settings) as stage:
        output = Output()
        note("starting run_codex_task --detach")
        run_id = None
        try:
            with _uninterrupted():
                run_id, code = _start(stage, output)
            if run_id is None:
                return code
            code = _follow(run_id, stage, output)
        except (KeyboardInterrupt, ReaderGoneError):
            if run_id is not None:
                _leave(run_id, stage)
            raise
        note(f"the run has ended; parse_codex_run {run_id} says:")
        _ended(_spawn(["parse_codex_run", "--format=text", run_id], stage, 1))
        left = files_of(Ledger(stage.settings.state_home).runs.find(run_id).spec)
        note(f"the whole of it: {left.summary} (beside it {left.log.name}, …)")
        if stage.place is not None:
            note(f"what it has changed: {stage.place / 'repo'}")
        return code


@contextmanager
def _stage(wishes: Wishes, settings: Config) -> Iterator[Scenario]:
    checks = _examined(wishes, settings)
    codex, login, sandbox = (checks.get(n) for n in ("codex", "login", "sandbox"))
    if codex is not None and not codex.is_good:
        message = f"{codex.detail} -> {codex.fix}"
        raise RunnerFault(message)
    if login is not None and login.is_good and not wishes.is_offline:
        note(f"{login.detail}: the run is on your model")
        if sandbox is not None and not sandbox.is_good:
            note(f"{sandbox.detail} -> {sandbox.fix}")
        yield _own_stage(wishes, settings)
        return
    note("no login is used: a model server on this machine plays the model")
    if wishes.repo or wishes.rest:
        note("it leaves your repository alone; `codex login` makes it yours")
    mode = "workspace-write"
    if sandbox is not None and not sandbox.is_good:
        mode = "danger-full-access"
        note(f"{sandbox.detail}: it runs without one, in its scratch repository")
    with _offline_stage(wishes, settings, mode) as stage:
        yield stage


def _own_stage(wishes: Wishes, settings: Config) -> Scenario:
    """Build the run that the caller asked for; what is missing is a scratch task."""
    arguments: list[str] = []
    place = None
    if wishes.repo is None:
        place = _make_place()
        arguments += _repository(place, settings)
        if not wishes.has_sandbox:
            arguments += ["--sandbox", "workspace-write"]
    else:
        arguments += ["--repo", wishes.repo]
    if wishes.task is not None or not wishes.has_prompt:
        arguments.append(f"--task={TASK if wishes.task is None else wishes.task}")
    arguments += ["--codex-bin", wishes.codex_bin, *wishes.rest]
    return Scenario(
        arguments=tuple(arguments), settings=settings, place=place, is_offline=False
    )


@contextmanager
def _offline_stage(
    wishes: Wishes, settings: Config, sandbox: str
) -> Iterator[Scenario]:
    """Serve a model for a demonstration, in a repository and homes of its own.

    The demonstration neither touches the caller's repository nor puts made-up costs
    into the caller's ledger.
    """
    from runner.loopback import LoopbackServer, demo, write_home  # noqa: PLC0415 - HTTP

    place = _make_place()
    arguments = _repository(place, settings)
    task = TASK if wishes.task is None else wishes.task
    arguments += [f"--task={task}", "--sandbox", sandbox]
    arguments += ["--timeout", _OFFLINE_TIMEOUT_SECONDS]
    arguments += ["--codex-bin", wishes.codex_bin]
    try:
        server = LoopbackServer(demo)
        write_home(place / "codex-home", server.config_toml())
    except OSError as error:
        raise FileFault("set up a demonstration in", place, error) from error
    homes = {
        "CODEX_HOME": str(place / "codex-home"),
        "CODEX_RUNNER_HOME": str(place / "state"),
    }
    with server:
        yield Scenario(
            arguments=tuple(arguments),
            settings=config.load({**settings.environment, **homes}),
            place=place,
            is_offline=True,
        )


def _make_place() -> Path:
    files.make_directory(_RUNS)
    try:
        return Path(tempfile.mkdtemp(prefix="quickstart-", dir=_RUNS)).absolute()
    except OSError as error:
        raise FileFault("make a directory in", _RUNS, error) from error


def _repository(place: Path, settings: Config) -> list[str]:
    """Make an empty repository and return the options that name it."""
    repo = place / "repo"
    files.make_directory(repo)
    git = ["git", "init", "--initial-branch=main", str(repo)]
    if not run_helper(git, settings.environment, _GIT_SECONDS):
        return ["--repo", str(repo), "--skip-git-repo-check"]
    return ["--repo", str(repo)]


def _examined(wishes: Wishes, settings: Config) -> Mapping[str, Check]:
    """Ask the doctor, without making a state directory for the asking."""
    asked = ["--repo", wishes.repo or ".", "--codex-bin", wishes.codex_bin]
    if wishes.task is not None:
        asked.append(f"--task={wishes.task}")
    asked += wishes.rest
    with tempfile.TemporaryDirectory() as scratch:
        aside = replace(settings, state_home=Path(scratch))
        checks = examine(parse_run(asked, aside).words, aside)
    return {check.name: check for check in checks}


def _start(stage: Scenario, output: Output) -> tuple[str | None, int]:
    found = None
    reader, writer = os.pipe()
    try:
        pid = _spawn(["run_codex_task", "--detach", *stage.arguments], stage, writer)
    finally:
        os.close(writer)
    with os.fdopen(reader, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with suppress(ReaderGoneError):  # the id is needed all the same
                output.text(line)
            key, _, value = line.strip().partition("=")
            found = value if key == "codex_run_id" else found
    return found, _ended(pid)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put an interrupt off to the end of the block: a run just made needs a reader."""
    with recorded(_INTERRUPTS) as came:
        yield
    if came:
        raise KeyboardInterrupt


def _follow(run_id: str, stage: Scenario, output: Output) -> int:
    from runner.tail import RunTail  # noqa: PLC0415 - the parsers, not before the start

    ledger = Ledger(stage.settings.state_home)
    run = ledger.runs.find(run_id)
    watch = RunTail(files_of(run.spec))
    while not run.is_finished:
        output.text(watch.read().text)
        clock.sleep(_PACE_SECONDS)
        run = reconcile_run(ledger.runs.find(run_id), ledger, stage.settings)
    for written in watch.finish():
        output.text(written.text)
    return run.state.verdict.exit_code if isinstance(run.state, Finished) else 1


def _leave(run_id: str, stage: Scenario) -> None:
    """Say what becomes of the run; a demonstration cannot go on without its model."""
    if not stage.is_offline:
        note(f"the run goes on; parse_codex_run {run_id} tells how it is")
        return
    note("ending the demonstration")
    ledger = Ledger(stage.settings.state_home)
    end_run(ledger.runs.find(run_id), signal.SIGINT, ledger, stage.settings)
    while not reconcile_run(
        ledger.runs.find(run_id), ledger, stage.settings
    ).is_finished:
        clock.sleep(_PACE_SECONDS)


def _spawn(command: Sequence[str], stage: Scenario, stdout: int) -> int:
    name, *arguments = command
    argv = [sys.executable, "-P", "-m", f"runner.cli.{name}", *arguments]
    return start_program(
        Launch(
            argv=argv, environment=stage.settings.environment, stdout=stdout, stderr=2
        )
    )


def _ended(pid: int) -> int:
    while True:
        for ended, status in reap():
            if ended == pid:
                return os.waitstatus_to_exitcode(status)
        clock.sleep(_PACE_SECONDS / 5)


if __name__ == "__main__":
    sys.exit(main())
