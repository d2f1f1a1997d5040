"""The README, the reference of commands and the commands' own help say the same."""

import argparse
import re
from pathlib import Path

import pytest
from support.programs import PARSERS, PROGRAMS

from parsers.error_classes import CLASSES
from runner.cli.main import COMMANDS as COMMAND_NAMES
from runner.errors import RunnerError
from runner.model import Outcome

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
AGENT = (ROOT / "docs" / "agent.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
# The pages that are the reference of a program, the first one of all others.
PAGES = {"": COMMANDS, "codex-agent": AGENT, "codex-bg": AGENT}
OPTIONS = [
    (command, action)
    for command, parser in PARSERS.items()
    for action in parser._actions
    if action.help != argparse.SUPPRESS
]


@pytest.mark.parametrize(
    ("command", "action"), OPTIONS, ids=lambda value: str(getattr(value, "dest", value))
)
def test_every_option_has_help_and_is_in_the_reference(
    command: str, action: argparse.Action
) -> None:
    names = action.option_strings or [str(action.metavar)]
    page = page_of(command)

    assert action.help, (command, names)
    assert any(re.search(rf"{re.escape(name)}\b", page) for name in names), names


@pytest.mark.parametrize("page", [COMMANDS, AGENT], ids=["commands", "agent"])
def test_every_option_that_the_reference_names_exists(page: str) -> None:
    known = {
        name
        for parser in PARSERS.values()
        for action in parser._actions
        for name in action.option_strings
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))

    assert named - {"--flag", "--fast"} <= known


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_is_in_the_reference(program: str) -> None:
    page = page_of(program)

    for command in PROGRAMS[program].commands:
        assert re.search(rf"`{command}[ `]|{program} {command}\b", page), command


def page_of(command: str) -> str:
    return PAGES.get(command.split(maxsplit=1)[0], PAGES[""])


def test_the_readme_has_no_more_than_1_900_words() -> None:
    assert len(README.split()) <= 1900


def test_every_command_is_in_the_readme_and_has_a_script_of_its_own() -> None:
    for command in COMMAND_NAMES:
        assert f"`{command}`" in README
        assert (ROOT / "bin" / command).is_file()


def test_every_outcome_and_every_exit_code_of_ours_is_explained() -> None:
    not_yet = {Outcome.OVER_BUDGET}

    for outcome in set(Outcome) - not_yet:
        assert f"`{outcome}`" in COMMANDS
    for error in _descendants(RunnerError):
        assert f"| {error.exit_code} |" in COMMANDS


def test_the_two_commands_of_a_fresh_machine_stand_at_the_top() -> None:
    top = README[:1000]

    assert "bin/quickstart" in top
    assert "bin/test" in top


def _descendants(kind: type[RunnerError]) -> list[type[RunnerError]]:
    below = kind.__subclasses__()
    return below + [each for child in below for each in _descendants(child)]


@pytest.mark.parametrize("package", ["runner", "parsers"])
def test_every_module_has_its_place_in_the_architecture(package: str) -> None:
    table = [line for line in ARCHITECTURE.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`(?:runner/)?(\w+)`", "\n".join(table)))
    modules = {path.stem for path in (ROOT / package).glob("*.py")}

    assert modules - named == {"__init__"}


def test_every_error_class_is_in_the_reference_with_its_answer() -> None:
    _, _, rest = COMMANDS.partition("| error class | retryable |")
    rows = [line.split("|") for line in rest.partition("\n\n")[0].splitlines()[2:]]
    said = {
        named: answer.split(":")[0].strip() == "true"
        for _, names, answer, _ in rows
        for named in re.findall(r"`(\w+)`", names)
    }

    assert said == {named: can for named, (can, _) in CLASSES.items()}
