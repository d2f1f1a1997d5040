"""What the real Codex has left behind, recorded on a model server on loopback."""

from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).with_name("data")


@pytest.fixture
def recorded() -> Callable[[str], bytes]:
    """Read a recorded file by its name."""

    def read(name: str) -> bytes:
        return (DATA / name).read_bytes()

    return read
