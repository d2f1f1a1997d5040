"""A run that is over has its verdict, whatever fails beside it."""

from pathlib import Path

import pytest
from support.runs import AT, PROCESS, run, settings

from parsers.struct import replace
from runner.accounting import run as accounting
from runner.ledger import record
from runner.ledger.ledger import Ledger
from runner.lifecycle import finish as finishing
from runner.lifecycle.finish import RunEnd, finish
from runner.lifecycle.judge import Exit
from runner.model import Outcome, Running

RUNNING = Running(supervisor=PROCESS, codex=PROCESS, started_at=AT)


@pytest.mark.parametrize("fault", [OSError(5, "I/O error"), TypeError("a bug")])
def test_a_fault_in_the_accounting_never_costs_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(accounting, "account_log", fail)
    monkeypatch.setattr(finishing, "read_events", fail)
    ours = settings(tmp_path)
    begun = replace(run(RUNNING, directory=str(tmp_path)), codex_version="0.150.0")
    closing = RunEnd(at=AT, exit=Exit(process_exit_code=3))

    over = finish(begun, closing, Ledger(ours.state_home), ours)

    assert over.outcome is Outcome.FAILED
    assert str(fault) in str(record.to_json(over)["warnings"])
