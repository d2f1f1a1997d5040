"""What removed sessions have used is kept in a file, whatever happens to that."""

from pathlib import Path
from typing import Any

from runner.ledger import removed
from runner.ledger.usage import COLUMNS


def entry(
    run_id: str, model: str = "gpt-5", usd: float | None = 0.25
) -> tuple[Any, ...]:
    known: dict[str, Any] = dict.fromkeys(COLUMNS, 1)
    return tuple({**known, "run_id": run_id, "model": model, "usd": usd}.values())


def test_what_is_noted_is_read_again(tmp_path: Path) -> None:
    of_one = [entry("1"), entry("1", "o9", None)]
    removed.note(tmp_path, [*of_one, entry("2")])
    removed.note(tmp_path, [])

    assert removed.noted(tmp_path) == {"1": of_one, "2": [entry("2")]}
    assert (tmp_path / removed.NAME).stat().st_mode & 0o777 == 0o600


def test_the_last_word_counts(tmp_path: Path) -> None:
    removed.note(tmp_path, [entry("1", usd=1.0)])
    removed.note(tmp_path, [entry("1", usd=2.0)])

    assert removed.noted(tmp_path) == {"1": [entry("1", usd=2.0)]}


def test_damaged_lines_cost_no_other(tmp_path: Path) -> None:
    torn = '[]\n{"run_id": []}\n{"run_id": "x", "usage": [1]}\n{"run_id": "torn", "us'
    (tmp_path / removed.NAME).write_text(torn)

    removed.note(tmp_path, [entry("1")])

    assert removed.noted(tmp_path) == {"1": [entry("1")]}
