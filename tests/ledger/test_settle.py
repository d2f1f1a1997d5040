"""A run that was left behind is judged by whoever looks first."""

import os
from pathlib import Path

import pytest
from support.runs import AT, PROCESS, run, settings

from runner import clock
from runner.errors import FileFault, NoSuchRunError
from runner.ledger import record
from runner.ledger.runs import Ledger
from runner.lifecycle.recover import living, reconcile_run
from runner.locks import lock
from runner.model import Ended, Outcome, Running, Verdict
from runner.service.lookup import find_run


def test_a_run_that_goes_meanwhile_is_no_fault_of_the_command_line(
    tmp_path: Path,
) -> None:
    ours = settings(tmp_path)
    ledger = Ledger(ours.state_home)
    running = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)
    gone = run(running, log_dir=str(tmp_path))

    with pytest.raises(NoSuchRunError) as meanwhile:
        reconcile_run(gone, ledger, ours)
    with pytest.raises(NoSuchRunError) as named:
        find_run(gone.run_id, tmp_path, ledger, ours)

    assert (meanwhile.value.exit_code, named.value.exit_code) == (3, 2)


def test_who_comes_second_to_judge_a_run_waits_for_the_verdict_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = settings(tmp_path)
    ledger = Ledger(ours.state_home)
    running = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)
    left = run(running, log_dir=str(tmp_path))
    ledger.prepare(left)
    prompt = record.files_of(left.spec).prompt
    prompt.write_bytes(b"Do it.")
    first = lock(prompt, is_there=True)
    assert first is not None
    verdict = Verdict(outcome=Outcome.STOPPED, exit_code=143)

    def judge(_: float) -> None:
        ledger.advance(left, Ended(at=AT, verdict=verdict, accounts={}))
        os.close(first)

    monkeypatch.setattr(clock, "sleep", judge)

    assert reconcile_run(left, ledger, ours).outcome is Outcome.STOPPED


def test_of_runs_that_have_gone_meanwhile_none_lives(tmp_path: Path) -> None:
    ours = settings(tmp_path)
    running = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)
    gone = run(running, log_dir=str(tmp_path))

    assert living([gone], Ledger(ours.state_home), ours) == []


def test_a_session_that_cannot_be_told_costs_the_verdict_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = settings(tmp_path)
    ledger = Ledger(ours.state_home)
    running = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)
    left = run(running, log_dir=str(tmp_path))
    ledger.prepare(left)

    def refuse(*_: object, **__: object) -> None:
        raise FileFault("lock", tmp_path, OSError("full"))

    monkeypatch.setattr(settle, "_tell_session", refuse)
    settled = reconcile_run(left, ledger, ours)

    assert settled.verdict is not None
    assert settled.verdict.outcome is Outcome.LOST
    assert ledger.find(left.run_id).verdict == settled.verdict
