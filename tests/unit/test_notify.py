"""A notify command is split into words, and no shell is asked."""

import shlex

import pytest

from runner.errors import UsageError
from runner.notify import command_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hook", ["hook"]),
        ("hook --to 'a b' \"c d\"", ["hook", "--to", "a b", "c d"]),
        ("sh -c 'a;b $(c) | d > e'", ["sh", "-c", "a;b $(c) | d > e"]),
        ('hook "a;b" a\\;b x=~', ["hook", "a;b", "a;b", "x=~"]),
        ("hook 'it'\\''s' https://a/?b=c", ["hook", "it's", "https://a/?b=c"]),
        ("hook ''", ["hook", ""]),
    ],
)
def test_words_are_as_a_shell_would_split_them(text: str, words: list[str]) -> None:
    assert command_of(text) == words


@pytest.mark.parametrize("text", ["", "  ", "'open", 'a "b', "a\\"])
def test_what_is_no_command_is_refused_by_its_flag(text: str) -> None:
    with pytest.raises(UsageError, match="--notify-cmd"):
        command_of(text)


@pytest.mark.parametrize(
    "text",
    [
        *("hook | tee x", "hook >x", "a; b", "a && b", "hook &", "(a)", "a\nb"),
        *("hook $HOME", 'hook "$HOME"', "hook `a`", "~/hook", "hook ~/x", "A=1 hook"),
        """hook "it's $x" 'y'""",
    ],
)
def test_what_needs_a_shell_is_refused_with_the_command_that_uses_one(
    text: str,
) -> None:
    with pytest.raises(UsageError, match="needs a shell") as refused:
        command_of(text)

    (given,) = shlex.split(str(refused.value).partition(": pass ")[2])
    assert command_of(given) == ["sh", "-c", text]
