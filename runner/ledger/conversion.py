"""Fill a new ledger from the database of a previous version.

`migration.sql` inserts the rows; Python adds what SQL cannot compute: the paths of
files, the texts of prompts, the fate of unfinished runs. A damaged record does not stop
the migration: it is named in the table `notes`.
"""

from __future__ import annotations

import os
import zlib
from functools import cached_property

from parsers import json_text, loose_json
from parsers.light import sqlite3, suppress
from parsers.text import clean
from runner import clock, files
from runner.clock import iso
from runner.errors import FileFault
from runner.ledger import old_runs, record
from runner.ledger.database import queries
from runner.ledger.fate import hold_of
from runner.ledger.prompts import digest_of
from runner.ledger.short_ids import short_ids
from runner.ledger.usage import rows_of
from runner.model import OUTCOMES, QUIT, RunId
from runner.run_files import PREFIX, RunFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.paths import Path
    from runner.ledger.database import Cell
    from runner.model import Run

# The tables that are missing in schema 1, or before the first row.
_TABLES = {
    "runs": "run_id, state, session_id, repo, prepared_at, ended_at, outcome, record",
    "sessions": "session_id, title, created_at, updated_at, archived_in",
    "mail": "mail_id, session_id, queued_at, state, task, run_id, attempts",
    "usage": "run_id, model, session_id, repo, prepared_at, input_tokens,"
    " cached_input_tokens, output_tokens, reasoning_output_tokens, total_tokens, usd",
}
# The number of failed launches after which previous versions held a prompt.
_ATTEMPTS = 3
_LOST_TEXT = (
    "its text was lost before the state directory was migrated (its file was gone):"
    " codex-tasks stop cancels it"
)
_REMOVED = "removed.jsonl"
_SHOWN = 80
# The prefix of a directory that was being removed; a key and random digits follow.
_AWAY = ".removed-"
# Where directories of sessions are; the last place has precedence.
_PLACES = ("archive/[0-9]*/[0-9]*/[0-9]*/*", ".pending/*", "*")
_KINDS = ("events.jsonl", "meta.json", "prompt")


class Steps:
    """Run statements on a new ledger, to which the old database is attached.

    Args:
        db: the ledger.
        home: the state directory.
    """

    def __init__(self, db: sqlite3.Connection, home: Path) -> None:
        self.db = db
        self.home = home

    def do(self, name: str, **values: Cell) -> sqlite3.Cursor:
        """Run the statements of a name, and return what the last one finds."""
        *first, last = queries("migration.sql")[name].split(";\n")
        for each in first:
            self.db.execute(each, values)
        return self.db.execute(last, values)

    def note(self, what: str, about: object) -> None:
        """Note a record that was changed or skipped."""
        self.do("note", what=what, about=clean(str(about)))

    def files(self, row: sqlite3.Row) -> RunFiles:
        """Name the files of a run."""
        directory = self.home / os.fsdecode(row["directory"])
        return RunFiles(directory, RunId(row["run_id"]), is_flat=True)

    def run(self, row: sqlite3.Row) -> Run | None:
        """Read the record of a run; None when it is damaged."""
        data = record.unpack(row["record"])
        asked = loose_json.mapping(data.get("request"))
        directory, number = str(self.files(row).directory), asked.get("mail_id")
        place = {"directory": directory, "is_flat": True, "prompt_id": number}
        return old_runs.read({**data, "request": {**asked, **place}})


class Places:
    """Find the directories of sessions and runs.

    The database records them. A move may have been killed before the record was
    updated, and the state directory may have been moved: then they are searched for.
    `missing` names the runs without files, and the place.
    """

    def __init__(self, state_home: Path) -> None:
        self._home = state_home
        self.missing: list[tuple[str, str]] = []

    @cached_property
    def _found(self) -> dict[str, str]:
        home = self._home
        places = [each for place in _PLACES for each in sorted(home.glob(place))]
        found = filter(files.is_directory, places)
        return {each.name: str(each.relative_to(home)) for each in found}

    def of_session(self, key: str, archived_in: str | None) -> str | None:
        """Return the directory of a session, relative to the state directory."""
        if archived_in is not None and files.is_directory(self._home / archived_in):
            return archived_in
        return self._found.get(key)

    def of_run(self, run_id: str, session: str | None, log_dir: str | None) -> bytes:
        """Return the directory of the files of a run, as the ledger stores it.

        Args:
            run_id: the run.
            session: the directory of its session.
            log_dir: the recorded directory, as JSON.
        """
        told = None if log_dir is None else json_text.loads(log_dir)
        places = [] if session is None else [f"{self._home}/{session}/runs"]
        places += [told] if isinstance(told, str) else []
        for place in places:
            stem = f"{place}/{PREFIX}{run_id}."
            if any(os.path.lexists(f"{stem}{kind}") for kind in _KINDS):
                break
        else:
            place = (places or [f"{self._home}/runs"])[-1]
            self.missing.append((run_id, place))
        # Relative to the state directory, which may be moved.
        return _encoded(place.removeprefix(f"{self._home}/"))

    def bring_back(self, steps: Steps) -> None:
        """Restore directories of sessions whose removal was killed before its commit.

        Raises:
            FileFault: a directory cannot be renamed.
        """
        for name in [each for each in self._found if each.startswith(_AWAY)]:
            key = name.removeprefix(_AWAY).rpartition("-")[0]
            row = steps.do("session_before", key=key).fetchone()
            if row is None or self.of_session(key, row["archived_in"]) is not None:
                continue
            now = self._home / (row["archived_in"] or old_runs.place_of(key))
            files.make_directory(now.parent)
            try:
                (self._home / name).rename(now)
            except OSError as error:
                raise FileFault("restore", now, error) from error
            self._found[key] = str(now.relative_to(self._home))


