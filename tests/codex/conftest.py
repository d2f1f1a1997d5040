"""The real Codex against the loopback server.

Absent, it skips these tests on a developer's machine; with CODEX_E2E=1, as bin/test
sets it, its absence is a failure: a green run must mean that they were run.
"""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from support.codex_home import built_environment, find_real_codex, native_codex
from support.commands import Cli
from support.forks import Forks
from support.real_codex import RealTasks
from support.real_sessions import RealSessions
from support.stand_in import StandIn

from runner.loopback import LoopbackServer, write_home


@pytest.fixture(autouse=True)
def _guarded(processes_guarded: None) -> None:
    """Let no test leave processes behind."""


@pytest.fixture(scope="session")
def real_codex() -> Path:
    """Find the real binary."""
    path = find_real_codex()
    if path is not None:
        return path
    reason = (
        "the real Codex is not installed (bin/test does it; CODEX_E2E_BIN names one)"
    )
    if os.environ.get("CODEX_E2E") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


# What Codex does beside its turn: a copy of the shell, and git for its plugins' source.
# Both fail or are of no use here, and take a quarter of its time.
_BESIDE = "\n[features]\nplugins = false\nshell_snapshot = false\n"


@pytest.fixture(scope="session")
def used_home(
    real_codex: Path,
    loopback: LoopbackServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Make a CODEX_HOME in which Codex has made its databases, without a thread."""
    place = tmp_path_factory.mktemp("used-home")
    home = place / "codex-home"
    write_home(home, loopback.config_toml() + _BESIDE)
    words = ["exec", "--ephemeral", "--skip-git-repo-check", "say: hi"]
    subprocess.run(
        [native_codex(real_codex), *words],
        cwd=place,
        env=built_environment(place / "home", CODEX_HOME=home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return home


@pytest.fixture
def codex_home(tmp_path: Path, used_home: Path) -> Path:
    """Make a CODEX_HOME that sends Codex to the loopback server."""
    return Path(shutil.copytree(used_home, tmp_path / "codex-home"))


@pytest.fixture
def codex(cli: Cli, repo: Path, real_codex: Path, tmp_path: Path) -> RealTasks:
    """Start runs of the real Codex in the repository: of its native binary.

    The launcher of the npm package takes as long again to start.
    """
    return RealTasks(cli, repo, StandIn(native_codex(real_codex)), tmp_path)


@pytest.fixture(scope="module")
def shared(
    real_codex: Path,
    used_home: Path,
    repo_template: Path,
    forks: Forks,
    tmp_path_factory: pytest.TempPathFactory,
) -> RealTasks:
    """Start runs of the real Codex that several tests of a module look at."""
    place = tmp_path_factory.mktemp("shared")
    home = shutil.copytree(used_home, place / "codex-home")
    repo = Path(shutil.copytree(repo_template, place / "repo"))
    environment = built_environment(
        place / "home", CODEX_HOME=home, CODEX_RUNNER_HOME=place / "state"
    )
    cli = Cli(environment, cwd=place, forks=forks)
    return RealTasks(cli, repo, StandIn(native_codex(real_codex)), place)


@pytest.fixture
def launched(codex: RealTasks, real_codex: Path) -> RealTasks:
    """Start runs of the real Codex by the launcher of the npm package."""
    return replace(codex, stand_in=StandIn(real_codex))


@pytest.fixture
def sessions(codex: RealTasks) -> RealSessions:
    """Start sessions of the real Codex in the repository."""
    return RealSessions(codex)
