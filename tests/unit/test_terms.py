"""The terms of a prompt: read from options and settings, written and read again."""

import pytest

from runner import config
from runner.cli.options import Values, read_plain
from runner.cli.terms import EVENTS, LIMITS, WORKTREE, terms_of
from runner.errors import UsageError
from runner.ledger.settings import OwnSettings, read_own
from runner.terms import Terms

SETTINGS = config.load({"HOME": "/nowhere"})


def given(*words: str) -> Values:
    found = read_plain(WORKTREE + LIMITS + EVENTS, words, {})
    assert found is not None
    return found


def test_without_options_the_terms_are_the_usual_ones() -> None:
    assert terms_of(given(), SETTINGS) == Terms()


def test_every_option_is_a_term() -> None:
    words = "--worktree --base main --verify pytest --max-usd 1.5 --max-tokens 9"
    more = "--notify true --webhook https://a.example/x --desktop --max-iterations 4"

    found = terms_of(given(*words.split(), *more.split()), SETTINGS)

    assert found == Terms(
        worktree="main",
        max_usd=1.5,
        max_tokens=9,
        verify="pytest",
        verify_seconds=600.0,
        max_iterations=4,
        notify="true",
        webhook="https://a.example/x",
        is_on_desktop=True,
    )


@pytest.mark.parametrize(
    "words",
    [
        "--base main",
        "--max-iterations 2",
        "--verify a|b",
        "--verify x --max-iterations 0",
        "--verify x --verify-timeout soon",
        "--max-usd 0",
        "--max-usd nan",
        "--max-tokens 1.5",
        "--webhook ftp://a.example",
        "--webhook https://",
    ],
)
def test_a_wrong_value_is_refused(words: str) -> None:
    with pytest.raises(UsageError):
        terms_of(given(*words.split()), SETTINGS)


def test_a_prompt_keeps_its_terms_in_the_ledger() -> None:
    own = OwnSettings(terms=Terms(verify="make check", snapshot=False))

    text = own.to_json()

    assert read_own(text) == own
    assert "webhook" not in text
