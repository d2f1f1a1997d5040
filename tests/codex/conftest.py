"""The real Codex against the loopback server.

Absent, it skips these tests on a developer's machine; with CODEX_E2E=1, as bin/test
sets it, its absence is a failure: a green run must mean that they were run.
"""

import os
from pathlib import Path

import pytest
from support.codex_home import find_real_codex
from support.commands import Cli
from support.real_codex import RealTasks
from support.real_sessions import RealSessions
from support.stand_in import StandIn


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


@pytest.fixture
def codex(cli: Cli, repo: Path, real_codex: Path, tmp_path: Path) -> RealTasks:
    """Start runs of the real Codex in the repository."""
    return RealTasks(cli, repo, StandIn(real_codex), tmp_path)


@pytest.fixture
def sessions(codex: RealTasks) -> RealSessions:
    """Start sessions of the real Codex in the repository."""
    return RealSessions(codex)
