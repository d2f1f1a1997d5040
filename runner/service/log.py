"""The transcript of a session: the output of its runs in order, optionally followed.

The files of the runs are read, not the session's `task.log`: only `codex-tasks` writes
that one.
"""

from __future__ import annotations

from itertools import accumulate, chain, islice

from parsers.light import suppress
from parsers.struct import Struct
from runner import clock, files
from runner.arrivals import LATE_SECONDS, Moment, Times, path_of
from runner.errors import FileFault, NoSuchRunError, RunnerError, UsageError
from runner.exports import transcripts
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.recover import reconcile_run, sweep
from runner.model import Finished, Running, TaskState
from runner.process.signals import blocked
from runner.run_files import files_of
from runner.tail import Tail, last_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import TypeAlias

    from parsers.light import datetime
    from parsers.paths import Path
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.model import Run
    from runner.service.lookup import Task

_LINES_AT_ONCE = 1_000
# A tick reads two file sizes (50 us with the wake-up), a check of a run two queries.
_PACE_SECONDS = 0.04
_TICKS_PER_LOOK = 6
# A killed supervisor changes nothing in the ledger.
_TICKS_PER_SWEEP = 24


class Wish(Struct):
    """Hold which part of a session is shown.

    `last` is the number of lines of its log, None for all; `run_id` the only run.
    Following ends when the session is idle, with `is_endless` never. With `has_times`
    lines have the times at which they were read. What `only_grows` is the same at any
    later time, and more: a run's standard error comes at its end, after its events.
    """

    run_id: str | None = None
    last: int | None = None
    follows: bool = False
    is_endless: bool = False
    has_times: bool = False
    only_grows: bool = False


class Prompt(Struct, kw_only=False):
    """What a run was asked for: it begins here."""

    text: bytes
    at: datetime | None = None


class Lines(Struct, kw_only=False):
    """Complete lines that Codex has written: events, or its standard error.

    `times` are None for lines whose time is not known, and empty when none is wanted.
    """

    lines: tuple[bytes, ...]
    is_stderr: bool
    times: tuple[Moment | None, ...] = ()


class Note(Struct, kw_only=False):
    """A note for people that is not part of the session's output."""

    text: str


class RunEnded(Struct, kw_only=False):
    """The end of a run."""

    run: Run


class Nothing(Struct):
    """Nothing has happened for a moment."""


Piece: TypeAlias = "Prompt | Lines | Note | RunEnded | Nothing"


def read(task: Task, wish: Wish, ledger: Ledger, settings: Config) -> Iterator[Piece]:
    """Return the pieces of a session's transcript, or follow it.

    Raises:
        UsageError: the run is not one of the session's.
        RunnerFault: the record cannot be read or written.
    """
    ids = ledger.runs.ids(task.session.key)
    if wish.run_id not in {None, *ids}:
        message = f"task {task.name} has no run {wish.run_id!r}"
        raise UsageError(message)
    transcript = _Transcript(task, wish, ledger, settings)
    if wish.follows:
        return transcript.followed()
    return chain.from_iterable(map(transcript.show, transcript.runs))


class _Start(Struct):
    """Where the transcript of a run begins: with its prompt, or in its files.

    `lines` are those from there on, the prompt is one.
    """

    with_prompt: bool = True
    events: int = 0
    stderr: int = 0
    lines: int = 0


