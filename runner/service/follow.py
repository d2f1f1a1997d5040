"""Follow a run by its files until its end, whichever process judges it."""

from __future__ import annotations

import select

from runner import clock
from runner.lifecycle.liveness import Life, life_of
from runner.lifecycle.recover import reconcile_run, sweep
from runner.locks import Lock, look
from runner.process.signals import arrivals
from runner.run_files import files_of, owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from typing import Any, BinaryIO

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.lifecycle.handoff import StatusReader
    from runner.lifecycle.launch import Started
    from runner.model import Run

PACE_SECONDS = 0.05
# How often a wait looks for supervisors that were killed.
SWEEP_SECONDS = 1.0
_PIECE_BYTES = 1 << 16


def until_told(
    reader: StatusReader,
    words: Collection[str],
    warn: Callable[[str], None],
    timeout: float | None = None,
) -> Mapping[str, Any]:
    """Wait until a supervisor sends one of some words; return its message.

    The message is empty when the supervisor is gone (its hooks have ended then too) or
    after a timeout. Notes for people go to `warn`.
    """
    deadline = None if timeout is None else clock.monotonic() + timeout
    while reader.is_open:
        for message in reader.messages():
            _warn(message, warn)
            if message.keys() & words:
                return message
        pause = None if deadline is None else deadline - clock.monotonic()
        if pause is not None and pause <= 0:
            break
        if reader.is_open:
            select.select([reader.descriptor, arrivals()], (), (), pause)
    return {}


class Following:
    """Follow the transcript of a run until its end.

    `told` is the supervisor's last message; it is empty if the supervisor is gone, or
    could not store the verdict.

    Args:
        started: the run.
        log: its log, which may have been moved since it was opened.
        warn: takes notes for people.
        wait: waits until a descriptor can be read, or for a moment.
    """

    def __init__(
        self,
        started: Started,
        log: BinaryIO | None,
        warn: Callable[[str], None],
        wait: Callable[[int], None],
    ) -> None:
        self._started, self._warn, self._wait = started, warn, wait
        self._log = log
        self._offsets = (0, 0)
        self.told: Mapping[str, Any] = {}

    def pieces(self) -> Iterator[str]:
        """Yield the transcript as the supervisor writes it to the log.

        A piece is empty when nothing was written for a moment.
        """
        reader = self._started.reader
        while reader.is_open:
            for message in reader.messages():
                _warn(message, self._warn)
                for begin, end in message.get("parts", ()):
                    if self._log is not None:
                        yield from _part(self._log, begin, end)
                    self._offsets = tuple(message["read"])
                if "finished" in message:
                    self.told = message
                    return
            yield ""
            if reader.is_open:
                self._wait(reader.descriptor)

    def rest(self, ledger: Ledger, settings: Config) -> Iterator[str]:
        """Yield the transcript from the files of a run whose supervisor is gone.

        Codex may go on; at its end the run is judged here.
        """
        from runner.tail import RunTail  # noqa: PLC0415 - 30 ms, for a killed supervisor

        run_id, is_told = self._started.run_id, False
        run = ledger.runs.find(run_id)
        tail = RunTail(files_of(run.spec), self._offsets)
        while not run.is_finished:
            yield tail.read().text
            run = reconcile_run(ledger.runs.find(run_id), ledger, settings)
            life = Life.NONE if run.is_finished else life_of(run, settings.state_home)
            if not is_told and life is Life.CODEX:
                is_told = True
                self._warn(f"the supervisor of run {run_id} is gone, Codex goes on")
            if not run.is_finished:
                clock.sleep(PACE_SECONDS)
        for appended in tail.finish():
            yield appended.text


def until_gone(run_id: str, settings: Config) -> None:
    """Wait until the supervisor of a run has ended, and with it the run's hooks."""
    while look(owner_of(settings.state_home, run_id)) is Lock.HELD:
        clock.sleep(PACE_SECONDS)


def next_turn(
    run: Run,
    ledger: Ledger,
    settings: Config,
    warn: Callable[[str], None],
    is_given_up: Callable[[], bool],
) -> Run | None:
    """Return the next run of a run's prompt, once its supervisor is known.

    Until then `warn` takes why it waits. None when there is none: the prompt has ended,
    is held, or was given up.
    """
    swept, said = clock.monotonic(), ""
    while True:
        # Asked first: of a prompt that has ended all runs are known.
        is_open = ledger.queue.is_open(run.spec.prompt_id)
        found = ledger.runs.next_turn(run)
        if found is not None and (found.supervisor or found.is_finished):
            return found
        head = ledger.queue.head(run.session)
        is_first = head is not None and head.id == run.spec.prompt_id
        word = head.word if head is not None and is_first else None
        if found is None and (not is_open or word == "held" or is_given_up()):
            return None
        if word and head and (why := head.detail or word) != said:
            said = why
            warn(f"waiting for the next turn: {why}")
        if clock.monotonic() - swept >= SWEEP_SECONDS:
            swept = clock.monotonic()
            sweep(ledger, settings)
        clock.sleep(PACE_SECONDS)


def _part(log: BinaryIO, begin: int, end: int) -> Iterator[str]:
    log.seek(begin)
    while begin < end and (data := log.read(min(end - begin, _PIECE_BYTES))):
        begin += len(data)
        # Any bytes: a piece may end in the middle of a letter.
        yield data.decode(errors="surrogateescape")


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


def _warn(message: Mapping[str, Any], warn: Callable[[str], None]) -> None:
    if warning := message.get("warning"):
        warn(f"warning: {warning}")
    if why := message.get("waiting"):
        warn(f"waiting: {why}")
