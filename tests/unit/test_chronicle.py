"""The files of a session follow its runs, and a fault in them costs a warning."""

from pathlib import Path

import pytest
from support.runs import run

from runner.chronicle import Chronicle
from runner.errors import LedgerFault
from runner.store.ledger import Ledger
from runner.store.sessions import Row


def test_an_index_that_cannot_be_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    warnings: list[str] = []
    chronicle = Chronicle(ledger, tmp_path, warnings.append)

    def find(_id: str) -> Row | None:
        raise LedgerFault(tmp_path, "disk I/O error")

    monkeypatch.setattr(ledger.sessions, "find", find)
    elsewhere = run(log_dir=str(tmp_path / "logs"))
    chronicle.began(elsewhere)
    chronicle.wrote(elsewhere, [b"{}\n"])
    chronicle.ended(elsewhere, "An answer.")

    assert warnings
    assert all("disk I/O error" in each for each in warnings)
