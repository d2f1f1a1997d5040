import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.text import release, strip, uuid, visible


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[0m",
        "\x1b[1;31m",
        "\x1b[?25l",
        "\x1b]0;a title\x07",
        "\x1b]8;;https://example.org\x1b\\",
        "\x1bPq#0;2;0;0;0\x1b\\",
        "\x1bM",
        "\x1b(B",
    ],
)
def test_every_kind_of_control_sequence_is_stripped(sequence: str) -> None:
    assert strip(f"a{sequence}b{sequence}") == "ab"


def test_an_unfinished_sequence_stays() -> None:
    assert strip("a\x1b[") == "a\x1b["


@given(st.text())
def test_visible_text_holds_no_control_character_but_tab_and_newline(text: str) -> None:
    shown = visible(text)

    assert not [
        char
        for char in shown
        if char not in "\t\n" and (char < " " or "\x7f" <= char < "\xa0")
    ]


def test_control_characters_are_shown_by_their_number() -> None:
    assert visible("a\x1b[2J\x9b\0\tb\r\nc\rd") == ("a\\x1b[2J\\x9b\\x00\tb\nc\\x0dd")


def test_characters_that_deceive_are_shown_by_their_number() -> None:
    assert visible("a\u202e\u202a\u2066\u2069\u200e\u200f\u061cb") == (
        r"a\u202e\u202a\u2066\u2069\u200e\u200f\u061cb"
    )
    assert visible("a\u200b\u2060\ufeff\xadb\U000e0041") == (
        r"a\u200b\u2060\ufeff\xadb\ue0041"
    )
    assert visible("شكرا, 文字, é, \u200d") == "شكرا, 文字, é, \u200d"


def test_a_uuid_is_put_into_lower_case_and_nothing_else_is_one() -> None:
    name = "01A1F87A-1EDB-7772-A295-BCDEC2D6D2FD"

    assert uuid(name) == name.lower()
    assert uuid("../../etc") is None
    assert uuid(f"{name}/..") is None
    assert uuid(7) is None


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("0.80.0", (0, 80)),
        ("0.169.0-alpha.3", (0, 169)),
        ("0.80-beta", (0, 80)),
        ("1", (1,)),
        ("unknown", None),
        ("0.x", None),
        ("", None),
        (None, None),
    ],
)
def test_a_release_is_the_first_two_numbers_of_a_version(
    version: str | None, numbers: tuple[int, ...] | None
) -> None:
    assert release(version) == numbers
