"""The list of the commands of each program, and the words that lead to them."""

import pytest
from support.programs import PROGRAMS

from runner.cli import codex_tasks
from runner.cli.program import Program

every_program = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)


def named(program: Program) -> set[str]:
    lines = [line[8:28] for line in program.overview.splitlines()[2:-3]]
    return {name for line in lines for name in line.replace(",", " ").split()}


@every_program
def test_each_command_is_in_the_list_and_each_line_fits(program: Program) -> None:
    known = {each.partition(" ")[0] for each in named(program)}

    assert known - {'"PROMPT"'} == program.commands.keys()
    assert max(map(len, program.overview.splitlines())) <= 80


@every_program
def test_a_word_leads_to_a_command_and_hides_none(program: Program) -> None:
    known = {each.split()[0] for each in program.words.values()}
    assert known <= {*program.commands, "--version"}
    assert not program.words.keys() & program.commands.keys()


@every_program
def test_without_a_command_the_list_is_shown(
    program: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    codes = program.main([]), program.main(["help"])

    assert codes == (2, 0)
    assert capfd.readouterr().out == 2 * f"{program.overview}\n"


MEANT = {
    "clean": "--help",
    "purge": "--help",
    "page": "--help",
    "prun": "--help",
    "delet": "--help",
    "frobnicate": "--help",
    "version": "--version",
    "sto": "stop TASK",
    "kil": "stop TASK",
    "watch": "top",
    "resum": "resume",
    "star": 'start "PROMPT"',
    "new": 'start "PROMPT"',
    "statsu": "status TASK",
    "view": "status TASK",
    "open": "attach TASK",
    "edit": "queue edit",
    "history": "ls -a",
    "limits": "slots",
    "delete": "rm TASK",
}


@pytest.mark.parametrize("word", MEANT)
def test_a_word_is_answered_with_the_one_command_that_is_meant(
    word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert codex_tasks.main([word]) == 2

    fix = f"fix:   codex-tasks {MEANT[word]}"
    assert capfd.readouterr().err.splitlines() == [
        f"error: there is no command {word!r}",
        fix,
    ]


@pytest.mark.parametrize("word", ["run", "add", "start"])
def test_the_help_of_a_word_is_that_of_the_command(
    word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        codex_tasks.main(["help", word])

    assert "codex-tasks start" in capfd.readouterr().out
