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
    assert {each.split()[0] for each in WORDS.values()} <= {*COMMANDS, "--version"}
    assert not WORDS.keys() & COMMANDS.keys()


def test_without_a_command_the_list_is_shown(
    capfd: pytest.CaptureFixture[str],
) -> None:
    codes = codex_tasks.main([]), codex_tasks.main(["help"])

    assert codes == (2, 0)
    assert capfd.readouterr().out == 2 * f"{OVERVIEW}\n"


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
