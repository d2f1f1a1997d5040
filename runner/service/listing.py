"""The list of tasks: what each is shown as, in the order of need."""

from __future__ import annotations

import os
from functools import partial

from parsers.exec_events.items import typed
from parsers.struct import Struct, as_dict, replace
from runner import clock
from runner.arrivals import Times, path_of
from runner.errors import UsageError
from runner.ledger import slots as ledger_slots
from runner.ledger.runs import FLAT
from runner.run_files import RunFiles
from runner.service import usage
from runner.service.shown import STATES, shown
from runner.tail import START_STALL, Doing, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Any

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session
    from runner.service.lookup import Found
    from runner.service.shown import Shown

ENDED = ("failed", "done", "stopped")
SIGNS = dict(zip(STATES, "!●◐○✗✓■", strict=True))
STYLES = {
    "held": "bold yellow",
    "running": "cyan",
    "parked": "yellow",
    "queued": "",
    "failed": "red",
    "done": "green",
    "stopped": "dim",
}
_OF_RUN = ("run_id", "number", "started_at", "seconds", "usd")
_SHOWN = (
    *("id", "short_id", "session_id", "title", "state", "outcome", "error_class"),
    *("created_at", "updated_at", "working_dir", "queue", "last_run"),
)
# What people read instead of a reason, and in less room.
_BRIEF = {
    "session": "own run",
    "slot": "no free slot",
    "rate": "starts per minute",
    "writer": "other writer",
    "pause": "paused",
    "secret": "needs a secret",
    "limit": "usage limit",
    "login": "login refused",
    "budget": "over budget",
    "timeout": "timeout",
    "stalled": "stalled",
    "lost": "lost",
    "start": "not started",
    "verify": "check failed",
    "you": "by you",
    "signal": "by a signal",
    "canceled": "canceled",
    "configuration": "config broken",
    "thread_gone": "thread gone",
    "option": "bad option",
    "untrusted": "untrusted directory",
    "binary": "no codex",
    "sandbox_error": "sandbox",
}


# Of an error they say less than its text.
_UNCLEAR = ("error", "other")


class Line(Struct):
    """Hold one task of the list; unknown figures are None.

    `task` is its title, else its prompt; `place` its directory. `now` is what a run of
    it does, and `seconds` the time of its last run. `tokens` and `usd` are those of all
    its finished runs; `usd` is a floor if calls have no price or were not counted.
    """

    row: Mapping[str, Any]
    shown: Shown
    now: Doing | None
    seconds: float | None
    tokens: int | None
    usd: float | None
    is_floor: bool

    @property
    def short_id(self) -> str:
        return str(self.row["short_id"])

    @property
    def task(self) -> str:
        return str(self.row["title"] or self.row["prompt"] or "")

    @property
    def place(self) -> str:
        return str(self.row["working_dir"] or "")

    @property
    def waiting(self) -> int:
        return int(self.row["queue"])

    @property
    def has_ended(self) -> bool:
        return self.shown.state in ENDED

    @property
    def sign(self) -> str:
        """Return the symbol of its state."""
        return SIGNS[self.shown.state]

    @property
    def brief(self) -> str:
        """Say why in a few words."""
        told = self.shown
        if told.until and told.reason in {"limit", "time", "retry", "budget", "rate"}:
            word = {"limit": "limit until", "time": "at"}.get(told.reason, told.reason)
            return f"{word} {local_time(told.until)}"
        if told.state == "running" and told.reason == "command":
            return " ".join(typed(told.detail or "").split()[:2])
        if told.reason in _BRIEF and not (told.reason == "login" and told.detail):
            return _BRIEF[told.reason]
        if told.reason in _UNCLEAR and told.detail:
            return told.detail
        if told.state in {"running", "failed"} and told.reason:
            return told.reason.replace("_", " ")
        return told.detail or (told.reason or "").replace("_", " ")

    @property
    def detail(self) -> str:
        """Say why in a sentence."""
        told = self.shown
        is_held = told.state == "held" and told.reason in _BRIEF
        if is_held or not told.detail:
            return self.brief
        if told.state == "running" and told.reason != "command":
            return f"{told.reason}: {told.detail}"
        return typed(told.detail) if told.state == "running" else told.detail

    def to_json(self) -> dict[str, Any]:
        """Build the object of the list, whose keys are those of `status.report`."""
        row = self.row
        return {
            **{name: row[name] for name in _SHOWN},
            "repo": row["working_dir"],
            "last_prompt": row["prompt"],
            "seconds": self.seconds,
            "usage": {"total_tokens": self.tokens},
            "cost": {"usd": self.usd, "is_floor": self.is_floor},
            "shown": as_dict(self.shown),
        }


def lines(
    rows: Iterable[Mapping[str, Any]],
    settings: Config,
    states: Collection[str] = STATES,
    text: str | None = None,
    look: Callable[[RunFiles], Doing] | None = None,
) -> list[Line]:
    """Return the lines of rows (of `listed_sessions`) in some states, with a text.

    `look` tells what a run does now; by default that is `doing_in`.
    """
    look = look or partial(doing_in, settings=settings)
    found = [_line(row, settings, look) for row in rows]
    if len(states) < len(STATES):
        found = [each for each in found if each.shown.state in states]
    if text is not None:
        wanted = text.lower()
        found = [each for each in found if wanted in _searched(each)]
    return found


def line_of(task: Found, settings: Config) -> Line:
    """Return the line of one task, as it is now."""
    row = task.ledger.sessions.line(task.session.key)
    return _line(row, settings, partial(doing_in, settings=settings))


