"""The list of the commands, and the words that lead to them."""

import pytest

from runner.cli import codex_tasks
from runner.cli.tasks import COMMANDS, OVERVIEW, WORDS


def named() -> set[str]:
    lines = [line[8:28] for line in OVERVIEW.splitlines()[2:-3]]
    return {name for line in lines for name in line.replace(",", " ").split()}


def test_each_command_is_in_the_list_and_each_line_fits() -> None:
    assert named() == COMMANDS.keys()
    assert max(map(len, OVERVIEW.splitlines())) <= 80


def test_a_word_leads_to_a_command_and_hides_none() -> None:
    assert set(WORDS.values()) <= COMMANDS.keys()
    assert not WORDS.keys() & COMMANDS.keys()


def test_without_a_command_the_list_is_shown(
    capfd: pytest.CaptureFixture[str],
) -> None:
    codes = codex_tasks.main([]), codex_tasks.main(["help"])

    assert codes == (2, 0)
    assert capfd.readouterr().out == 2 * f"{OVERVIEW}\n"
