"""Process tests start real processes and must not leave any behind."""

from pathlib import Path

import pytest
from support import stand_in as script
from support.agents import Agents
from support.commands import Cli
from support.sessions import Sessions
from support.stand_in import StandIn, make_stand_in


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this tier, for `bin/test --quick`."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("process")


@pytest.fixture(autouse=True)
def _guarded(processes_guarded: None) -> None:
    """Let no test leave processes behind."""


@pytest.fixture
def codex(tmp_path: Path) -> StandIn:
    """Make a stand-in that opens a thread at every start and answers with its prompt.

    It notices when two calls work on one thread at once.
    """
    directory = tmp_path / "codex-of-sessions"
    steps = [
        *script.begin(),
        script.alone(),
        script.message("answer to $PROMPT"),
        script.complete(),
    ]
    return make_stand_in(directory, *steps, thread=script.FRESH)


@pytest.fixture
def sessions(cli: Cli, repo: Path, codex: StandIn, tmp_path: Path) -> Sessions:
    """Start sessions of the stand-in in the repository."""
    return Sessions(cli, repo, codex, tmp_path)


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """Name the file that a waiting stand-in waits for."""
    return tmp_path / "go"


@pytest.fixture
def waiting(stand_in: StandIn, go: Path) -> StandIn:
    """Make Codex wait for the test in the middle of its turn."""
    stand_in.plays(
        *script.begin(),
        script.wait_for(go),
        script.message("It is done."),
        script.complete(),
    )
    return stand_in


@pytest.fixture
def held(codex: StandIn, go: Path) -> Path:
    """Let every Codex wait for a file, once it has named its thread."""
    codex.plays(
        *script.begin(),
        script.wait_for(go),
        script.when("Fail", *script.fail("it did not work")),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    return go


@pytest.fixture
def without_timer(cli: Cli) -> None:
    """Let only commands and supervisors deliver prompts."""
    cli.environment["CODEX_RUNNER_TIMER"] = "0"


@pytest.fixture
def agents(sessions: Sessions) -> Agents:
    """Start jobs of the stand-in in the repository."""
    return Agents(sessions)
