"""`codex-tasks`: sessions of Codex, started in the background and managed by id."""

from __future__ import annotations

import sys

from runner.cli.context import Context
from runner.cli.parser import Parser, enter, leave, meant
from runner.cli.tasks import COMMANDS, module_of
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import ModuleType

    from runner.config import Config

PROG = "codex-tasks"
_EXIT_CODES = """\
exit codes: 0 done; 1 failed, with the reason; 2 wrong usage; 3 no such task; 75 the
task is busy; 124 waited too long; 130 interrupted; 141 the reader of standard output
is gone.
"""
_TASK = """\
A TASK is a short id, a thread id, the beginning of one (4 and 6 digits or more, when
it fits one task alone), a run id, or a title. Put `--` before an argument that starts
with `-`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return enter(lambda settings: _command(words, settings))


def _command(words: list[str], settings: Config) -> int:
    if words and words[0] in COMMANDS:
        command, *rest = words
        module = load(command)
        found = parser_of(command, module).parse_args(rest)
        code: int = module.main(found, Context(settings))
        return code
    if words and not words[0].startswith("-"):
        hint = meant(words[0], {each: each for each in COMMANDS})
        message = f"no command {words[0]!r} ({hint}codex-tasks --help lists them)"
        raise UsageError(message)
    whole_parser().parse_args(words)
    message = "a command is needed (codex-tasks --help lists them)"
    raise UsageError(message)


def load(command: str) -> ModuleType:
    """Load the module of a command."""
    name = module_of(command)
    __import__(name)
    return sys.modules[name]


def parser_of(command: str, module: ModuleType) -> argparse.ArgumentParser:
    """Build the parser of one command."""
    parser = Parser(
        prog=f"{PROG} {command}",
        description=module.SUMMARY,
        epilog=f"examples:\n{module.EXAMPLES}\n{_TASK}\n{_EXIT_CODES}",
    )
    module.arguments(parser)
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """Build the parser that knows all commands, for the help and for completions."""
    parser = Parser(
        prog=PROG,
        description="Start sessions of Codex in the background and manage them by id.",
        epilog=f"{_TASK}\n{_EXIT_CODES}",
    )
    parser.add_general(has_script=False)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=Parser
    )
    for command in COMMANDS:
        module = load(command)
        module.arguments(
            commands.add_parser(
                command, help=module.SUMMARY, description=module.SUMMARY
            )
        )
    return parser


if __name__ == "__main__":
    leave(main())
