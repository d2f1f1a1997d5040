"""What is handed to a supervisor reads back, and holds nothing of the prompt."""

import sys

from runner.lifecycle.handoff import argv_of


def test_the_command_line_of_a_supervisor_reads_back() -> None:
    argv = argv_of("20261120-1", 8, 6, 0)

    named = argv.index("runner.supervisor")
    assert argv[named + 1 :] == ["20261120-1", "8", "6", "0"]
    assert argv[:2] == [sys.executable, "-P"]
