"""Fill a new ledger with what the index of the versions before says.

`migration.sql` makes the rows; other modules tell what SQL cannot: where files lie,
what a prompt says, what becomes of runs that are not over. Nothing that is damaged
keeps the rest from being taken over: it is named in the table `notes`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
import zlib

from runner.ledger import old_prompts, old_runs, old_usage
from runner.ledger.old_places import Places, encoded
from runner.ledger.steps import Steps
from runner.model import OUTCOMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.ledger.database import Cell

# What an index of schema 1, or one that was never filled, lacks.
_TABLES = {
    "runs": "run_id, state, session_id, repo, prepared_at, ended_at, outcome, record",
    "sessions": "session_id, title, created_at, updated_at, archived_in",
    "mail": "mail_id, session_id, queued_at, state, task, run_id, attempts",
    "usage": "run_id, model, session_id, repo, prepared_at, input_tokens,"
    " cached_input_tokens, output_tokens, reasoning_output_tokens, total_tokens, usd",
}
_ROWS = (
    *(
        "old_runs",
        "places",
        "old_runs_by_key",
        "old_runs_by_id",
        "old_sessions",
        "old_sessions_by_key",
    ),
    *("imports", "sessions", "threads", "runs", "records"),
)
_NOTES = ("note_damaged", "note_prompts", "note_deliveries")
_SHORT = 8


def fill(db: sqlite3.Connection, home: Path) -> None:
    """Take everything over, inside a transaction.

    Args:
        db: the ledger: its tables, and nothing in them. The index is attached to it as
            `old`; no supervisor owns an unfinished run there.
        home: the state directory.
    """
    db.row_factory = sqlite3.Row
    # A text with stray bytes must not end the migration.
    db.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    steps, places = Steps(db, home), Places(home)
    last_number = _look_at(db)
    _make_functions(db, places)
    places.bring_back(steps)
    for step in _ROWS:
        steps.do(step)
    old_runs.end_runs(steps)
    steps.do("ended_prompts")
    old_prompts.take_open(steps)
    steps.do("forget_last_prompt")
    steps.do("set_last_prompt", seq=last_number)
    steps.do("usage")
    old_usage.count(steps)
    old_usage.read_removed(steps)
    steps.do("tombstones")
    for step in _NOTES:
        steps.do(step)
    for run_id, place in places.missing:
        steps.note("files of a run missing", f"{run_id}: {place}")
    old_prompts.note_strays(steps)


def _look_at(db: sqlite3.Connection) -> int:
    """Give the tables of the index their names, and return the last prompt's number."""
    found = db.execute("select name from old.sqlite_master where type = 'table'")
    there = {row["name"] for row in found}
    for name, columns in _TABLES.items():
        made = f"view {name}_before as select {columns} from old.{name}"  # noqa: S608 - ours
        lacking = f"table {name}_before ({columns})"
        db.execute(f"create temp {made if name in there else lacking}")
    db.execute("create temp table outcomes (outcome, code, prompt)")
    meanings = [(o, m.exit_code, m.prompt) for o, m in OUTCOMES.items()]
    db.executemany("insert into outcomes values (?, ?, ?)", meanings)
    if "mail" not in there:
        return 0
    numbers = "select max(seq) from old.sqlite_sequence where name = 'mail'"
    return int(db.execute(numbers).fetchone()[0] or 0)


def _make_functions(db: sqlite3.Connection, places: Places) -> None:
    functions: tuple[tuple[str, int, Callable[..., Cell]], ...] = (
        ("exports", 2, places.of_session),
        ("directory", 3, places.of_run),
        ("short_id", 1, _ShortIds().of),
        ("pack", 1, lambda text: zlib.compress(text, 1)),
        ("path", 1, _path),
        ("plain", 1, lambda text: (_path(text) or b"").decode(errors="replace")),
    )
    for name, arguments, function in functions:
        db.create_function(name, arguments, function)


class _ShortIds:
    """Make the short ids of sessions: the same ones each time they are migrated."""

    def __init__(self) -> None:
        self._taken = set[str]()

    def of(self, key: str) -> str:
        for salt in itertools.count():
            text = f"{key} {salt}".encode()
            found = hashlib.sha256(text).hexdigest()[:_SHORT]
            if not (found[0] == "0" or found in self._taken or key.startswith(found)):
                self._taken.add(found)
                return found
        raise AssertionError  # there is always another digest


def _path(text: str | None) -> bytes | None:
    """Return the bytes of a path that is written as JSON."""
    found = None if text is None else json.loads(text)
    return encoded(found) if isinstance(found, str) else None
