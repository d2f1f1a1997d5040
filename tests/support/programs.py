"""Every program of the suite, with the parser and the table of each command."""

from argparse import Action

from runner.cli import (
    codex_agent,
    codex_bg,
    codex_tasks,
    parse_codex_run,
    run_codex_task,
)
from runner.cli.parser import Parser
from runner.cli.program import Command, Program

# Those of several commands.
PROGRAMS: dict[str, Program] = {
    module.PROG: module.PROGRAM for module in (codex_tasks, codex_agent)
}
COMMANDS: dict[str, Command] = {
    f"{prog} {name}": program.load(name)
    for prog, program in PROGRAMS.items()
    for name in program.commands
}
PARSERS: dict[str, Parser] = {
    "run_codex_task": run_codex_task.build_parser(),
    "parse_codex_run": parse_codex_run.build_parser(),
    "codex-bg": codex_bg.build_parser(),
    **{
        f"{prog} {name}": program.parser_of(name, COMMANDS[f"{prog} {name}"])
        for prog, program in PROGRAMS.items()
        for name in program.commands
    },
}
TABLES: dict[str, str] = {
    "run_codex_task": run_codex_task._OPTIONS,
    "codex-bg": codex_bg._OPTIONS,
    **{name: command.options for name, command in COMMANDS.items()},
}


def actions_of(name: str) -> list[Action]:
    """Give the options and arguments of a command."""
    return list(PARSERS[name]._actions)
