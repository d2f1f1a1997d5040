"""The progress of a big import is shown on a terminal only, and not too often."""

import os
from typing import TYPE_CHECKING, cast

import pytest

from runner import clock
from runner.cli.tasks import upkeep

if TYPE_CHECKING:
    from runner.cli.context import Context


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize(("is_terminal", "notes"), [(True, 3), (False, 0)])
def test_progress_is_shown_on_a_terminal_every_two_seconds(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool, notes: int
) -> None:
    now = [0.0]
    monkeypatch.setattr(os, "isatty", lambda _: is_terminal)
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    context = Notes()

    show = upkeep._progress(cast("Context", context))
    for done in range(1_000, 1_013):
        now[0] = (done - 1_000) / 2
        show(done, 5_000)

    assert len(context.said) == notes
    assert all("of 5,000 rollouts read" in each for each in context.said)
