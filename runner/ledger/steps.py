"""The statements of `migration.sql`, run by their names in one transaction."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

from parsers import loose_json
from runner.errors import RunnerError
from runner.ledger import record
from runner.ledger.database import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

    from runner.ledger.database import Cell
    from runner.ledger.record import Json
    from runner.model import Run


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
        """Run one statement."""
        return self.db.execute(_statements()[name], values)

    def note(self, what: str, about: object) -> None:
        """Name something that could not be taken over as it was."""
        self.do("note", what=what, about=clean(str(about)))

    def directory(self, row: sqlite3.Row) -> Path:
        """Return the directory of a run."""
        return self.home / os.fsdecode(row["directory"])

    def run(self, row: sqlite3.Row, data: Json) -> Run | None:
        """Read a record of the version before; None when it is damaged.

        Args:
            row: a row with the directory that the run's files lie in.
            data: the record.
        """
        asked = loose_json.mapping(data.get("request"))
        place = {"directory": str(self.directory(row)), "is_flat": True}
        request = {**asked, **place, "prompt_id": asked.get("mail_id")}
        try:
            return record.from_json({**data, "request": request})
        except RunnerError:
            return None


def load(text: str) -> Json:
    """Read a JSON object; an empty one of what is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


@cache
def _statements() -> dict[str, str]:
    text = Path(__file__).with_name("migration.sql").read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("-- name: ")[1:])
    return {name.strip(): body for name, _, body in parts}
