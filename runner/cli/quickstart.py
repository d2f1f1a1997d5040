"""`bin/quickstart`: install, run Codex once, and show the summary.

It does what `run_codex_task --detach` does, follows the run as `codex-tasks log` does,
and shows its summary as `parse_codex_run` does.
"""

from __future__ import annotations

import sys
import tempfile

from parsers.light import signal
from parsers.paths import Path
from parsers.run_summary import one_line
from parsers.struct import replace
from runner import config, files
from runner.cli.command import enter
from runner.cli.context import Context
from runner.cli.output import ReaderGoneError, note
from runner.cli.parser import Parser
from runner.cli.run_codex_task import examined, parse, start
from runner.errors import FileFault, RunnerFault
from runner.exports.run_exports import DEMONSTRATION
from runner.model import Finished
from runner.process.signals import handle, recorded
from runner.process.start import run_helper
from runner.run_files import files_of
from runner.service.doctor import examine
from runner.service.summarize import summarize_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.config import Config
    from runner.service.doctor import Check
    from runner.service.request import RunWords

PROG = "bin/quickstart"
TASK = "Look around in this repository and add a file HELLO.md that greets the reader."
_RUNS = Path("runs")
_GIT_SECONDS = 20.0
# When this command is killed, the model is gone and Codex would retry for an hour.
_OFFLINE_TIMEOUT_SECONDS = 300
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
_OPTIONS = """\
--offline          use the model on loopback even with a login
--repo DIR         where Codex works
--task TEXT        the prompt
--codex-bin BIN    the binary [default: codex]
"""
_EPILOG = """\
All other options are passed to run_codex_task.

With a login (`codex login`, or CODEX_API_KEY) the run uses your model. It works in
--repo on --task; by default in a scratch repository on a small task. Without a login,
or with --offline, it is a demonstration: the real Codex, driven by a model server on
127.0.0.1, runs a command and adds a file in a scratch repository.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: that of the run."""
    words = list(sys.argv[1:] if argv is None else argv)
    handle(_INTERRUPTS[1:], signal.default_int_handler)
    return enter(lambda settings: _command(words, settings))


def _command(argv: list[str], settings: Config) -> int:
    parser = Parser(
        _OPTIONS,
        prog=PROG,
        usage="%(prog)s [--offline] [--repo DIR] [--task TEXT] [options]",
        description="Run Codex once, in the background; show the run and its summary.",
        epilog=_EPILOG,
    )
    end = argv.index("--") if "--" in argv else len(argv)
    found, rest = parser.parse_known_args(argv[:end])
    rest += argv[end:]
    asked = ["--repo", found.repo or ".", "--codex-bin", found.codex_bin]
    asked += [] if found.task is None else [f"--task={found.task}"]
    arguments = parse([*asked, *rest], settings)
    login, sandbox = _examined(arguments.words, settings)
    fault = None if sandbox is None or sandbox.is_good else sandbox
    if login is not None and login.is_good and not found.offline:
        if arguments.doctor:
            return examined(arguments, settings)
        note(f"{login.detail}: the run uses your model")
        if fault is not None:
            note(f"{fault.detail} -> {fault.fix}")
        return _run_own(arguments.words, settings, has_repo=found.repo is not None)
    note("no login is used: the model is a server on this machine")
    if found.repo or rest:
        note("your repository is not used; run `codex login` to use your model")
    if fault is not None:
        note(f"{fault.detail}: the run has no sandbox, in its scratch repository")
    asked += ["-s", "workspace-write" if fault is None else "danger-full-access"]
    asked += [f"--timeout={_OFFLINE_TIMEOUT_SECONDS}", "-c", DEMONSTRATION]
    return _demonstrate(parse(asked, settings).words, settings)