class _Transcript:
    def __init__(
        self, task: Task, wish: Wish, ledger: Ledger, settings: Config
    ) -> None:
        self._wish = wish
        self._ledger = ledger
        self._settings = settings
        self._key = task.session.key
        self._version = ledger.version()
        self._starts: dict[str, _Start] = {}
        self._shown: set[str] = set()
        self.runs = [*self._last(wish.last)][::-1]

    def followed(self) -> Iterator[Piece]:
        """Yield all pieces, and new ones until the session is idle."""
        while True:
            while runs := self._new():
                for run in runs:
                    self._shown.add(run.run_id)
                    yield from self.show(run)
            end = self._end()
            # A short run may have begun and ended between the two queries.
            if end is not None and not self._new():
                yield Note(f"{end}; stopping log follow.")
                return
            for _ in range(_TICKS_PER_SWEEP):
                clock.sleep(_PACE_SECONDS)
                yield Nothing()
                if self._has_changed():
                    break

    def _ids(self) -> list[str]:
        ids = self._ledger.runs.ids(self._key)
        return [each for each in ids if self._wish.run_id in {None, each}]

    def _is_due(self, run: Run) -> bool:
        """Return whether a run is shown now; a waiting run once it has begun.

        It gets its place among the others then.
        """
        if self._wish.only_grows and run.waits:
            return False
        return isinstance(run.state, Running | Finished) or not self._wish.follows

    def _last(self, count: int | None) -> Iterator[Run]:
        """Yield the runs with the last lines, the last one first; find their starts."""
        living = {run.run_id for run in self._ledger.runs.unfinished(self._key)}
        for run_id in reversed(self._ids()):
            if count == 0 and run_id not in living:
                self._shown.add(run_id)
                continue
            run, start = self._ledger.runs.find(run_id), _Start()
            if not self._is_due(run):
                continue
            if count is not None:
                start = _start(run, count)
                count = max(count - start.lines, 0)
            self._starts[run_id] = start
            yield run

    def _new(self) -> list[Run]:
        new = [each for each in self._ids() if each not in self._shown]
        return [*filter(self._is_due, map(self._ledger.runs.find, new))]

    def _end(self) -> str | None:
        """Return why the transcript has ended; None while it may grow."""
        with blocked(STOP_SIGNALS):
            # The sweep may start a run; no signal may interrupt the delivery.
            sweep(self._ledger, self._settings)
        if self._wish.is_endless:
            return None
        if self._wish.run_id in self._shown:
            return f"Run {self._wish.run_id} has ended"
        try:
            session = self._ledger.sessions.get(self._key)
        except RunnerError:
            return "Task state unavailable"
        if session.state is TaskState.RUNNING:
            return None
        return f"Task {session.name} is {session.state}"

    def _has_changed(self) -> bool:
        was, self._version = self._version, self._ledger.version()
        return self._version != was

    def show(self, run: Run) -> Iterator[Piece]:
        """Yield the output of a run; followed, until it is finished."""
        start, paths = self._starts.pop(run.run_id, _Start()), files_of(run.spec)
        if start.with_prompt:
            try:
                text = files.read_bytes(paths.prompt)
            except OSError as error:
                yield _unreadable(paths.prompt, error)
                text = run.spec.task.encode(errors="replace")  # a preview
            yield Prompt(text, at=run.started_at)
        if transcripts.is_elsewhere(run.accounts):
            yield from _imported(run, start.events)
            return
        tails = {
            Tail(paths.events, start.events): False,
            Tail(paths.stderr, start.stderr): True,
        }
        clock_of = _Clock(run, self._settings) if self._wish.has_times else None
        if self._wish.follows:
            run = yield from self._live(run, tails, clock_of)
        for tail, is_stderr in tails.items():
            if self._wish.only_grows and is_stderr and not run.is_finished:
                break
            yield from _lines_of(tail, clock_of, is_stderr=is_stderr)
            # Of a finished run also the incomplete last line.
            if run.is_finished and (last := tail.rest()):
                yield Lines((last,), is_stderr, times=(None,))
            try:
                tail.open()
            except OSError as error:
                yield _unreadable(tail.path, error)
            tail.close()
        if run.is_finished:
            yield RunEnded(run)

    def _live(
        self, run: Run, tails: dict[Tail, bool], clock_of: _Clock | None
    ) -> Generator[Piece, None, Run]:
        """Yield what is appended to a run until it is finished; return the run."""
        ticks = 0
        while not run.is_finished:
            ticks += 1
            for tail, is_stderr in tails.items():
                if self._wish.only_grows and is_stderr:
                    break
                for piece in _lines_of(tail, clock_of, is_stderr=is_stderr):
                    ticks = 0
                    yield piece
            if clock_of is not None:
                clock_of.tick()
            clock.sleep(_PACE_SECONDS)
            if ticks == 0 or ticks % _TICKS_PER_LOOK:
                continue
            yield Nothing()
            if self._has_changed() or ticks % _TICKS_PER_SWEEP == 0:
                try:
                    now = self._ledger.runs.find(run.run_id)
                    run = reconcile_run(now, self._ledger, self._settings)
                except NoSuchRunError:
                    break  # its session has been removed
        return run


