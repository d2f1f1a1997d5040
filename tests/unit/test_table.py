"""Cells of any script take the columns that a terminal gives them."""

import pytest

from runner.cli.look import Look
from runner.cli.table import Column, drawn, plain

# What a terminal shows in so many columns.
TITLES = {
    "plain": 5,
    "日本語": 6,
    "한국어": 6,
    "한": 2,
    "שלום": 4,
    "שָׁלוֹם": 4,
    "مرحبا": 5,
    "สวัสดี": 4,
    "नमस्ते": 4,
    "cafe\u0301": 4,
    "❤\ufe0f": 2,
    "👩": 2,
}


@pytest.mark.parametrize("title", TITLES)
def test_a_title_of_any_script_keeps_the_column_behind_it(title: str) -> None:
    _, plain_row, row = plain([Column("T", ["x" * 8, title]), Column("S", ["a", "b"])])

    assert plain_row == f"{'x' * 8}  a"
    assert row == f"{title}{' ' * (8 - TITLES[title])}  b"


@pytest.mark.parametrize("title", TITLES)
def test_a_cut_title_is_not_wider_than_its_room(title: str) -> None:
    width = max(2, TITLES[title] - 1)

    (cell,) = Column("T", [title * 3], least=2).cut(width).cells

    assert Column("", [cell]).width <= width


def test_on_a_terminal_text_from_right_to_left_moves_no_other_cell() -> None:
    title = "\u05e9\u05dc\u05d5\u05dd"
    columns = [Column("T", [title, "abc"]), Column("Tokens", ["1,234", "5"])]

    _, turned, other = drawn([columns], Look()).splitlines()

    assert turned == f"\u2068{title}\u2069  1,234"
    assert other == "abc   5"
    assert "\u2068" not in "".join(plain(columns))