def fill(db: sqlite3.Connection, home: Path) -> None:
    """Convert all rows, inside a transaction.

    Args:
        db: the ledger with its empty tables. The old database is attached to it as
            `old`; no supervisor owns an unfinished run there.
        home: the state directory.
    """
    db.row_factory = sqlite3.Row
    # A text that is not UTF-8 must not end the migration.
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
    steps.do("queue_files")
    steps.do("set_last_prompt", seq=last_number)
    steps.do("usage")
    _count_runs(steps)
    for line in filter(None, files.read_text(home / _REMOVED).splitlines()):
        try:
            steps.do("removed_usage", line=line)
        except sqlite3.Error:
            steps.note(f"line of {_REMOVED} damaged", line[:_SHOWN])
    steps.do("tombstones_and_notes")
    for statement in queries()["sum_all_usage"].split(";\n"):
        db.execute(statement)
    for run_id, place in places.missing:
        steps.note("files of a run missing", f"{run_id}: {place}")
    _note_strays(steps)


def _look_at(db: sqlite3.Connection) -> int:
    """Create views of the old tables, and return the last prompt's number."""
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
        found = next(each for each in short_ids(key) if each not in taken)
        taken.add(found)
        return found

    def path(text: str | None) -> bytes | None:
        """Return the bytes of a path that is written as JSON."""
        found = None if text is None else json_text.loads(text)
        return _encoded(found) if isinstance(found, str) else None

    def plain(text: str | None) -> str:
        """Return such a path as a text to show."""
        return (path(text) or b"").decode(errors="replace")

    db.create_function("exports", 2, places.of_session)
    db.create_function("directory", 3, places.of_run)
    db.create_function("short_id", 1, short_id)
    db.create_function("pack", 1, lambda text: zlib.compress(text, 1))
    db.create_function("path", 1, path)
    db.create_function("plain", 1, plain)


def _encoded(text: str) -> bytes:
    """Return the bytes of a path; `?` if the value is not a path."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def _take_prompt(row: sqlite3.Row, steps: Steps) -> None:
    """Convert a prompt that waits, or whose run is unfinished."""
    places = []
    if row["exports"] is not None:
        stem = steps.home / row["exports"] / "mail" / f"{row['mail_id']:08d}"
        places = [stem.with_suffix(".prompt"), stem.with_suffix(".skipped")]
    if row["run_id"] is not None:
        places.append(steps.files(row).prompt)
    text = hold = wake_at = wake_from = None
    for place in reversed(places):
        # The first one counts.
        with suppress(OSError):
            text = files.read_bytes(place)
    if row["run_id"] is None and text is None:
        hold = _LOST_TEXT
        steps.note("text of a prompt lost", f"{row['mail_id']} of {row['key']}")
    elif row["run_id"] is None and row["is_first"]:
        hold, wake_at, wake_from = _held(row, text, steps)
    told = {**row, "preview": clean(row["preview"])}
    times = {"wake_at": wake_at, "wake_from": wake_from}
    digest = None if text is None else digest_of(text)
    steps.do("insert_prompt", **told, **times, text=text, digest=digest, hold=hold)


def _held(
    first: sqlite3.Row, text: bytes | None, steps: Steps
) -> tuple[str | None, str | None, str | None]:
    """Return why the first waiting prompt was held, as the previous version did.

    That version computed it at every read. The result has the time when the hold ends,
    if any, and the time from which that counts.
    """
    row = steps.do("last_run", session=first["session"]).fetchone()
    if row is None or row["state"] != "finished":
        return None, None, None
    last, attempts = steps.run(row), first["attempts"]
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
    """Count the finished runs without usage rows, such as those of schema 1."""
    for row in steps.do("uncounted").fetchall():
        data = record.unpack(row["record"])
        request = loose_json.mapping(data.get("request"))
        model, at = loose_json.text(request.get("model")), clock.at(0)
        try:
            found = rows_of(data, model, at)
        except (ValueError, KeyError, TypeError, AttributeError):
            found = rows_of({}, None, at)
        for each in found:
            told = {**each, "model": clean(str(each["model"]))}
            steps.do("count", run_id=row["run_id"], **told)


def _note_strays(steps: Steps) -> None:
    """Note the files in `mail/` without a row.

    Their senders were killed before the commit, so no sender was told that they wait.
    """
    for row in steps.do("session_places").fetchall():
        box = steps.home / row["exports"] / "mail"
        for name in files.names(box):
            stem = name.partition(".")[0]
            number = int(stem) if stem.isdecimal() else 0
            has_row = steps.do("has_prompt", id=number, key=row["key"]).fetchone()
            if name[0] != "." and has_row is None:
                steps.note("file of a prompt without a row", box / name)
