"""`codex-tasks`: sessions of Codex, started in the background and managed by id."""

from __future__ import annotations

from runner.cli import tasks
from runner.cli.command import leave
from runner.cli.program import Program

PROG = "codex-tasks"
_TASK = """\
A TASK is a short id, a thread id, a unique prefix of one (at least 4 digits of a short
id, 6 of a thread id), a run id, or a title. Put `--` before an argument that starts
with `-`.
"""
PROGRAM = Program(
    prog=PROG,
    package=tasks.__name__,
    commands=tasks.COMMANDS,
    overview=tasks.OVERVIEW,
    words=tasks.WORDS,
    drawn=tasks.DRAWN,
    notes={"TASK": _TASK},
)
main, load = PROGRAM.main, PROGRAM.load
parser_of, whole_parser = PROGRAM.parser_of, PROGRAM.whole_parser

if __name__ == "__main__":
    leave(main())
