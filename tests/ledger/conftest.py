"""Ledger tests use SQLite and files, and start no process."""

import os
from collections.abc import Iterator

import pytest
from support.no_process import no_real_process

__all__ = ["no_real_process"]


@pytest.fixture(autouse=True)
def _umask_restored() -> Iterator[None]:
    """Undo what a command has set that ran in this process."""
    umask = os.umask(0o022)
    yield
    os.umask(umask)
