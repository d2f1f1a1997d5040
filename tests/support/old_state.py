"""State directories of version 0.2: a frozen one with every case, and made ones."""

import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from support.imports import ROOT

FIXTURE = ROOT / "tests" / "data" / "schema2-fixture.tar.gz"
_EXPECTED = ROOT / "tests" / "data" / "expected.json"
_SCHEMAS = ROOT / "tests" / "support" / "old"
_PLACE = b"@ROOT@"


def extract(root: Path) -> Path:
    """Make the frozen state directory, with what it refers to; return it.

    Args:
        root: Where it is put; must not exist.
    """
    root.mkdir(parents=True, mode=0o700)
    with tarfile.open(FIXTURE) as archive:
        # The data filter of newer Pythons refuses names that are no UTF-8.
        archive.extraction_filter = lambda member, _: member
        archive.extractall(root)  # noqa: S202 - ours
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory) / name
            # A rollout's length is on record.
            if not (path.name.startswith("rollout-") or path.is_symlink()):
                _replace(path, os.fsencode(root))
    sql = root / "state" / "runs.db.sql"
    script = sql.read_text(encoding="utf-8", errors="surrogatepass")
    sql.unlink()
    fill(root / "state", script)
    for name in ("repo", os.fsdecode(b"r\xffepo")):
        (root / name).mkdir(exist_ok=True)
    return root / "state"


def expected(root: Path, when: str) -> dict[str, Any]:
    """Return what the old commands printed: `live` or `settled`, for this root."""
    text = _EXPECTED.read_text().replace(_PLACE.decode(), str(root))
    found: dict[str, Any] = json.loads(text)
    return {**found[when], "ids": found["ids"]}


def damage(root: Path) -> None:
    """Damage two records of the frozen index."""
    with sqlite3.connect(root / "state" / "runs.db") as db:
        db.executescript((root / "damage.sql").read_text())
    db.close()


def make(state_home: Path, schema: int, *statements: tuple[str, Sequence[Any]]) -> None:
    """Make an index of a schema, with these rows."""
    state_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = [f"schema_{number}.sql" for number in range(1, schema + 1)]
    script = "".join((_SCHEMAS / name).read_text() for name in names)
    db = fill(state_home, f"{script}\npragma user_version = {schema};")
    with db:
        for sql, values in statements:
            db.execute(sql, values)
    db.close()


def fill(state_home: Path, script: str) -> sqlite3.Connection:
    """Make `runs.db` of a script."""
    path = state_home / "runs.db"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.executescript(script)
    return db


def record_of(run_id: str, thread: str | None, log_dir: str, **changes: Any) -> Any:  # noqa: ANN401 - JSON
    """Build the record of a run that has succeeded, with some values changed.

    Values of `request` are changed by `request={…}`.
    """
    at = f"{datetime.strptime(run_id[:15], '%Y%m%d-%H%M%S').isoformat()}.000Z"  # noqa: DTZ007
    found = {
        "run_id": run_id,
        "session_id": thread,
        "resume_session": None,
        "mode": "new",
        "repo": "/repo",
        "task": "Do it.",
        "task_file": None,
        "codex_bin": "codex",
        "codex_version": "0.169.0",
        "model": "gpt-5.1-codex",
        "sandbox": "read-only",
        "started_at": at,
        "ended_at": at,
        "exit_code": 0,
        "process_exit_code": 0,
        "signal": None,
        "outcome": "succeeded",
        "error": None,
        "token_usage": {"input_tokens": 1200, "cached_input_tokens": 1000},
        "cost": None,
        "warnings": {},
        "left_running": [],
        "accounts": {},
        "state": "finished",
        "prepared_at": at,
        "launched_at": at,
        "rollout_offset": None,
        "processes": {},
        **changes,
    }
    found["request"] = {
        "log_dir": log_dir,
        "cwd": "/repo",
        "umask": 18,
        "overrides": [],
        "skip_git_repo_check": False,
        "extra": [],
        "model": None,
        "limits": {"timeout": None, "stall": 3600.0, "announcement": None},
        "report": {"json_out": None, "event_stream": None, "notify_command": None},
        "wait_for_session": False,
        "verbosity": "low",
        "once": [],
        "codex_home": "/home/me/.codex",
        "mail_id": None,
        **changes.get("request", {}),
    }
    return found


def row_of(record: dict[str, Any], key: str | None) -> tuple[str, Sequence[Any]]:
    """Return the statement that inserts the row of a run."""
    names = ("run_id", "state", "repo", "prepared_at", "ended_at", "outcome")
    sql = (
        "insert into runs (run_id, state, repo, prepared_at, ended_at, outcome,"
        " session_id, record) values (?, ?, ?, ?, ?, ?, ?, ?)"
    )
    return sql, [*(record[name] for name in names), key, json.dumps(record)]


def copy_rows(source: Path, to: Path) -> None:
    """Copy an index whole, by SQLite."""
    with sqlite3.connect(source) as old, sqlite3.connect(to) as new:
        old.backup(new)
    old.close()
    new.close()


def clone(state: Path, to: Path) -> Path:
    """Copy a state directory that no process uses."""
    shutil.copytree(state, to, symlinks=True)
    return to


def _replace(path: Path, root: bytes) -> None:
    was = path.read_bytes()
    now = was.replace(_PLACE, root)
    if now != was:
        status = path.stat()
        path.write_bytes(now)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
