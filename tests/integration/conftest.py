"""Integration tests start real processes and must not leave any behind."""

import pytest


@pytest.fixture(autouse=True)
def _guarded(processes_guarded: None) -> None:
    """Watch over every test."""
