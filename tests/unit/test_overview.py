"""The list of the commands of each program, and the words that lead to them."""

import pytest
from support.programs import PROGRAMS

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
    assert set(program.words.values()) <= program.commands.keys()
    assert not program.words.keys() & program.commands.keys()


@every_program
def test_without_a_command_the_list_is_shown(
    program: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    codes = program.main([]), program.main(["help"])

    assert codes == (2, 0)
    assert capfd.readouterr().out == 2 * f"{program.overview}\n"