def _start(run: Run, count: int) -> _Start:
    """Find where the last lines of a run begin."""
    paths, is_over = files_of(run.spec), run.is_finished
    if transcripts.is_elsewhere(run.accounts):
        with suppress(OSError):
            whole = len(transcripts.lines_of(run))
            begin = max(0, whole - count)
            shown = whole - begin + (count > whole)
            return _Start(with_prompt=count > whole, events=begin, lines=shown)
        return _Start()
    stderr, errors = last_lines(paths.stderr, count, with_rest=is_over)
    events, lines = last_lines(paths.events, count - errors, with_rest=is_over)
    lines += errors + 1
    is_whole = count >= lines
    return _Start(with_prompt=is_whole, events=events, stderr=stderr, lines=lines)


def _imported(run: Run, begin: int) -> Iterator[Piece]:
    """Yield the output of an imported run; when it is gone, the answer on record."""
    try:
        lines = transcripts.lines_of(run)
    except OSError as error:
        yield Note(f"cannot read {error.filename}: {error.strerror}")
        lines = transcripts.on_record(run)
    yield Lines(
        tuple(each.removesuffix(b"\n") for each in lines[begin:]), is_stderr=False
    )
    yield RunEnded(run)


class _Clock:
    """Tell when the lines of a run were read: by its supervisor, else just now."""

    def __init__(self, run: Run, settings: Config) -> None:
        self._times = Times(path_of(settings.state_home, run.run_id))
        self._looked = 0.0

    def tick(self) -> None:
        """Note that all lines were read that are there."""
        self._looked = clock.now().timestamp()

    def of(
        self, begin: int, lines: tuple[bytes, ...], *, is_stderr: bool
    ) -> tuple[Moment | None, ...]:
        """Return the times of lines, the first of which begins there."""
        now = clock.now().timestamp()
        # A follower that was suspended reads late, too.
        is_new = now - self._looked < LATE_SECONDS
        just_now = Moment(seconds=now, is_exact=True) if is_new else None
        self._times.read()
        begins = accumulate((len(line) + 1 for line in lines[:-1]), initial=begin)
        times = (self._times.of(each, is_stderr=is_stderr) for each in begins)
        return tuple(each or just_now for each in times)


def _lines_of(
    tail: Tail, clock_of: _Clock | None, *, is_stderr: bool
) -> Iterator[Lines]:
    """Yield what has been completed since the last call."""
    is_at_end = not tail.has_grown
    while not is_at_end:
        begin, lines = tail.offset, tail.lines()
        times: tuple[Moment | None, ...] = ()
        try:
            while batch := tuple(islice(lines, _LINES_AT_ONCE)):
                if clock_of is not None:
                    times = clock_of.of(begin, batch, is_stderr=is_stderr)
                    begin += sum(map(len, batch)) + len(batch)
                yield Lines(batch, is_stderr, times)
        except OSError as error:
            raise FileFault("read", tail.path, error) from error
        is_at_end = not tail.has_more


def _unreadable(path: Path, error: OSError) -> Note:
    return Note(f"cannot read {path}: {error.strerror or error}")
