"""A fixture that refuses real processes, for tests that need none."""

import os
import subprocess
from collections.abc import Callable
from typing import NoReturn

import pytest

_FORBIDDEN = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system")


@pytest.fixture(autouse=True)
def no_real_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to start processes; pytest-subprocess' fakes still work."""
    monkeypatch.setattr(subprocess.Popen, "__init__", _refuse("Popen"))
    for name in _FORBIDDEN:
        monkeypatch.setattr(os, name, _refuse(name))


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refuse(*arguments: object, **_options: object) -> NoReturn:
        # pytest's own exception passes every `except Exception` on its way up.
        pytest.fail(f"this test called {name} with {arguments[1:]!r}")

    return refuse
