"""What is handed to a supervisor reads back, and tells nothing of the prompt."""

import sys

import pytest

from runner.lifecycle.handoff import SupervisorArgs, read


@pytest.mark.parametrize("lock", [None, 0, 9])
def test_orders_read_back(lock: int | None) -> None:
    orders = SupervisorArgs(run_id="20261120-1", channel=8, guard=6, session_lock=lock)

    argv = orders.to_argv()

    assert read(argv[argv.index("runner.supervisor") :]) == orders
    assert argv[:2] == [sys.executable, "-P"]
