import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers import loose_json

OBJECT = b'{"type":"turn.started"}'


@pytest.mark.parametrize(
    "line",
    [
        OBJECT,
        OBJECT + b"\r\n",
        b"\xef\xbb\xbf" + OBJECT,
        b"\0\0" + OBJECT + b"\0",
        b"\x1b[0m" + OBJECT + b"\x1b[0m",
        b"\x1b[32m\0" + OBJECT + b"\0\x1b[0m\n",
    ],
)
def test_padding_around_an_object_is_accepted(line: bytes) -> None:
    assert loose_json.load_object(line) == {"type": "turn.started"}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b'"text"',
        b"prose " + OBJECT,
        OBJECT + b" prose",
        OBJECT + OBJECT,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"a":' + b"1" * 5_000 + b"}",
    ],
)
def test_a_line_without_an_object_is_refused_with_a_reason(line: bytes) -> None:
    with pytest.raises(loose_json.NotAnObjectError, match=r"\S"):
        loose_json.load_object(line)


def test_odd_values_inside_of_an_object_are_read() -> None:
    line = b'{"a":NaN,"b":"\\ud800","c":"\xff","d":"\x01","e":"raw\x1b[0m"}'

    fields = loose_json.load_object(line)

    assert loose_json.text(fields["b"]) == "?"
    assert loose_json.text(fields["c"]) == "\N{REPLACEMENT CHARACTER}"
    assert loose_json.text(fields["d"]) == "\x01"
    assert loose_json.number(fields["a"]) is None


@given(st.text())
def test_a_narrowed_text_can_be_encoded(text: str) -> None:
    narrowed = loose_json.text(text + "\ud83d")

    assert narrowed is not None
    assert narrowed.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7), (" 7 ", 7), (7, 7), (7.0, 7), (True, None), ("7.5", None), ([], None)],
)
def test_whole_numbers_may_be_written_as_text(
    value: object, expected: int | None
) -> None:
    assert loose_json.integer(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7.5", 7.5),
        (7, 7.0),
        (True, None),
        ("x", None),
        ("inf", None),
        (float("nan"), None),
        (10**400, None),
        (None, None),
    ],
)
def test_numbers_are_finite(value: object, expected: float | None) -> None:
    assert loose_json.number(value) == expected
