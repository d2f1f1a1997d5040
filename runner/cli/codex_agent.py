"""`codex-agent`: a team of Codex agents, each a job with a short id."""

from __future__ import annotations

from runner.cli import agent
from runner.cli.command import leave
from runner.cli.program import Program

PROG = "codex-agent"
_ID = """\
An ID is the short id of a job or a prefix of it (at least 4 digits), a thread id or a
prefix (at least 6), or a run id. Put `--` before an argument that starts with `-`.
"""
PROGRAM = Program(
    prog=PROG,
    package=agent.__name__,
    commands=agent.COMMANDS,
    overview=agent.OVERVIEW,
    words=agent.WORDS,
    notes={"ID": _ID},
    usual="start",
    # There 2 says that the context is full.
    wrong_usage={"await-turn": 64},
)
main, load = PROGRAM.main, PROGRAM.load
parser_of, whole_parser = PROGRAM.parser_of, PROGRAM.whole_parser

if __name__ == "__main__":
    leave(main())
