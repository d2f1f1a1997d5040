"""The record of a finished run straight from its row, for what reads many of them."""

from __future__ import annotations

from functools import cache

from parsers import loose_json
from parsers.paths import Path
from parsers.struct import Struct
from runner.ledger import record
from runner.run_files import RunFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.light import sqlite3
    from runner.ledger.record import Json


class Recorded(Struct):
    """Hold the row of a finished run, its files, and its record as in `meta.json`.

    A record that is damaged stays so in `data`: only a run is read with care.
    """

    row: sqlite3.Row
    files: RunFiles
    data: Json

    @property
    def run_id(self) -> str:
        return str(self.row["run_id"])


def recorded(row: sqlite3.Row, stored: Json, columns: Json, request: Json) -> Recorded:
    """Build a record as `to_json` does from the run that `of_row` builds."""
    directory, is_flat = Path(str(request["directory"])), bool(request["is_flat"])
    paths = RunFiles(directory, row["run_id"], is_flat=is_flat)
    blank, wanted = _blank()
    started, known = row["launched_at"] or row["prepared_at"], stored.get("request")
    data = blank | stored | columns | record.places(paths, stored.get("accounts"))
    data["started_at"], data["processes"] = started, {}
    data["elapsed_seconds"] = record.elapsed(started, row["ended_at"])
    data["request"] = wanted | (known if isinstance(known, dict) else {}) | request
    return Recorded(row=row, files=paths, data=data)


@cache
def _blank() -> tuple[Json, Json]:
    """Return a record and its request with all of their names and no value."""
    names = {"mode": "new", "repo": "", "task": "", "codex_bin": "", "run_id": ""}
    state = {"state": "prepared", "prepared_at": "2026-11-30T00:00:00.000Z"}
    request = {"directory": "/", "is_flat": False, "cwd": "/", "umask": 0}
    whole = record.to_json(record.from_json({**names, **state, "request": request}))
    return dict.fromkeys(whole), dict.fromkeys(loose_json.mapping(whole["request"]))
