"""Fill a new ledger with what the index of the versions before says.

`migration.sql` makes the rows; Python tells what SQL cannot: where files lie, what a
prompt says, what becomes of runs that are not over. Nothing that is damaged keeps the
rest from being taken over: it is named in the table `notes`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sqlite3
import zlib
from functools import cache
from pathlib import Path

from parsers import loose_json
from runner import clock, files
from runner.clock import iso
from runner.ledger import old_runs, record
from runner.ledger.database import clean
from runner.ledger.fate import hold_of
from runner.ledger.old_places import Places, encoded
from runner.ledger.queue import digest_of
from runner.ledger.usage import rows_of
from runner.model import OUTCOMES, QUIT, RunId
from runner.run_files import RunFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.ledger.database import Cell
    from runner.ledger.record import Json
    from runner.model import Run

    Held = tuple[str | None, str | None, str | None]

# What an index of schema 1, or one that was never filled, lacks.
_TABLES = {
    "runs": "run_id, state, session_id, repo, prepared_at, ended_at, outcome, record",
    "sessions": "session_id, title, created_at, updated_at, archived_in",
    "mail": "mail_id, session_id, queued_at, state, task, run_id, attempts",
    "usage": "run_id, model, session_id, repo, prepared_at, input_tokens,"
    " cached_input_tokens, output_tokens, reasoning_output_tokens, total_tokens, usd",
}
_SHORT = 8
# Launches that failed, after which the versions before gave a prompt up.
_ATTEMPTS = 3
_LOST_TEXT = (
    "its text was lost before the state directory was migrated (its file was gone):"
    " codex-tasks stop cancels it"
)
_REMOVED = "removed.jsonl"
_SHOWN = 80


class Steps:
    """Run statements on a new ledger, to which the old index is attached.

    Args:
        db: the ledger.
        home: the state directory.
    """

    def __init__(self, db: sqlite3.Connection, home: Path) -> None:
        self.db = db
        self.home = home

    def do(self, name: str, **values: Cell) -> sqlite3.Cursor:
        """Run the statements of a name, and return what the last one finds."""
        *first, last = _statements()[name]
        for each in first:
            self.db.execute(each, values)
        return self.db.execute(last, values)

    def note(self, what: str, about: object) -> None:
        """Name something that could not be taken over as it was."""
        self.do("note", what=what, about=clean(str(about)))

    def files(self, row: sqlite3.Row) -> RunFiles:
        """Name the files of a run."""
        directory = self.home / os.fsdecode(row["directory"])
        return RunFiles(directory, RunId(row["run_id"]), is_flat=True)

    def run(self, row: sqlite3.Row, data: Json) -> Run | None:
        """Read the record of a run; None when it is damaged."""
        asked = loose_json.mapping(data.get("request"))
        directory, number = str(self.files(row).directory), asked.get("mail_id")
        place = {"directory": directory, "is_flat": True, "prompt_id": number}
        return old_runs.read({**data, "request": {**asked, **place}})


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
    steps.do("rows")
    old_runs.end_runs(steps)
    steps.do("ended_prompts")
    for row in steps.do("open_prompts").fetchall():
        _take_prompt(row, steps)
    steps.do("set_last_prompt", seq=last_number)
    steps.do("usage")
    _count_runs(steps)
    for line in filter(None, files.read_text(home / _REMOVED).splitlines()):
        try:
            steps.do("removed_usage", line=line)
        except sqlite3.Error:
            steps.note(f"line of {_REMOVED} damaged", line[:_SHOWN])
    steps.do("tombstones_and_notes")
    for run_id, place in places.missing:
        steps.note("files of a run missing", f"{run_id}: {place}")
    _note_strays(steps)


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
    taken = set[str]()

    def short_id(key: str) -> str:
        """Make the short id of a session: the same each time it is migrated."""
        digests = (f"{key} {salt}".encode() for salt in itertools.count())
        ids = (hashlib.sha256(text).hexdigest()[:_SHORT] for text in digests)
        free = (i for i in ids if not (i[0] == "0" or i in taken or key.startswith(i)))
        taken.add(found := next(free))
        return found

    def path(text: str | None) -> bytes | None:
        """Return the bytes of a path that is written as JSON."""
        found = None if text is None else json.loads(text)
        return encoded(found) if isinstance(found, str) else None

    functions: tuple[tuple[str, int, Callable[..., Cell]], ...] = (
        ("exports", 2, places.of_session),
        ("directory", 3, places.of_run),
        ("short_id", 1, short_id),
        ("pack", 1, lambda text: zlib.compress(text, 1)),
        ("path", 1, path),
        ("plain", 1, lambda text: (path(text) or b"").decode(errors="replace")),
    )
    for name, arguments, function in functions:
        db.create_function(name, arguments, function)


def _take_prompt(row: sqlite3.Row, steps: Steps) -> None:
    """Take over a prompt that waits, or whose run is not over."""
    text = _text_of(row, steps)
    held: Held = (None, None, None)
    if row["run_id"] is None and text is None:
        held = (_LOST_TEXT, None, None)
        steps.note("text of a prompt lost", f"{row['mail_id']} of {row['key']}")
    elif row["run_id"] is None and row["is_first"]:
        held = _held(row, text, steps)
    steps.do(
        "insert_prompt",
        id=row["mail_id"],
        session=row["session"],
        text=text,
        digest=None if text is None else digest_of(text),
        preview=clean(row["preview"]),
        run_id=row["run_id"],
        begun=row["begun"],
        attempts=row["attempts"],
        queued_at=row["queued_at"],
        **dict(zip(("hold", "wake_at", "wake_from"), held, strict=True)),
    )


def _text_of(row: sqlite3.Row, steps: Steps) -> bytes | None:
    """Read the text of a prompt; None when its file is gone."""
    places = []
    if row["exports"] is not None:
        stem = steps.home / row["exports"] / "mail" / f"{row['mail_id']:08d}"
        places = [stem.with_suffix(".prompt"), stem.with_suffix(".skipped")]
    if row["run_id"] is not None:
        places.append(steps.files(row).prompt)
    for place in places:
        try:
            return files.read_bytes(place)
        except OSError:
            continue
    return None


def _held(first: sqlite3.Row, text: bytes | None, steps: Steps) -> Held:
    """Say why the first waiting prompt was held, in the words of the version before.

    It worked that out at every look. With a time at which the hold is over, if it has
    one, and the time from which that counts.
    """
    row = steps.do("last_run", session=first["session"]).fetchone()
    if row is None or row["state"] != "finished":
        return None, None, None
    last, attempts = steps.run(row, record.unpack(row["record"])), first["attempts"]
    if row["thread_id"] is None and (last is None or last.spec.resume_session is None):
        return "Codex has never named a thread", None, None
    if attempts >= _ATTEMPTS:
        error = last.verdict.error if last is not None and last.verdict else None
        hold = f"Codex could not be started for it {attempts} times: {error}"
        return hold, None, None
    if OUTCOMES[row["outcome"]].then != "held" or (text or b"").strip() == QUIT:
        return None, None, None
    hold, until = f"the last run ended {row['outcome']}", None
    if last is not None:
        hold, until = hold_of(last)
    if until is not None and until <= iso(clock.now()):
        return None, None, None
    return hold, until, row["ended_at"] if until else None


def _count_runs(steps: Steps) -> None:
    """Count the finished runs that the index has not counted, as schema 1 did not."""
    names = ("model", "input", "cached", "output", "reasoning", "total", "usd")
    for row in steps.do("uncounted").fetchall():
        data = record.unpack(row["record"])
        request = loose_json.mapping(data.get("request"))
        try:
            found = rows_of(data, loose_json.text(request.get("model")))
        except (ValueError, KeyError, TypeError, AttributeError):
            found = rows_of({}, None)
        for model, *figures in found:
            used = dict(zip(names, (clean(str(model)), *figures), strict=True))
            repo = encoded(str(data.get("repo", "")))
            steps.do("insert_usage", run_id=row["run_id"], repo=repo, **used)


def _note_strays(steps: Steps) -> None:
    """Name the files in mailboxes that no prompt has.

    Their senders were killed before the commit: no sender learned that they wait.
    """
    for row in steps.do("session_places").fetchall():
        box = steps.home / row["exports"] / "mail"
        for name in files.names(box):
            stem = name.partition(".")[0]
            number = int(stem) if stem.isdecimal() else 0
            has_row = steps.do("has_prompt", id=number, key=row["key"]).fetchone()
            if name[0] != "." and has_row is None:
                steps.note("file of a prompt without a row", box / name)


@cache
def _statements() -> dict[str, list[str]]:
    text = Path(__file__).with_name("migration.sql").read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name: body.strip().split(";\n") for name, _, body in parts}
