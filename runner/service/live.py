"""The list of tasks as it is now, for a screen that is drawn again and again.

Only what has changed is read: the ledger when its version has, and the events of a run
when their file has. One drawing shows one snapshot of the ledger.
"""

from __future__ import annotations

from functools import partial

from parsers.exec_events import events, items
from parsers.struct import Struct, replace
from runner import clock, files
from runner.arrivals import Times, path_of
from runner.service import listing
from runner.service.shown import STATES
from runner.tail import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Any

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.model import TaskState
    from runner.run_files import RunFiles
    from runner.service.listing import Line
    from runner.tail import Doing

# Those that have ended are not all read, if no filter asks for it.
ENDED_AT_MOST = 20
# How often all tasks are read, however often the ledger changes.
_FULL_SECONDS = 10.0
# Of these the first ones are shown.
_MOST_LINES = 500
# A killed supervisor leaves the ledger as it is.
_SWEEP_SECONDS = 10.0
_END_BYTES = 1 << 16
_SIGNS = {items.FileChange: "edit", items.WebSearch: "web"}


class Wish(Struct):
    """Hold which tasks are shown, and in which order."""

    states: Collection[TaskState]
    wanted: Collection[str]
    text: str | None
    order: str | None
    is_all: bool

    @property
    def most(self) -> int | None:
        """Return how many of the newest are read; None: all."""
        is_whole = len(self.wanted) == len(STATES) and not (self.text or self.is_all)
        return ENDED_AT_MOST if is_whole else None


class Event(Struct, kw_only=False):
    """Hold an event of a run: when it came, if that is known, a sign and a text."""

    at: float | None
    sign: str
    text: str


class Live:
    """Keep what is known of the tasks, and look at what has changed.

    Args:
        ledger: of the tasks.
        settings: of this process.
        sweep: judges abandoned runs and delivers prompts; returns what has failed.
    """

    def __init__(
        self, ledger: Ledger, settings: Config, sweep: Callable[[], Sequence[str]]
    ) -> None:
        self._ledger, self._settings, self._sweep = ledger, settings, sweep
        self._swept = self._read = float("-inf")
        self._version = -1
        self._wish: Wish | None = None
        self._rows: Sequence[Mapping[str, Any]] = []
        self._runs: dict[str, _Run] = {}
        self.faults: Sequence[str] = ()
        self.left_out = 0
        self.slots: str | None = None
        self.is_paused = False
        self.spent: tuple[float, bool, float | None] = (0.0, False, None)

    def lines(self, wish: Wish) -> list[Line]:
        """Return the tasks as they are now."""
        now = clock.monotonic()
        if now - self._swept >= _SWEEP_SECONDS:
            self._swept, self._version = now, -1
            self.faults = self._sweep()
        version = self._ledger.version()
        pace = 0.0 if wish.most else _FULL_SECONDS
        has_changed = version != self._version and now - self._read >= pace
        if has_changed or wish != self._wish:
            self._version, self._read, self._wish = version, now, wish
            self._take(wish)
        return self._lines(wish)

    def _lines(self, wish: Wish) -> list[Line]:
        found = listing.lines(
            self._rows, self._settings, wish.wanted, wish.text, self._doing
        )
        return listing.ordered(found, wish.order)

    def _take(self, wish: Wish) -> None:
        """Read the ledger."""
        with self._ledger.snapshot():
            rows = self._ledger.sessions.listed(wish.states, wish.most)
            self.slots = listing.slots(self._ledger)
            self.spent = listing.spent_today(self._ledger)
            self.is_paused = listing.is_paused(self._ledger)
        self._rows, self.left_out = rows, 0
        if len(rows) > _MOST_LINES:
            found = self._lines(wish)
            self._rows = [each.row for each in found[:_MOST_LINES]]
            self.left_out = max(len(found) - _MOST_LINES, 0)
        living = {row["last_run"] for row in self._rows}
        self._runs = {name: run for name, run in self._runs.items() if name in living}

    def _doing(self, paths: RunFiles) -> Doing:
        return self._run(paths).doing()

    def _run(self, paths: RunFiles) -> _Run:
        if (run := self._runs.get(paths.run_id)) is None:
            run = self._runs[paths.run_id] = _Run(paths, self._settings)
        return run

    def events(self, line: Line, most: int) -> Sequence[Event]:
        """Return the last events of the last run of a task."""
        if line.row["directory"] is None:
            return []
        return self._run(listing.files_of(line.row, self._settings)).last(most)


class _Run:
    """Keep what the files of a run have told."""

    def __init__(self, paths: RunFiles, settings: Config) -> None:
        self._paths = paths
        self._times = Times(path_of(settings.state_home, paths.run_id))
        self._look = partial(listing.doing_in, paths, settings, self._times)
        self._was: object = None
        self._now: Doing | None = None
        self._events: tuple[object, list[Event]] = (None, [])

    def doing(self) -> Doing:
        """Return what it does; the file of events is read if it has changed."""
        state, written = self._state()
        now = self._now
        if now is not None and now.since is None and now.begin is not None:
            now = self._now = listing.timed(now, self._times)  # recorded since
        if now is None or state != self._was:
            self._was, self._now = state, (now := self._look())
        elif written:
            quiet = clock.now().timestamp() - written
            now = replace(now, seconds=quiet)
        return now

    def last(self, most: int) -> list[Event]:
        """Return its last events."""
        self._times.read()
        state = (self._state()[0], most, self._times.size)
        if self._events[0] != state:
            found = list(_last(self._paths, most, self._times))
            self._events = (state, found[::-1])
        return self._events[1]

    def _state(self) -> tuple[object, float]:
        """Return what changes with the files, and when the events were written."""
        check, status = map(files.status, (self._paths.verify, self._paths.events))
        if status is None:
            return (check is None), 0.0
        return (check is None, status.st_size, status.st_mtime_ns), status.st_mtime


def _last(paths: RunFiles, most: int, times: Times) -> Iterator[Event]:
    """Yield the last events of a run that say something, the last one first."""
    size, end = files.read_end(paths.events, _END_BYTES)
    whole, _, rest = end.rpartition(b"\n")
    offset, found = size - len(rest), 0
    for line in reversed(whole.split(b"\n")):
        offset -= len(line) + 1
        if (told := _told(events.decode(line))) is not None:
            at = times.of(offset, is_stderr=False)
            yield Event(at.seconds if at else None, *told)
            found += 1
        if found == most:
            return


def _told(event: events.Event) -> tuple[str, str] | None:
    """Return a sign and a text for an event; None when it says nothing."""
    match event:
        case events.ItemEvent(phase="started", item=items.Command(command=command)):
            return "$", items.typed(command)
        case events.ItemEvent(phase="completed", item=item):
            return _completed(item)
        case events.ErrorReported(message=text, is_reconnect=is_lost):
            return "note" if is_lost else "error", text
        case events.TurnFailed(message=text):
            return "error", text
        case _:
            return None


def _completed(item: items.Item) -> tuple[str, str] | None:
    match item:
        case items.AgentMessage(text=text):
            return "", text
        case items.Command(output=output, exit_code=code):
            last = next(iter(output.strip().splitlines()[-1:]), "")
            return (f"exit {code}" if code else "", last) if last or code else None
        case items.ItemError(message=text):
            return "note", text
        case _:
            about = text_of(item)
            return about if about is None else (_SIGNS.get(type(item), "tool"), about)