def _examined(words: RunWords, settings: Config) -> tuple[Check | None, Check | None]:
    """Ask the doctor for the login and the sandbox.

    Raises:
        RunnerFault: there is no Codex.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # The check creates no state directory.
        aside = replace(settings, state_home=Path(scratch))
        checks = {check.name: check for check in examine(words, aside)}
    codex = checks["codex"]
    if not codex.is_good:
        message = f"{codex.detail} -> {codex.fix}"
        raise RunnerFault(message)
    return checks.get("login"), checks.get("sandbox")


def _run_own(words: RunWords, settings: Config, *, has_repo: bool) -> int:
    """Run the caller's task, by default a small one in a scratch repository."""
    if words.task is words.task_file is words.resume is None:
        words = replace(words, task=TASK)
    if has_repo:
        return _run(words, settings)
    sandbox = words.codex.sandbox or "workspace-write"
    words = replace(words, codex=replace(words.codex, sandbox=sandbox))
    words, place = _in_scratch(words, settings)
    return _run(words, settings, place)


def _demonstrate(words: RunWords, settings: Config) -> int:
    """Serve a model for a demonstration, in a repository and homes of its own.

    The demonstration neither touches the caller's repository nor puts made-up costs
    into the caller's ledger: no command takes over a record with its mark.
    """
    from runner.loopback import LoopbackServer, demo, write_home  # noqa: PLC0415 - HTTP

    words, place = _in_scratch(words, settings)
    if words.task is None:
        words = replace(words, task=TASK)
    home, state = place / "codex-home", place / "state"
    try:
        server = LoopbackServer(demo)
        write_home(home, server.config_toml())
    except OSError as error:
        raise FileFault("set up a demonstration in", place, error) from error
    homes = {"CODEX_HOME": str(home), "CODEX_RUNNER_HOME": str(state)}
    own = config.load({**settings.environment, **homes})
    with server:
        own = replace(own, umask=settings.umask)
        return _run(words, own, place, is_offline=True)


def _in_scratch(words: RunWords, settings: Config) -> tuple[RunWords, Path]:
    """Let a run work in an empty repository, in a new directory."""
    files.make_directory(_RUNS)
    try:
        place = Path(tempfile.mkdtemp(prefix="quickstart-", dir=_RUNS)).absolute()
    except OSError as error:
        raise FileFault("make a directory in", _RUNS, error) from error
    repo = place / "repo"
    files.make_directory(repo)
    words = replace(words, repo=str(repo))
    git = ["git", "init", "--initial-branch=main", words.repo]
    if run_helper(git, settings.environment, _GIT_SECONDS):
        return words, place
    codex = replace(words.codex, skip_git_repo_check=True)
    return replace(words, codex=codex), place


def _run(
    words: RunWords,
    settings: Config,
    place: Path | None = None,
    *,
    is_offline: bool = False,
) -> int:
    """Run Codex and show the run until its end.

    Args:
        words: the run.
        settings: the configuration of the run.
        place: the new directory of the run, if one was made.
        is_offline: this process serves its model, so it ends with this process.
    """
    context = Context(settings)
    note("starting run_codex_task --detach")
    # Recorded, not blocked: the model server's thread receives signals too.
    with recorded(_INTERRUPTS) as came:
        follower = start(words, context)
    try:
        if came:
            signal.raise_signal(came[0])
        follower.show()
    except (KeyboardInterrupt, ReaderGoneError):
        if is_offline:
            note("ending the demonstration")
            follower.end(signal.SIGINT)
            follower.settled()
        else:
            run_id = follower.run_id
            note(f"the run goes on; parse_codex_run {run_id} shows its state")
        raise
    run = follower.settled()
    note(f"the run has ended; parse_codex_run {run.run_id} says:")
    context.output.lines([one_line(summarize_run(run.run_id, _RUNS, settings))])
    left = files_of(run.spec)
    note(f"all files: {left.summary} (beside it {left.log.name}, …)")
    if place is not None:
        note(f"changed files: {place / 'repo'}")
    return run.state.verdict.exit_code if isinstance(run.state, Finished) else 1


if __name__ == "__main__":
    sys.exit(main())
