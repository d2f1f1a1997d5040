"""The prompts of the versions before that are not over when they are migrated.

Their texts lay in files of the session. Why one was held was worked out at every look;
here it is written down.
"""

from __future__ import annotations

import itertools
import os

from runner import clock, files
from runner.clock import iso
from runner.ledger import record
from runner.ledger.database import clean
from runner.ledger.fate import hold_of
from runner.ledger.queue import digest_of
from runner.model import OUTCOMES, QUIT, RunId
from runner.run_files import RunFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3

    from runner.ledger.database import Cell
    from runner.ledger.steps import Steps

_PREVIEW = 200
# Launches that failed, after which the versions before gave a prompt up.
_ATTEMPTS = 3
_LOST_TEXT = (
    "its text was lost before the state directory was migrated (its file was gone):"
    " codex-tasks stop cancels it"
)


def take_open(steps: Steps) -> None:
    """Take over the prompts that wait, and those of runs that are not over."""
    found = steps.do("open_prompts").fetchall()
    for _, rows in itertools.groupby(found, lambda row: row["session"]):
        is_first = True
        for row in rows:
            text = _text_of(row, steps)
            waits = row["run_id"] is None
            hold: dict[str, Cell] = {"hold": None, "wake_at": None, "wake_from": None}
            if waits and text is None:
                hold["hold"] = _LOST_TEXT
                steps.note("text of a prompt lost", f"{row['mail_id']} of {row['key']}")
            elif waits and is_first:
                hold |= _held(row, text, steps)
            is_first = is_first and not waits
            _insert(row, text, hold, steps)


def note_strays(steps: Steps) -> None:
    """Name the files in mailboxes that no prompt has.

    Their senders were killed before the commit: nobody was told that they wait.
    """
    for row in steps.do("session_places").fetchall():
        box = f"{steps.home}/{row['exports']}/mail"
        for name in _names(box):
            stem = name.partition(".")[0]
            number = int(stem) if stem.isdecimal() else 0
            has_row = steps.do("has_prompt", id=number, key=row["key"]).fetchone()
            if name[0] != "." and has_row is None:
                steps.note("file of a prompt without a row", f"{box}/{name}")


def _names(box: str) -> list[str]:
    try:
        # Of each session: a path object would take longer than the look.
        return sorted(os.listdir(box))  # noqa: PTH208
    except OSError:
        return []


def _insert(
    row: sqlite3.Row, text: bytes | None, hold: dict[str, Cell], steps: Steps
) -> None:
    waits = row["run_id"] is None
    steps.do(
        "insert_prompt",
        id=row["mail_id"],
        session=row["session"],
        text=text,
        digest=None if text is None else digest_of(text),
        preview=clean(row["task"])[:_PREVIEW],
        state="queued" if waits else "running",
        run_id=row["run_id"],
        # Without its text it can never go back.
        begun=int(not waits and (row["begun"] or text is None)),
        attempts=row["attempts"] + (0 if waits else 1),
        starts=row["attempts"] if waits else 0,
        queued_at=row["queued_at"],
        **hold,
    )


def _text_of(row: sqlite3.Row, steps: Steps) -> bytes | None:
    """Read the text of a prompt; None when its file is gone."""
    places = []
    if row["exports"] is not None:
        stem = steps.home / row["exports"] / "mail" / f"{row['mail_id']:08d}"
        places = [stem.with_suffix(".prompt"), stem.with_suffix(".skipped")]
    if row["run_id"] is not None:
        directory, run_id = steps.directory(row), RunId(row["run_id"])
        places.append(RunFiles(directory, run_id, is_flat=True).prompt)
    for place in places:
        try:
            return files.read_bytes(place)
        except OSError:
            continue
    return None


def _held(first: sqlite3.Row, text: bytes | None, steps: Steps) -> dict[str, Cell]:
    """Say why the first waiting prompt was held, in the words of the version before."""
    row = steps.do("last_run", session=first["session"]).fetchone()
    if row is None or row["state"] != "finished":
        return {}
    last, attempts = steps.run(row, record.unpack(row["record"])), first["attempts"]
    if row["thread_id"] is None and (last is None or last.spec.resume_session is None):
        return {"hold": "Codex has never named a thread"}
    if attempts >= _ATTEMPTS:
        error = last.verdict.error if last is not None and last.verdict else None
        return {"hold": f"Codex could not be started for it {attempts} times: {error}"}
    if OUTCOMES[row["outcome"]].then != "held" or (text or b"").strip() == QUIT:
        return {}
    hold, until = (f"the last run ended {row['outcome']}", None)
    if last is not None:
        hold, until = hold_of(last)
    if until is None:
        return {"hold": hold}
    is_over = until <= iso(clock.now())
    return (
        {}
        if is_over
        else {"hold": hold, "wake_at": until, "wake_from": row["ended_at"]}
    )
