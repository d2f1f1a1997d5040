"""A session between two runs of its queue is at work, whenever one looks at it."""

from typing import Any

import pytest
import runner.settle

from runner.config import Config, load
from runner.service import sessions


class _Run:
    is_finished = False


class _Delivering:
    """A ledger whose last prompt another process delivers after so many questions."""

    def __init__(self, questions: int) -> None:
        self.mail = self
        self._questions = questions

    def waiting(self, _: str) -> list[object]:
        return [] if self._is_delivered() else [object()]

    def counts(self) -> dict[str, int]:
        return {} if self._is_delivered() else {"session": 1}

    def unfinished_of(self, _: str) -> list[_Run]:
        return [_Run()] if self._is_delivered() else []

    def last_of(self, _: str) -> _Run | None:
        return _Run() if self._is_delivered() else None

    def unfinished(self) -> list[_Run]:
        return []

    def _is_delivered(self) -> bool:
        self._questions -= 1
        return self._questions < 0


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Config:
    """Let nobody here deliver anything: somebody else has the session."""
    for module in (tasks, runner.settle):
        monkeypatch.setattr(module, "settle", lambda run, *_, **__: run)
    monkeypatch.setattr(mailbox, "deliver", lambda *_, **__: None)
    return load({"HOME": "/nowhere"})


@pytest.mark.parametrize("questions", range(4))
def test_a_prompt_that_is_delivered_between_two_looks_is_seen(
    questions: int, settings: Config
) -> None:
    ledger: Any = _Delivering(questions)

    assert sessions.is_at_work("session", ledger, settings)


@pytest.mark.parametrize("questions", range(1, 4))
def test_taking_stock_sees_it_too(questions: int, settings: Config) -> None:
    ledger: Any = _Delivering(questions)

    assert sessions.take_stock(ledger, settings).running == {"session"}


class _Over(_Run):
    is_finished = True


class _Stuck(_Delivering):
    """A ledger whose disk is full: the end of a run cannot be put on record."""

    def __init__(self) -> None:
        super().__init__(questions=100)

    def unfinished_of(self, _: str) -> list[_Run]:
        return [_Run()]

    def last_of(self, _: str) -> _Run | None:
        return _Run()


def test_a_session_whose_end_cannot_be_put_on_record_is_not_at_work(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (tasks, runner.settle):
        monkeypatch.setattr(module, "settle", lambda *_, **__: _Over())
    ledger: Any = _Stuck()

    assert not sessions.is_at_work("session", ledger, settings)
