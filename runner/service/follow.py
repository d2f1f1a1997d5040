"""Follow a run from its files to its end, whichever process ends it."""

from __future__ import annotations

import select

from parsers.struct import Struct
from runner import clock
from runner.lifecycle.liveness import Life, life_of
from runner.lifecycle.recover import reconcile_run
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.lifecycle.handoff import StatusReader
    from runner.model import RunId

PACE_SECONDS = 0.05


class Shown(Struct, kw_only=False):
    """A piece of the transcript; empty when nothing has happened for a moment."""

    text: str


class Note(Struct, kw_only=False):
    """Something for people that is not part of the run's output."""

    text: str


class Launched(Struct, kw_only=False):
    """The run is on its way: Codex has been started, or waits for its session."""


class Named(Struct, kw_only=False):
    """Codex has named its thread, and the ledger knows it."""

    session_id: str


def until_launched(reader: StatusReader) -> Iterator[Note | Launched]:
    """Wait until Codex has been started or its supervisor has given up."""
    for message in _messages(reader):
        yield from _notes(message)
        if message.keys() & {"launched", "waiting"}:
            yield Launched()
        if message.get("finished"):
            return


def until_named(reader: StatusReader, timeout: float | None) -> Iterator[Note | Named]:
    """Wait until the thread has a name, its supervisor has given up or time is up."""
    for message in _messages(reader, timeout):
        yield from _notes(message)
        if session := message.get("session"):
            yield Named(str(session))
            return
        if message.get("finished"):
            return


def until_finished(
    run_id: RunId, reader: StatusReader, ledger: Ledger, settings: Config
) -> Iterator[Shown | Note]:
    """Yield the transcript as it grows, until the run has its verdict.

    When the supervisor is killed, Codex goes on and is followed on; at its end the run
    is judged here.
    """
    from runner.tail import RunTail  # noqa: PLC0415 - 30 ms, not before the launch

    tail = RunTail(files_of(ledger.runs.find(run_id).spec))
    is_finished = is_orphan = False
    while not is_finished:
        for message in reader.messages():
            yield from _notes(message)
            is_finished = is_finished or bool(message.get("finished"))
        yield Shown(tail.read().text)
        if not (is_finished or reader.is_open):
            run = reconcile_run(ledger.runs.find(run_id), ledger, settings)
            is_finished = run.is_finished
            life = Life.NONE if is_finished else life_of(run, settings.state_home)
            if not is_orphan and life is Life.CODEX:
                is_orphan = True
                yield Note(f"the supervisor of run {run_id} is gone, Codex goes on")
        if not is_finished:
            _wait(reader)
    for appended in tail.finish():
        yield Shown(appended.text)


def until_closed(reader: StatusReader) -> Iterator[Note]:
    """Wait until the supervisor is gone: its hooks have ended then too."""
    for message in _messages(reader):
        yield from _notes(message)


def _messages(
    reader: StatusReader, timeout: float | None = None
) -> Iterator[Mapping[str, object]]:
    """Yield what the supervisor says until it is gone or time is up."""
    deadline = clock.monotonic() + (timeout or float("inf"))
    while reader.is_open and clock.monotonic() < deadline:
        yield from reader.messages()
        if reader.is_open:
            _wait(reader)


def _notes(message: Mapping[str, object]) -> Iterator[Note]:
    if warning := message.get("warning"):
        yield Note(f"warning: {warning}")
    if why := message.get("waiting"):
        yield Note(f"waiting for the session: {why}")


def _wait(reader: StatusReader) -> None:
    if reader.is_open:
        select.select([reader.descriptor], (), (), PACE_SECONDS)
    else:
        clock.sleep(PACE_SECONDS)
