"""Unit tests are pure: a real process or a database fails the test that asks for it."""

import os
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def _same_umask() -> Iterator[None]:
    # A command sets its own, in a process that ends with it.
    umask = os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)
