"""The queue of a ledger that is rebuilt: prompts from their files, and from runs.

These functions run inside a transaction of their caller.
"""

from __future__ import annotations

from parsers import loose_json
from runner import clock
from runner.clock import iso
from runner.errors import ConflictFault
from runner.ledger import environments, prompts
from runner.ledger.prompts import digest_of
from runner.model import Outcome, Waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger
    from runner.model import Run

# What a file has of a session that has not run yet, and of the sender: not taken from a
# file that others can write.
NOT_OF_OTHERS = (
    *("title", "repo", "home", "session_settings", "environment"),
    "settings",  # with the programs that check the work and are notified
)
# The columns of a prompt that its file has as text, and as numbers.
_KEPT = ("not_before", "expires_at", "key", "body", "dedup")
_NUMBERS = ("priority", "retries", "recoveries")


def restore(
    ledger: Ledger,
    number: int,
    header: Mapping[str, object],
    text: bytes,
    hold: str | None,
) -> None:
    """Insert a prompt that a rebuild read from its file, inside a transaction."""
    sessions, at = ledger.sessions, iso(clock.now())
    told = {name: str(value) for name, value in header.items() if value is not None}
    at, place = told.get("queued_at", at), header.get("place")
    thread, short_id = told.get("thread"), told.get("short_id", "")
    found = sessions.named(thread or "") or sessions.named(short_id)
    key = (
        found[0].key
        if found
        else sessions.open(
            at,
            thread=thread,
            seed=short_id,
            title=told.get("title"),
            repo=told.get("repo"),
            home=told.get("home"),
            settings=told.get("session_settings", "{}"),
        )
    )
    environment = environments.of_header(header)
    values: dict[str, Cell] = {
        "prompt": number,
        "session": key,
        "place": place if isinstance(place, int) else number,
        "text": text,
        "preview": told.get(
            "preview", text.decode(errors="replace")[: prompts.PREVIEW]
        ),
        "digest": digest_of(text),
        "settings": told.get("settings", "{}"),
        "hold": hold or told.get("hold"),
        "at": at,
        "environment": environments.keep(ledger, environment) if environment else None,
        "grp": told.get("grp", ""),
        **{name: loose_json.integer(header.get(name)) or 0 for name in _NUMBERS},
        **{name: told.get(name) for name in _KEPT},
    }
    try:
        ledger.change("restore_prompt", **values)
    except ConflictFault:
        # Another prompt has its place, which happens only with a damaged header.
        ledger.change("restore_prompt", **{**values, "place": number})
    for each, any_end in prompts.needs_of(header):
        need: dict[str, Cell] = {"needs": each, "any_end": any_end}
        ledger.change("restore_need", prompt=number, **need)


def restore_running(ledger: Ledger, number: int, run: Run) -> None:
    """Set a prompt to running for the unfinished run that a rebuild found."""
    waits = isinstance(run.state, Waiting)
    ids: dict[str, Cell] = {"prompt": number, "run_id": run.run_id}
    if not ledger.change("restore_running", waits=waits, **ids):
        prompts.insert_of(ledger, run)


def close(ledger: Ledger, number: int, state: str = "canceled") -> None:
    """End a prompt that a rebuild found delivered or without a file."""
    prompts.end(ledger, number, state, "rebuilt", Outcome.LOST)
