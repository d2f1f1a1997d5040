"""Fixtures that tests of every kind may use.

Nothing of the developer's own is touched: processes get an environment that is built
here, with a home, a CODEX_HOME and a state directory of the test's own.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.codex_home import built_environment
from support.commands import Cli
from support.forks import Forks
from support.guard import MARKER, no_process_left
from support.processes import processes_below
from support.repository import make_repository
from support.stand_in import StandIn, make_stand_in
from support.tasks import Tasks

from runner.loopback import LoopbackServer, scripted, write_home

# How long an example takes tells of the machine and of what else it does.
settings.register_profile(
    "shared",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("shared"), max_examples=20)
# `bin/test --quick` sets the variable.
settings.load_profile("quick" if os.environ.get("CODEX_TESTS_QUICK") else "shared")


@pytest.fixture(scope="session")
def loopback() -> Iterator[LoopbackServer]:
    """Serve the scripted model: one server for each xdist worker."""
    with LoopbackServer(scripted) as server:
        yield server


@pytest.fixture
def codex_home(tmp_path: Path, loopback: LoopbackServer) -> Path:
    """Make a fresh CODEX_HOME that sends Codex to the loopback server."""
    home = tmp_path / "codex-home"
    write_home(home, loopback.config_toml())
    return home


@pytest.fixture(scope="session")
def repo_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the repository that tests get a copy of."""
    return make_repository(tmp_path_factory.mktemp("template") / "repo")


@pytest.fixture
def repo(tmp_path: Path, repo_template: Path) -> Path:
    """Make a fresh git repository with one commit."""
    return Path(shutil.copytree(repo_template, tmp_path / "repo"))


@pytest.fixture
def state_home(tmp_path: Path) -> Path:
    """Name a state directory that nobody has made yet."""
    return tmp_path / "state"


@pytest.fixture
def marker() -> str:
    """Give the value by which everything that the test starts is known."""
    return uuid.uuid4().hex


@pytest.fixture
def environment(
    tmp_path: Path, codex_home: Path, state_home: Path, marker: str
) -> dict[str, str]:
    """Build the environment of what the test starts; a test may change it."""
    return built_environment(
        tmp_path / "home",
        CODEX_HOME=codex_home,
        CODEX_RUNNER_HOME=state_home,
        **{MARKER: marker},
    )


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Load the suite once for the commands that run to their end."""
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path, forks: Forks) -> Iterator[Cli]:
    """Run the suite's commands; what was started in the background is ended."""
    cli = Cli(environment, cwd=tmp_path, forks=forks)
    yield cli
    cli.end()


@pytest.fixture
def stand_in(tmp_path: Path) -> StandIn:
    """Make a stand-in `codex` that does well until it is told otherwise."""
    return make_stand_in(tmp_path / "stand-in")


@pytest.fixture
def task(cli: Cli, repo: Path, stand_in: StandIn, tmp_path: Path) -> Tasks:
    """Start runs of the stand-in in the repository."""
    return Tasks(cli, repo, stand_in, tmp_path)


@pytest.fixture
def processes_guarded(
    marker: str,
    forks: Forks,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,  # noqa: ARG001  # it is removed once they have ended
) -> Iterator[None]:
    """Fail a test that leaves processes behind, and end them."""
    monkeypatch.setenv(MARKER, marker)
    with no_process_left(marker, others=lambda: processes_below(forks.pid)):
        yield
