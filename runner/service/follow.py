"""Follow a run by its files until its end, whichever process judges it."""

from __future__ import annotations

import select

from runner import clock
from runner.lifecycle.liveness import Life, life_of
from runner.lifecycle.recover import reconcile_run
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.lifecycle.handoff import StatusReader
    from runner.lifecycle.launch import Started
    from runner.model import Run

PACE_SECONDS = 0.05


def until_told(
    reader: StatusReader,
    words: Collection[str],
    warn: Callable[[str], None],
    timeout: float | None = None,
) -> Mapping[str, object]:
    """Wait until a supervisor sends one of some words; return its message.

    The message is empty when the supervisor is gone (its hooks have ended then too) or
    after a timeout. Notes for people go to `warn`.
    """
    deadline = clock.monotonic() + (timeout or float("inf"))
    while reader.is_open and clock.monotonic() < deadline:
        for message in reader.messages():
            _warn(message, warn)
            if message.keys() & words:
                return message
        if reader.is_open:
            _wait(reader)
    return {}


def until_finished(
    started: Started,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
) -> Iterator[str]:
    """Yield the transcript as it grows, until the run has its verdict.

    A piece is empty when nothing was written for a moment. When the supervisor is
    killed, Codex goes on and is still followed; at its end the run is judged here.
    """
    from runner.tail import RunTail  # noqa: PLC0415 - 30 ms, not before the launch

    run_id, reader = started.run_id, started.reader
    tail = RunTail(files_of(ledger.runs.find(run_id).spec))
    is_finished = is_orphan = False
    while not is_finished:
        for message in reader.messages():
            _warn(message, warn)
            is_finished = is_finished or bool(message.get("finished"))
        yield tail.read().text
        if not (is_finished or reader.is_open):
            run = reconcile_run(ledger.runs.find(run_id), ledger, settings)
            is_finished = run.is_finished
            life = Life.NONE if is_finished else life_of(run, settings.state_home)
            if not is_orphan and life is Life.CODEX:
                is_orphan = True
                warn(f"the supervisor of run {run_id} is gone, Codex goes on")
        if not is_finished:
            _wait(reader)
    for appended in tail.finish():
        yield appended.text


def settled(
    started: Started,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
) -> Run:
    """Return a run, once its supervisor has reported its end or has gone.

    A full disk may keep a verdict out of the ledger, and a killed supervisor closes its
    pipe before its lock. So the files of the run are read only when the lock is free.
    """
    run = reconcile_run(ledger.runs.find(started.run_id), ledger, settings)
    if run.is_finished:
        return run
    until_told(started.reader, (), warn)
    while life_of(run, settings.state_home) is Life.SUPERVISOR:
        clock.sleep(PACE_SECONDS)
    return reconcile_run(ledger.runs.find(started.run_id), ledger, settings)


def _warn(message: Mapping[str, object], warn: Callable[[str], None]) -> None:
    if warning := message.get("warning"):
        warn(f"warning: {warning}")
    if why := message.get("waiting"):
        warn(f"waiting for the session: {why}")


def _wait(reader: StatusReader) -> None:
    if reader.is_open:
        select.select([reader.descriptor], (), (), PACE_SECONDS)
    else:
        clock.sleep(PACE_SECONDS)
