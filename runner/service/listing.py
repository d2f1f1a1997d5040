"""The list of tasks: what each is shown as, in the order of need."""

from __future__ import annotations

import os

from parsers.struct import Struct, as_dict
from runner import clock
from runner.errors import UsageError
from runner.ledger import slots as ledger_slots
from runner.ledger.runs import FLAT
from runner.run_files import RunFiles
from runner.service import usage
from runner.service.shown import STATES, shown
from runner.tail import Doing, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Any

    from parsers.light import datetime
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session
    from runner.service.lookup import Found
    from runner.service.shown import Shown

_ENDED = ("failed", "done", "stopped")
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
    *("id", "short_id", "title", "state", "outcome", "error_class"),
    *("created_at", "updated_at", "working_dir", "queue", "last_run"),
)
# What people read instead of a reason, and in less room.
_BRIEF = {
    "session": "own run",
    "slot": "no free slot",
    "rate": "starts per minute",
    "dependency": "after another",
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
}


class Line(Struct):
    """Hold one task of the list; unknown figures are None.

    `task` is its title, else its prompt; `place` its directory. `seconds` is the time
    of its last run. `tokens` and `usd` are those of all its finished runs; `usd` is a
    floor if calls have no price or were not counted.
    """

    row: Mapping[str, Any]
    shown: Shown
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
        return self.shown.state in _ENDED

    @property
    def sign(self) -> str:
        """Return the symbol of its state."""
        return SIGNS[self.shown.state]

    @property
    def brief(self) -> str:
        """Say why in a few words."""
        told, now = self.shown, clock.now().astimezone()
        if told.until and told.reason in {"limit", "time", "retry", "budget", "rate"}:
            local = clock.parse_iso(told.until).astimezone()
            form = "%H:%M" if local.date() == now.date() else "%d %b %H:%M"
            word = {"limit": "limit until", "time": "at"}.get(told.reason, told.reason)
            return f"{word} {local.strftime(form)}"
        if told.state == "running" and told.reason == "command":
            return " ".join((told.detail or "").split()[:2])
        if told.reason in _BRIEF:
            return _BRIEF[told.reason]
        if told.state in {"running", "failed"} and told.reason:
            return told.reason.replace("_", " ")
        return told.detail or (told.reason or "").replace("_", " ")

    @property
    def detail(self) -> str:
        """Say why in a sentence."""
        told = self.shown
        if not told.detail:
            return self.brief
        if told.state == "running" and told.reason != "command":
            return f"{told.reason}: {told.detail}"
        return told.detail

    def to_json(self) -> dict[str, Any]:
        """Build the object of the list, whose keys are those of `status.report`."""
        row = self.row
        return {
            **{name: row[name] for name in _SHOWN},
            "session_id": row["id"] if row["id"] != row["short_id"] else None,
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
) -> list[Line]:
    """Return the lines of rows (of `listed_sessions`) in some states, with a text."""
    found = [_line(row, settings) for row in rows]
    if len(states) < len(STATES):
        found = [each for each in found if each.shown.state in states]
    if text is not None:
        wanted = text.lower()
        found = [each for each in found if wanted in _searched(each)]
    return found


def line_of(task: Found, settings: Config) -> Line:
    """Return the line of one task, as it is now."""
    row = task.ledger.sessions.line(task.session.key)
    return _line(row, settings)


def doing_in(paths: RunFiles) -> Doing:
    """Return what a run does now: Codex, or the check after its turn."""
    if os.path.lexists(paths.verify):
        return Doing(word="verifying", text=None, seconds=0.0)
    return doing(paths.events)


def report_of(session: Session, now: Doing | None, ledger: Ledger) -> dict[str, Any]:
    """Report what a session is shown as, what it does now, and its last runs."""
    row = ledger.sessions.line(session.key)
    runs = []
    for each in ledger.runs.recent(session.key):
        about = {**row, **each, "why": None, "queue": 0}
        told = as_dict(shown(about))
        runs.append({**{name: each[name] for name in _OF_RUN}, "shown": told})
    return {
        "shown": as_dict(shown(row, (now.word, now.text) if now else None)),
        "now": now and {"doing": now.word, "text": now.text, "seconds": now.seconds},
        "recent_runs": runs,
    }


def _searched(line: Line) -> str:
    return f"{line.short_id} {line.row['id']} {line.task} {line.place}".lower()


def _line(row: Mapping[str, Any], settings: Config) -> Line:
    now = None
    if row["run_state"] == "running":
        place = settings.state_home / os.fsdecode(row["directory"])
        is_flat = row["layout"] == FLAT
        now = doing_in(RunFiles(place, row["last_run"], is_flat=is_flat))
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
        raise UsageError(message)
    return sorted(found, key=_KEYS[name], reverse=is_reversed)


def _need(line: Line) -> int:
    return min(STATES.index(line.shown.state), STATES.index(_ENDED[0]))


_KEYS: Mapping[str, Callable[[Line], Any]] = {
    "id": lambda line: line.short_id,
    "for": lambda line: line.shown.since,
    "cost": lambda line: line.usd or 0.0,
    "tokens": lambda line: line.tokens or 0,
    "time": lambda line: line.seconds or 0.0,
    "title": lambda line: line.task.lower(),
    "dir": lambda line: line.place,
}


def slots(ledger: Ledger) -> str | None:
    """Say how many slots are taken; None without a limit."""
    whole = next(iter(ledger_slots.limits(ledger)), None)
    if whole is None or (whole.slots is None and not whole.paused):
        return None
    if whole.paused or whole.slots == 0:
        return "the queue is paused"
    return f"{whole.running} of {whole.slots} slots"


def spent_since(ledger: Ledger, since: datetime) -> tuple[float, bool]:
    """Return the cost of the calls since an instant, and whether it is a floor."""
    total = usage.gather(ledger, "day", since).total
    if total is None:
        return 0.0, False
    is_floor = total.unpriced or total.uncounted or total.unknown_cost
    return total.usd or 0.0, bool(is_floor)
