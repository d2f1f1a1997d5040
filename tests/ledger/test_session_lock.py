"""The lock of a session is the kernel's; the name in its file is a courtesy."""

import errno
import os
from pathlib import Path

import pytest
from support.runs import SESSION, spec

from runner import session_lock
from runner.ledger.runs import Ledger
from runner.model import SessionId
from runner.session_lock import Busy, Held

RUN_ID = spec().run_id


def take(home: Path) -> Held | Busy:
    return session_lock.take(home, Ledger(home), SessionId(SESSION), RUN_ID)


def refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["ftruncate", "pwrite"])
def test_a_full_disk_does_not_cost_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(os, step, refuse)

    taken = take(tmp_path)

    assert isinstance(taken, Held)
    assert isinstance(take(tmp_path), Busy)
    os.close(taken.descriptor)
    again = take(tmp_path)
    assert isinstance(again, Held)
    os.close(again.descriptor)


def test_a_lock_is_given_back_at_the_end_of_a_block(tmp_path: Path) -> None:
    taken = take(tmp_path)
    assert isinstance(taken, Held)

    with taken:
        assert isinstance(take(tmp_path), Busy)

    again = take(tmp_path)
    assert isinstance(again, Held)
    os.close(again.descriptor)


def test_whoever_comes_second_is_told_who_holds_it(tmp_path: Path) -> None:
    taken = take(tmp_path)

    assert isinstance(taken, Held)
    assert take(tmp_path) == Busy(RUN_ID)
    os.close(taken.descriptor)
