"""A run is told its own tokens, whichever figure its Codex prints."""

from typing import Any

import pytest
from support import stand_in as script
from support.stand_in import StandIn
from support.tasks import Tasks

OLD, CURRENT = "codex-cli 0.50.0", "codex-cli 0.169.0"


def ending_with(total: int) -> list[script.Step]:
    """Play a run whose last event tells so many tokens; there is no rollout."""
    parts = {
        "input_tokens": total - total // 10,
        "cached_input_tokens": total // 2,
        "output_tokens": total // 10,
    }
    return [*script.begin(), script.message("Done."), script.complete(parts)]


def used(task: Tasks, *, is_first: bool = False) -> dict[str, Any]:
    ended = task(*([] if is_first else ["--resume", script.THREAD]))
    assert ended.code == 0
    assert ended.files.summary["token_usage"] == ended.meta["token_usage"]
    found: dict[str, Any] = ended.meta["token_usage"]
    shown = "thread total: total="
    if found["total_tokens"] is not None:
        total = found["total_tokens"]
        shown = f"tokens used\n{total:,}\nToken usage: total={total:,} input="
    for text in (ended.stdout, ended.files.log):
        assert text.count(shown) == text.count(": total=") == 1
    return found


@pytest.mark.parametrize(
    ("version", "told"),
    [(OLD, [1000, 3000, 500]), (CURRENT, [1000, 3000, 3500])],
    ids=["of its process", "of the thread"],
)
def test_each_run_of_a_session_is_told_its_own_tokens(
    task: Tasks, stand_in: StandIn, version: str, told: list[int]
) -> None:
    found: list[dict[str, Any]] = []
    for total in told:
        stand_in.plays(*ending_with(total), version=version)
        found.append(used(task, is_first=not found))

    own = [1000, 3000 if version == OLD else 2000, 500]
    assert [each["total_tokens"] for each in found] == own
    assert [each["output_tokens"] for each in found] == [n // 10 for n in own]
    assert {each["source"] for each in found} == {"events"}


def test_the_tokens_of_an_aborted_run_are_not_told_as_those_of_the_next(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*ending_with(1000))
    assert used(task, is_first=True)["total_tokens"] == 1000
    stand_in.plays(*script.begin(), script.hang())
    aborted = task("--resume", script.THREAD, "--timeout", "0.3")
    assert aborted.fields["outcome"] == "timed_out"

    stand_in.plays(*ending_with(9000))
    third = used(task)

    assert third["total_tokens"] is None
    assert third["input_tokens"] is None
    assert "before the run" in third["reason"]


def test_the_tokens_after_a_run_whose_figure_is_known_again_are_told(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), script.leave(1))
    task()
    found = []
    for total in (9000, 9500):
        stand_in.plays(*ending_with(total))
        found.append(used(task)["total_tokens"])

    assert found == [None, 500]
