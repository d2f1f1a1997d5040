"""What `send` says of a run whose supervisor is gone before it has said anything."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import ledgers
from support.runs import settings

from runner import clock
from runner.errors import RunnerFault
from runner.ledger.ledger import Ledger
from runner.lifecycle.handoff import StatusReader
from runner.lifecycle.launch import Started, prepare_run
from runner.service import send

if TYPE_CHECKING:
    from runner.lifecycle.launch import Ask


def test_a_run_whose_supervisor_was_just_killed_is_not_said_to_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(tmp_path / "state"))
    ledger = Ledger(ours.state_home)
    first = ledgers.session_of(ledger, repo=str(tmp_path))
    session = ledger.sessions.get(first.session)
    held: list[int] = []

    def start(ask: "Ask", *_: object) -> Started:
        prepared = prepare_run(ask(ledger), ledger, ours)
        held.extend((prepared.owner, prepared.events))
        reader, writer = os.pipe()
        # The kernel closes the pipe of a process that it kills, then its lock.
        os.close(writer)
        return Started(
            run_id=prepared.run.run_id,
            supervisor=ledgers.gone(),
            reader=StatusReader(reader),
            head="",
            log="",
            has_others=False,
        )

    def sleep(_: float) -> None:
        while held:
            os.close(held.pop())

    monkeypatch.setattr(send, "start_run", start)
    monkeypatch.setattr(clock, "sleep", sleep)

    with pytest.raises(RunnerFault, match="supervisor ended before it started Codex"):
        send.send(session, b"More.", ledger, ours, warn=print)
