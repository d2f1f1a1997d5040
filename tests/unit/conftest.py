"""Unit tests are pure: a real process or a database fails the test that asks for it."""

from typing import NoReturn

import pytest
from support.no_process import no_real_process

from parsers import light

__all__ = ["no_real_process"]


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **_options: object) -> NoReturn:
        pytest.fail("this test opened a database: it belongs into tests/ledger")

    monkeypatch.setattr(light.sqlite3, "connect", refuse)
