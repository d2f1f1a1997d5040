"""What is said to people is one line, and nothing in it is obeyed by a terminal."""

import pytest

from runner.cli.output import checks_shown, note
from runner.service.doctor import Check


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\r\nc", "a b c"),
        ("a\u202eb", r"a\u202eb"),
        ("a\udcffb\x07", r"a\udcffb\x07"),
    ],
)
def test_a_note_shows_what_a_terminal_would_obey(
    capfd: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    note(text)

    assert capfd.readouterr().err.partition(": ")[2] == f"{said}\n"


def test_a_finding_shows_what_a_terminal_would_obey() -> None:
    found = Check(name="repo", is_good=False, detail="a\x1b[2J", fix="b\x1b[2J")

    assert checks_shown([found]) == [r"FAIL repo: a\x1b[2J -> b\x1b[2J"]
