"""Unit tests are pure: a real process or a database fails the test that asks for it."""

import sqlite3
from typing import NoReturn

import pytest
from support.no_process import no_real_process

__all__ = ["no_real_process"]


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **_options: object) -> NoReturn:
        pytest.fail("this test opened a database: it belongs into tests/ledger")

    monkeypatch.setattr(sqlite3, "connect", refuse)
