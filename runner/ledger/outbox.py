"""The outbox: who is still to be notified of what, and what came of it.

Its rows are inserted in the transaction of each change: by `Runs.note` for runs, by
triggers of the schema for prompts. A process claims a row before it sends it.
"""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.struct import Struct
from runner import clock
from runner.clock import iso
from runner.terms import masked_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.light import datetime
    from runner.ledger.ledger import Ledger

WEBHOOK = "webhook"
# A notice that was claimed and not finished can be claimed again after this time.
_AGAIN_SECONDS = 60.0


class Notice(Struct):
    """Hold one notice that is not sent yet.

    `what` is the event and `at` its time, `place` the command or the address that it
    goes to, `detail` JSON. Without a `run_id` no run had the prompt.
    """

    id: int
    target: str
    attempts: int
    what: str
    run_id: str | None
    at: str
    detail: str | None
    place: str | int | None
    short_id: str | None
    thread: str | None
    title: str | None
    repo: bytes | None

    @property
    def facts(self) -> dict[str, object]:
        """Return what the ledger noted at the event: its id, and why."""
        return dict(loose_json.mapping(json_text.loads(self.detail or "{}")))


class Outbox:
    """Read and write the notices."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def of_run(self, run_id: str) -> list[Notice]:
        """Return the notices of a run that its supervisor sends."""
        return self._ledger.values(Notice, "notices_of_run", run_id=run_id)

    def due(self, *, webhooks: bool = False) -> list[Notice]:
        """Return what is overdue: webhooks, or everything else."""
        at = iso(clock.now())
        return self._ledger.values(Notice, "due_notices", at=at, is_webhook=webhooks)

    @property
    def has_notices(self) -> bool:
        """Whether a notice of a prompt is not sent yet."""
        return bool(self._ledger.value("has_notices"))

    def claim(self, notice: Notice) -> bool:
        """Claim a notice; return False when another process has claimed it."""
        now = clock.now()
        times = {"at": iso(now), "due_at": iso(clock.after(now, _AGAIN_SECONDS))}
        return bool(self._ledger.write("claim_outbox", id=notice.id, **times))

    def close(self, notice: Notice, error: str | None = None) -> None:
        """Record that a notice was sent, or why it is given up."""
        at = iso(clock.now())
        self._ledger.write("close_outbox", id=notice.id, at=at, error=error)

    def postpone(self, notice: Notice, at: datetime, error: str | None = None) -> None:
        """Let a notice be sent later; `error` is why it was not sent now."""
        self._ledger.write("postpone_notice", id=notice.id, due_at=iso(at), error=error)

    def of_session(self, session: int) -> list[dict[str, object]]:
        """Report the last notices of a session, the oldest first."""
        return [
            {
                "event": row["event"],
                "target": _shown(row["target"], row["place"]),
                "at": row["at"],
                "state": _state(row["done_at"], row["error"]),
                "attempts": row["attempts"],
                "error": row["error"],
            }
            for row in self._ledger.all("notices_of_session", session=session)
        ]


def _state(done_at: str | None, error: str | None) -> str:
    if done_at is None:
        return "waiting"
    return "given_up" if error else "sent"


def _shown(target: str, place: object) -> str:
    if target != WEBHOOK or place is None:
        return target
    return f"{target} {masked_address(str(place))}"
