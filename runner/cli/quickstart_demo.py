"""What a quickstart run plays on: the caller's own login, or all of it made here."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path

from parsers.struct import Struct
from runner import config, files
from runner.errors import FileFault
from runner.process.start import run_helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config import Config

TASK = "Look around in this repository and add a file HELLO.md that greets the reader."
_RUNS = Path("runs")
_GIT_SECONDS = 20.0
# Should this command be killed, the model is gone and Codex would try for an hour.
_OFFLINE_TIMEOUT_SECONDS = "300"


class Options(Struct):
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


def own_stage(wishes: Options, settings: Config) -> Scenario:
    """Build the run that the caller asked for; what is missing is a scratch task.

    Raises:
        FileFault: the scratch repository cannot be made.
    """
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
def offline_stage(
    wishes: Options, settings: Config, sandbox: str
) -> Iterator[Scenario]:
    """Serve a model for a demonstration, in a repository and homes of its own.

    The demonstration neither touches the caller's repository nor puts made-up costs
    into the caller's ledger.

    Raises:
        FileFault: they cannot be made.
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
    with server:
        yield Scenario(
            arguments=tuple(arguments),
            settings=_settings_within(place, settings),
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


def _settings_within(place: Path, settings: Config) -> Config:
    own = {
        "CODEX_HOME": str(place / "codex-home"),
        "CODEX_RUNNER_HOME": str(place / "state"),
    }
    return config.load({**settings.environment, **own})
