"""Colours and signs: what the environment and the options decide."""

from collections.abc import Mapping

import pytest

from parsers.exec_events.items import typed
from runner.cli import look, table
from runner.cli.look import Look
from runner.cli.viewer import folded

TERMINAL = {"TERM": "xterm"}


@pytest.mark.parametrize(
    ("environment", "colour", "shown", "coloured"),
    [
        (TERMINAL, None, True, True),
        (TERMINAL, "auto", True, True),
        (TERMINAL, "auto", False, False),
        (TERMINAL, "never", True, False),
        (TERMINAL, "always", False, True),
        ({}, None, True, False),
        ({"TERM": "dumb"}, None, True, False),
        ({**TERMINAL, "NO_COLOR": "1"}, None, True, False),
        ({**TERMINAL, "NO_COLOR": ""}, None, True, True),
        ({**TERMINAL, "NO_COLOR": "1"}, "always", True, True),
        ({**TERMINAL, "NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, None, True, False),
        ({**TERMINAL, "CLICOLOR_FORCE": "1"}, None, False, True),
        ({**TERMINAL, "CLICOLOR_FORCE": "0"}, None, False, False),
        ({**TERMINAL, "CLICOLOR_FORCE": "1"}, "never", True, False),
    ],
)
def test_the_option_decides_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
    environment: Mapping[str, str],
    colour: str | None,
    *,
    shown: bool,
    coloured: bool,
) -> None:
    monkeypatch.setattr(look, "is_terminal", lambda: shown)

    found = look.of(environment, colour, is_ascii=False)

    assert found.has_colour == coloured
    assert found.is_drawn == (shown or colour == "always")


@pytest.mark.parametrize(
    ("environment", "ascii_only"),
    [
        ({}, False),
        ({"LANG": "de_DE.UTF-8"}, False),
        ({"LANG": "de_DE.utf8"}, False),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "de_DE.UTF-8", "TERM": "dumb"}, True),
    ],
)
def test_the_locale_decides_which_signs_there_are(
    environment: Mapping[str, str], *, ascii_only: bool
) -> None:
    assert look.of(environment, None, is_ascii=False).is_ascii == ascii_only
    assert look.of(environment, None, is_ascii=True).is_ascii


def test_a_floor_keeps_its_width_in_ascii() -> None:
    said = Look(is_ascii=True).signs("  ≥$1,284.10 ● “x” → ≥412k")

    assert said == '  $1,284.10+ * "x" > >412k'


def test_a_line_is_broken_between_words_and_long_words_anywhere() -> None:
    parts = [("now ", ""), ("cargo test -p checkout", "bold"), ("  3m 02s", "")]

    assert table.wrapped(parts, 14) == [
        [("now ", ""), ("cargo test", "bold")],
        [("-p checkout", "bold"), (" ", "")],
        [("3m 02s", "")],
    ]
    (first, *_, last) = table.wrapped([("日本語" * 5, "")], 7)
    assert (first, last) == ([("日本語", "")], [("日本語", "")])


def test_a_coloured_line_of_a_command_is_broken_at_the_edge() -> None:
    line = "\x1b[1;36muser\x1b[0m 日本語 \x1b[2mx\x1b[m\x07"

    assert folded(line, 6) == [
        [("user", " 1;36"), (" ", "")],
        [("日本語", "")],
        [(" ", ""), ("x", " 2"), ("\\x07", "")],
    ]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("cargo test", "cargo test"),
        ("bash -lc ls", "ls"),
        ("/bin/bash -lc 'cargo test -p x'", "cargo test -p x"),
        ('zsh -lc "echo \\"a\\""', 'echo "a"'),
        ("bash -lc 'echo '\\''a'\\'''", "echo 'a'"),
        ("/bin/bash -lc 'unfinished", "unfinished"),
        ("/bin/bash -c 'cargo test -p x'", "cargo test -p x"),
        ("sh -c 'a && b'", "a && b"),
        ("/usr/bin/env bash -c 'cargo test'", "cargo test"),
        ("env sh -c ls", "ls"),
        ('bash -c "it\'s"', "it's"),
        ("bash -c 'echo '\"'\"'a'\"'\"", "echo 'a'"),
        ("bash -c 'echo $0' x", "'echo $0' x"),
        ("bash -c\n", "bash -c\n"),
        ("fish -c x", "fish -c x"),
        ("bash -x script", "bash -x script"),
        ("bash -lc ", "bash -lc "),
    ],
)
def test_a_command_is_shown_as_it_would_be_typed(command: str, said: str) -> None:
    assert typed(command) == said
