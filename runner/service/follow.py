"""Follow a run from its files to its end, whoever is left to write its verdict."""

from __future__ import annotations

import select

from parsers.struct import Struct
from runner import clock
from runner.ledger import record
from runner.lifecycle.liveness import Life, life_of
from runner.lifecycle.recover import reconcile_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.lifecycle.channel import StatusReader
    from runner.model import RunId

PACE_SECONDS = 0.05


class Shown(Struct, kw_only=False):
    """A piece of the transcript; empty when nothing has happened for a moment."""

    text: str


class Note(Struct, kw_only=False):
    """Something to tell people that is not part of the run's output."""

    text: str


class Launched(Struct, kw_only=False):
    """The run is on its way: Codex has been started, or waits for its session."""


def until_launched(listener: StatusReader) -> Iterator[Note | Launched]:
    """Wait until Codex has been started or its supervisor has given up."""
    while listener.is_open:
        for message in listener.heard():
            yield from _notes(message)
            if message.keys() & {"launched", "waiting"}:
                yield Launched()
            if message.get("finished"):
                return
        _wait(listener)


class Named(Struct, kw_only=False):
    """Codex has named its thread, and the record knows it."""

    session_id: str


def until_named(
    listener: StatusReader, timeout: float | None
) -> Iterator[Note | Named]:
    """Wait until the thread has a name, its supervisor has given up or time is up."""
    deadline = clock.monotonic() + (timeout or float("inf"))
    while listener.is_open and clock.monotonic() < deadline:
        for message in listener.heard():
            yield from _notes(message)
            if session := message.get("session"):
                yield Named(str(session))
                return
            if message.get("finished"):
                return
        _wait(listener)


def until_finished(
    run_id: RunId, listener: StatusReader, ledger: Ledger, settings: Config
) -> Iterator[Shown | Note]:
    """Yield the transcript as it grows, until the run has its verdict.

    When the supervisor dies, Codex works on and is followed on; at its end the run
    is judged here.
    """
    from runner.tail import RunTail  # noqa: PLC0415 - 30 ms, not before the launch

    watch = RunTail(record.files_of(ledger.find(run_id).spec))
    is_finished = is_orphan = False
    while not is_finished:
        for message in listener.heard():
            yield from _notes(message)
            is_finished = is_finished or bool(message.get("finished"))
        yield Shown(watch.read().text)
        if not (is_finished or listener.is_open):
            run = reconcile_run(ledger.find(run_id), ledger, settings)
            is_finished = run.is_finished
            if not (is_finished or is_orphan) and life_of(run) is Life.CODEX:
                is_orphan = True
                yield Note(f"the supervisor of run {run_id} is gone, Codex works on")
        if not is_finished:
            _wait(listener)
    for written in watch.finish():
        yield Shown(written.text)


def until_closed(listener: StatusReader) -> Iterator[Note]:
    """Wait until the supervisor is gone: its hooks have ended then too."""
    while listener.is_open:
        _wait(listener)
        for message in listener.heard():
            yield from _notes(message)


def _notes(message: Mapping[str, object]) -> Iterator[Note]:
    if warning := message.get("warning"):
        yield Note(f"warning: {warning}")
    if holder := message.get("waiting"):
        yield Note(f"waiting for the session: run {holder} holds it")


def _wait(listener: StatusReader) -> None:
    if listener.is_open:
        select.select([listener.descriptor], (), (), PACE_SECONDS)
    else:
        clock.sleep(PACE_SECONDS)
