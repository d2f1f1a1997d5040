"""A unit test cannot start a process or open a database, whatever way it tries."""

import os
import subprocess
from collections.abc import Callable

import pytest
from pytest_subprocess import FakeProcess

from parsers import light


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: subprocess.run(["true"], check=False),  # noqa: S607  # refused
        lambda: subprocess.Popen(["true"]),  # noqa: S607  # refused
        lambda: os.fork(),  # noqa: PLW0108  # looked up when it is refused
        lambda: os.system("true"),  # noqa: S605, S607  # refused
    ],
)
def test_a_real_process_is_refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(pytest.fail.Exception, match="this test called"):
        attempt()


def test_a_database_is_refused() -> None:
    with pytest.raises(pytest.fail.Exception, match="belongs into tests/ledger"):
        light.sqlite3.connect(":memory:")


def test_a_faked_process_is_not(fp: FakeProcess) -> None:
    fp.register(["codex", "--version"], stdout="codex-cli 0.169.0\n")

    done = subprocess.run(
        ["codex", "--version"],  # noqa: S607  # faked
        capture_output=True,
        check=False,
    )

    assert done.stdout == b"codex-cli 0.169.0\n"
