"""A notify command is split into words, and no shell is asked."""

import pytest

from runner.errors import UsageError
from runner.notify import command_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hook", ["hook"]),
        ("hook --to 'a b' \"c d\"", ["hook", "--to", "a b", "c d"]),
        ("a;b $(c) | d > e", ["a;b", "$(c)", "|", "d", ">", "e"]),
        ("hook ''", ["hook", ""]),
    ],
)
def test_words_are_as_a_shell_would_split_them(text: str, words: list[str]) -> None:
    assert command_of(text) == words


@pytest.mark.parametrize("text", ["", "  ", "'open", 'a "b', "a\\"])
def test_what_is_no_command_is_refused_by_its_flag(text: str) -> None:
    with pytest.raises(UsageError, match="--notify-cmd"):
        command_of(text)
