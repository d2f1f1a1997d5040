"""The files of one run, read once from a place on, as pieces of a transcript."""

from __future__ import annotations

from itertools import islice

from parsers.struct import Struct
from runner import clock, files, session_files
from runner.errors import FileFault
from runner.ledger import record
from runner.lifecycle.recover import reconcile_run
from runner.service.follow import Note
from runner.tail import Tail, last_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TypeAlias

    from runner.config import Config
    from runner.ledger.runs import Ledger
    from runner.model import Run

_LINES_AT_ONCE = 1_000
# A session is moved before that is on record.
_MOVING_SECONDS = 0.5
_MOVING_PACE_SECONDS = 0.02


class Prompt(Struct, kw_only=False):
    """What a run was asked for: it begins here."""

    text: bytes


class Events(Struct, kw_only=False):
    """Lines that Codex has written, whole ones."""

    lines: tuple[bytes, ...]


class Errors(Struct, kw_only=False):
    """Lines that Codex has written on its standard error."""

    lines: tuple[bytes, ...]


Part: TypeAlias = Prompt | Events | Errors | Note


class Start(Struct):
    """Where in the files of a run to begin."""

    with_prompt: bool = True
    events: int = 0
    stderr: int = 0


class Reel:
    """One run and its files, which are opened at once: who moves them moves no data."""

    def __init__(
        self, run: Run, start: Start, ledger: Ledger, settings: Config
    ) -> None:
        self.run = run
        self._ledger = ledger
        self._settings = settings
        paths = record.files_of(run.spec)
        self._events = Tail(paths.events, start.events)
        self._stderr = Tail(paths.stderr, start.stderr)
        self._start = start
        self._open()

    def prompt(self) -> Iterator[Part]:
        """Yield the prompt; a preview when its file is gone."""
        run = self.run
        try:
            try:
                text = _prompt_of(run)
            except OSError:
                # Its session may just have been moved.
                run = session_files.located(self._settings.state_home, run)
                text = _prompt_of(run)
        except OSError as error:
            yield _unreadable(record.files_of(run.spec).prompt, error)
            text = run.spec.task.encode(errors="replace")
        yield Prompt(text)

    def more(self) -> Iterator[Part]:
        """Yield what has been completed since the last call."""
        if self._events.has_grown:
            yield from _parts_of(self._events, Events)
        if self._stderr.has_grown:
            yield from _parts_of(self._stderr, Errors)

    def rest(self) -> Iterator[Part]:
        """Yield the rest; of a run that is over unfinished last lines too."""
        yield from self._rest_of(self._events, Events)
        yield from self._rest_of(self._stderr, Errors)

    def _rest_of(self, tail: Tail, kind: type[Events | Errors]) -> Iterator[Part]:
        yield from _parts_of(tail, kind)
        if self.run.is_finished and (last := tail.rest()):
            yield kind((last,))
        try:
            tail.open()
        except OSError as error:
            yield _unreadable(tail.path, error)
        tail.close()

    def judge(self) -> None:
        """Find out what has become of the run."""
        run = self._ledger.find(self.run.run_id)
        self.run = reconcile_run(run, self._ledger, self._settings)
        self._open()

    def _open(self) -> None:
        """Open the files, wherever they have been moved meanwhile."""
        deadline = clock.monotonic() + _MOVING_SECONDS
        while not (self._events.try_open() and self._stderr.try_open()):
            was = self.run.spec.log_dir
            self._find()
            if self.run.spec.log_dir != was:
                continue
            if self.run.is_finished or clock.monotonic() > deadline:
                return
            clock.sleep(_MOVING_PACE_SECONDS)

    def _find(self) -> None:
        run = self._ledger.find(self.run.run_id)
        self.run = session_files.located(self._settings.state_home, run)
        paths = record.files_of(self.run.spec)
        if not self._events.is_open:
            self._events = Tail(paths.events, self._start.events)
        if not self._stderr.is_open:
            self._stderr = Tail(paths.stderr, self._start.stderr)


def _parts_of(tail: Tail, kind: type[Events | Errors]) -> Iterator[Part]:
    is_at_end = False
    while not is_at_end:
        lines = tail.lines()
        try:
            while batch := tuple(islice(lines, _LINES_AT_ONCE)):
                yield kind(batch)
        except OSError as error:
            raise FileFault("read", tail.path, error) from error
        is_at_end = not tail.has_more


def _prompt_of(run: Run) -> bytes:
    return files.read_bytes(record.files_of(run.spec).prompt)


def _unreadable(path: Path, error: OSError) -> Note:
    return Note(f"cannot read {path}: {error.strerror or error}")


def last_starts(runs: list[Run], count: int, state_home: Path) -> dict[str, Start]:
    """Find where the last lines of a session begin; runs before them are left out."""
    starts = _starts(runs, count)
    now = [session_files.located(state_home, run) for run in runs]
    # What was moved meanwhile has seemed to be empty.
    return starts if now == runs else _starts(now, count)


def _starts(runs: list[Run], count: int) -> dict[str, Start]:
    starts: dict[str, Start] = {}
    for run in reversed(runs):
        if count == 0 and run.is_finished:
            continue
        paths, is_over = record.files_of(run.spec), run.is_finished
        stderr, errors = last_lines(paths.stderr, count, with_rest=is_over)
        count -= errors
        events, found = last_lines(paths.events, count, with_rest=is_over)
        count -= found
        starts[run.run_id] = Start(with_prompt=count > 0, events=events, stderr=stderr)
        count = max(count - 1, 0)
    return starts
