"""The event of a prompt, as programs and servers get it: one JSON object."""

from __future__ import annotations

import os

from parsers import json_text, loose_json
from parsers.error_classes import retryable
from runner.ledger import record
from runner.ledger.outbox import Notice
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.model import Run

SCHEMA = "codex-runner/event/1"


def event_of(notice: Notice, run: Run | None) -> dict[str, object]:
    """Build the event of a notice; `run` is the run that had the prompt."""
    facts = notice.facts
    told = {} if run is None else record.to_json(run)
    error_class = loose_json.text(told.get("error_class"))
    return {
        "schema": SCHEMA,
        "id": facts.get("id"),
        "event": notice.what,
        "at": notice.at,
        "task": notice.short_id,
        "session_id": notice.thread,
        "run_id": notice.run_id,
        "title": notice.title,
        "working_dir": os.fsdecode(notice.repo or b"") or None,
        "reason": facts.get("reason"),
        "why": facts.get("why"),
        "until": facts.get("until"),
        **{name: told.get(name) for name in ("outcome", "exit_code", "error")},
        "error_class": error_class,
        "retryable": retryable(error_class),
        "usage": told.get("token_usage"),
        "cost": told.get("cost"),
        "version": VERSION,
    }


def line_of(event: dict[str, object]) -> bytes:
    """Write an event on one line."""
    return json_text.dumps(event, separators=(",", ":")).encode() + b"\n"


def summary_of(event: dict[str, object]) -> tuple[str, str]:
    """Write an event for a person: a title, and a sentence."""
    name = event["title"] or event["task"] or "codex-runner"
    told = str(event["event"]).replace("_", " ")
    why = event["error"] or event["why"]
    until = f" until {event['until']}" if event["until"] else ""
    return f"Codex: {name}", f"{told}{until}: {why}" if why else f"{told}{until}"


def new_id() -> str:
    """Make the id of an event, as the ledger does."""
    return os.urandom(12).hex()


def trial(at: str) -> Notice:
    """Build the notice of a test."""
    known: dict[str, Any] = dict.fromkeys(Notice.field_names())
    known |= {"what": "test", "at": at, "detail": json_text.dumps({"id": new_id()})}
    return Notice(**known)
