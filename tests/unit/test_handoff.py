"""What is handed to a supervisor reads back, and holds nothing of the prompt."""

import sys

from runner.lifecycle.handoff import SupervisorArgs, read


def test_the_command_line_of_a_supervisor_reads_back() -> None:
    handed = SupervisorArgs(run_id="20261120-1", pipe=8, owner=6, events=0)

    argv = handed.to_argv()

    assert read(argv[argv.index("runner.supervisor") :]) == handed
    assert argv[:2] == [sys.executable, "-P"]
