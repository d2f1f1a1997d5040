"""A record that cannot be kept costs a warning; the verdict lands where it can."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.runs import AT, PROCESS, SESSION, run

from parsers.struct import replace
from runner.ledger import record
from runner.ledger.runs import Ledger, read_meta
from runner.lifecycle.channel import StatusPipe
from runner.model import (
    Claimed,
    Ended,
    Finished,
    Launched,
    Outcome,
    SessionId,
    Verdict,
)
from runner.supervisor.recorder import RunRecorder

ACCOUNTS: dict[str, object] = {"model": None, "warnings": {}}


@pytest.fixture
def channel() -> Iterator[StatusPipe]:
    reader, writer = os.pipe()
    yield StatusPipe(writer)
    os.close(reader)
    os.close(writer)


@pytest.fixture
def keeper(tmp_path: Path, channel: StatusPipe) -> RunRecorder:
    """Keep a run that Codex is at work on."""
    (tmp_path / "logs").mkdir()
    ledger = Ledger(tmp_path / "state")
    prepared = run(log_dir=str(tmp_path / "logs"))
    ledger.prepare(prepared)
    keeper = RunRecorder(prepared, ledger, channel)
    keeper.claim(Claimed(supervisor=PROCESS))
    keeper.carry(Launched(codex=PROCESS, at=AT))
    return keeper


def forget(state_home: Path) -> None:
    with closing(sqlite3.connect(state_home / "runs.db")) as db, db:
        assert db.execute("delete from runs").rowcount == 1


def test_a_run_that_vanished_from_the_index_has_its_verdict_in_the_meta_file(
    keeper: RunRecorder, tmp_path: Path
) -> None:
    forget(tmp_path / "state")

    keeper.keep(replace(keeper.run, session_id=SessionId(SESSION)))
    verdict = Verdict(outcome=Outcome.SUCCEEDED, exit_code=0)
    keeper.keep(keeper.run.advanced(Ended(verdict=verdict, at=AT, accounts=ACCOUNTS)))

    (warning,) = keeper.warnings
    assert keeper.run.run_id in warning
    found = read_meta(record.files_of(keeper.run.spec).meta)
    assert found is not None
    assert isinstance(found.state, Finished)
    assert found.state.verdict.outcome is Outcome.SUCCEEDED
    assert found.session_id == SESSION