def local_time(instant: str) -> str:
    """Write when a wait ends, for people."""
    local, now = clock.parse_iso(instant).astimezone(), clock.now().astimezone()
    form = "%H:%M" if local.date() == now.date() else "%d %b %H:%M"
    return local.strftime(form)


def files_of(row: Mapping[str, Any], settings: Config) -> RunFiles:
    """Name the files of the last run of a row."""
    place = settings.state_home / os.fsdecode(row["directory"])
    return RunFiles(place, row["last_run"], is_flat=row["layout"] == FLAT)


def doing_in(paths: RunFiles, settings: Config, times: Times | None = None) -> Doing:
    """Return what a run does now: Codex, or the check after its turn.

    `times` is the record of its lines, if it was read before.
    """
    if os.path.lexists(paths.verify):
        return Doing("verifying", None, 0.0)
    now = doing(paths.events)
    if now.since is not None or now.begin is None:
        return now
    return timed(now, times or Times(path_of(settings.state_home, paths.run_id)))


def timed(now: Doing, times: Times) -> Doing:
    """Add since when a run does something, if that is recorded."""
    times.read()
    began = None if now.begin is None else times.of(now.begin, is_stderr=False)
    return now if began is None else replace(now, since=began.seconds)


def report_of(
    session: Session, now: Doing | None, ledger: Ledger, stall: float | None = None
) -> dict[str, Any]:
    """Report what a session is shown as, what it does now, and its last runs.

    `stall` are the seconds without progress after which its run is ended.
    """
    row = ledger.sessions.line(session.key)
    runs = []
    for each in ledger.runs.recent(session.key):
        about = {**row, **each, "why": None, "queue": 0}
        told = as_dict(shown(about))
        runs.append({**{name: each[name] for name in _OF_RUN}, "shown": told})
    return {
        "shown": as_dict(shown(row, (now.word, now.text) if now else None)),
        "now": now and _told(now, stall),
        "recent_runs": runs,
    }


def _told(now: Doing, stall: float | None) -> dict[str, Any]:
    since = None if now.since is None else clock.at(now.since)
    ends = None
    if now.tries and since is not None and stall is not None:
        limit = min(stall, START_STALL) if now.is_early else stall
        ends = clock.iso(clock.after(since, limit))
    return {
        "doing": now.word,
        "text": now.text,
        "seconds": now.seconds,
        "since": since and clock.iso(since),
        "tries": now.tries,
        "stalls_at": ends,
    }


def _searched(line: Line) -> str:
    return f"{line.short_id} {line.row['id']} {line.task} {line.place}".lower()


def _line(
    row: Mapping[str, Any], settings: Config, look: Callable[[RunFiles], Doing]
) -> Line:
    now = look(files_of(row, settings)) if row["run_state"] == "running" else None
    told = shown(row, None if now is None else (now.word, now.text))
    began, ended = row["launched_at"], row["ended_at"]
    seconds = None
    if began is not None:
        end = clock.now() if ended is None else clock.parse_iso(ended)
        seconds = max((end - clock.parse_iso(began)).total_seconds(), 0.0)
    priced = row["priced"]
    return Line(
        row=row,
        shown=told,
        now=now,
        seconds=seconds,
        tokens=row["tokens"],
        usd=row["usd"] if priced else None,
        is_floor=bool(row["unpriced"] or row["uncounted"]),
    )


def ordered(found: Sequence[Line], key: str | None) -> list[Line]:
    """Order lines by need: by state, then the newest first, or by a key.

    Raises:
        UsageError: there is no such key.
    """
    if key is None:
        by_time = sorted(found, key=lambda each: each.shown.since, reverse=True)
        return sorted(by_time, key=_need)
    name, is_reversed = key.removeprefix("-"), key.startswith("-")
    if name not in _KEYS:
        message = f"--sort {key}: one of {', '.join(_KEYS)}, or -KEY"
        raise UsageError(message, "codex-tasks ls --sort cost, or codex-tasks ls")
    return sorted(found, key=_KEYS[name], reverse=is_reversed)


def _need(line: Line) -> int:
    return min(STATES.index(line.shown.state), STATES.index(ENDED[0]))


_KEYS: Mapping[str, Callable[[Line], Any]] = {
    "id": lambda line: line.short_id,
    "for": lambda line: line.shown.since,
    "cost": lambda line: line.usd or 0.0,
    "tokens": lambda line: line.tokens or 0,
    "time": lambda line: line.seconds or 0.0,
    "title": lambda line: line.task.lower(),
    "dir": lambda line: line.place,
}


def is_paused(ledger: Ledger) -> bool:
    """Return whether the whole queue is paused."""
    return any(each.paused for each in ledger_slots.limits(ledger) if not each.name)


def slots(ledger: Ledger) -> str | None:
    """Say how many slots are taken; None without a limit."""
    whole = next(iter(ledger_slots.limits(ledger)), None)
    if whole is None or (whole.slots is None and not whole.paused):
        return None
    if whole.paused or whole.slots == 0:
        return "the queue is paused"
    return f"{whole.running} of {whole.slots} slots"


def spent_today(ledger: Ledger) -> tuple[float, bool, float | None]:
    """Return the cost of this day's calls, whether it is a floor, and the budget."""
    (row,) = ledger.all("budget")
    total = usage.gather(ledger, "day", clock.today()).total
    if total is None:
        return 0.0, False, row["usd_per_day"]
    is_floor = total.unpriced or total.uncounted or total.unknown_cost
    return total.usd or 0.0, bool(is_floor), row["usd_per_day"]
