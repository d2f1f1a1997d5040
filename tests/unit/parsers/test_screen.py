"""What the older cleaner has destroyed stays; what is only of a screen goes."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.any_log import read_log
from parsers.text_logs.screen import clean

SESSION = "0199c1b2-1234-7000-8000-00000000abcd"


@pytest.mark.parametrize(
    "text",
    [
        *("Edit src/config.yaml", "call obj.toString()", "https://x.io/a/b.jsonl"),
        *("ran tests... all passed", "...", "spread(...args)", "wait…"),
        *("    indented\n\tby a tab\n        deeper", "a\n\n\n\nb", "\n\na\n\n"),
        *("again\nagain\nagain\n", "arr[0;1m] = [1m", "literal [1m and [0m"),
        *("> a quotation\n>\n> goes on", "trailing blanks   ", "x\ty\t"),
        *(
            "about 42% context left, so",
            "press esc to interrupt it",
            "- ? for shortcuts",
        ),
        *("Working (5s) is a word", "Thinking about it", "say \u203a\nand ▌ here"),
        *("╭────╮\n│ a  │\n╰────╯", "⏎ is a key", "1. send a newline", "größe 🎉"),
        "The footer has `42% context left · ? for shortcuts`.",
        "a very long line " * 500,
    ],
)
def test_what_somebody_wrote_stays(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b[?25lx\x1b[2K", "red x"),
        ("\x1b]0;a title\x07a\x1b]8;;https://x.io\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("\x1bPq#0;2;0;0;0\x1b\\a\x1b(Bb\x1bMc", "abc"),
        ("\x9b31mred\x9b0m\x9d0;title\x9cx\x90q\x9cy", "redxy"),
        ("a\x1b]0;a title\nof two lines\x07b\nc", "ab\nc"),
        ("a\x1bPq\n#0\n\x1b\\b", "ab"),
        ("\x1b[1m[1m\x1b[0m", "[1m"),
        ("a\x07b\x00c\x08d\x7f", "abcd"),
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("10 %\r50 %\r100 %\ndone", "100 %\ndone"),
    ],
)
def test_control_sequences_go(text: str, left: str) -> None:
    assert clean(text) == left


@pytest.mark.parametrize(
    "line",
    [
        *(
            "? for shortcuts",
            "  ? for shortcuts",
            "\u203a ? for shortcuts",
            "\u203a",
            "▌ ",
        ),
        *("42% context left", "42% context left · ? for shortcuts"),
        *("  100% context left · ? for shortcuts  ", "esc to interrupt"),
        *("• Working (5s • esc to interrupt)", "◦ Working (1m 05s • esc to interrupt)"),
        *("⠙ Thinking (12s • esc to interrupt)", "\x1b[2m42% context left\x1b[0m"),
        "⏎ send   ⌃J newline   ⌃T transcript   ⌃C quit",
    ],
)
def test_a_line_of_the_screen_alone_goes(line: str) -> None:
    assert clean(f"before\n{line}\nafter\n") == "before\nafter\n"


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"])))
def test_text_without_control_characters_changes_by_whole_lines_only(text: str) -> None:
    lines = iter(text.split("\n"))
    assert all(line in lines for line in clean(text).split("\n") if line)


@given(st.text())
def test_what_is_clean_stays_as_it_is(text: str) -> None:
    once = clean(text)
    assert clean(once) == once


@pytest.mark.parametrize(
    "line",
    [
        f"session id: {SESSION}",
        f"\x1b[1msession id:\x1b[0m {SESSION}",
        f"\x1b]0;codex\x07\x1b[2msession id: \x1b[36m{SESSION}\x1b[0m\r",
    ],
)
def test_the_session_id_is_found_in_coloured_logs(line: str) -> None:
    log = f"OpenAI Codex v0.169.0\n--------\n{line}\n--------\nuser\n[1m hi\n"
    found = read_log(BytesIO(log.encode()))
    assert found.session_id == SESSION
