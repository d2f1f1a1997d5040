"""Send the webhooks that are due, with one process per state directory.

A row is claimed before it is sent and closed afterwards: when this process is killed in
between, the event is sent again with the same id.
"""

from __future__ import annotations

import os

from parsers.light import suppress
from runner import clock, config_files, locks
from runner.errors import NoSuchRunError
from runner.notify import event, webhook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.light import datetime
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.outbox import Notice
    from runner.notify.webhook import Answer

LOCK = "webhooks.lock"
# Seconds until the next try: four times as many each time, then half of that or more.
_FIRST, _FACTOR, _LONGEST = 5.0, 4, 3600.0
MOST_TRIES = 12
_MOST_SECONDS = 86_400.0


def send_due(ledger: Ledger, settings: Config) -> None:
    """Send what is due, unless another process does.

    After a failure what goes to the same server waits with it, so a dead server does
    not delay the others again and again.
    """
    if (lock := locks.take(ledger.home / LOCK)) is None:
        return
    failed: dict[str, datetime] = {}
    try:
        while due := ledger.outbox.due(webhooks=True):
            notice = due[0]
            server = "/".join(str(notice.place).split("/")[:3])
            until = failed.pop(server, None)
            if until is not None and until > clock.now():
                failed[server] = until
                ledger.outbox.postpone(notice, until)
            elif ledger.outbox.claim(notice):
                until = _send(notice, ledger, settings)
                failed |= {} if until is None else {server: until}
    finally:
        os.close(lock)


def _send(notice: Notice, ledger: Ledger, settings: Config) -> datetime | None:
    """Send one event and record what came of it; return when it is tried again."""
    tries = notice.attempts + 1
    answer = _post(notice, ledger, settings)
    if answer.error is None or answer.is_final:
        ledger.outbox.close(notice, answer.error)
        return None
    # With jitter, so that what failed together is not retried together.
    longest = min(_LONGEST, _FIRST * _FACTOR ** (tries - 1))
    pause = longest * (1 + os.urandom(1)[0] / 255) / 2
    until = clock.after(clock.now(), max(pause, answer.wait))
    end = clock.after(clock.parse_iso(notice.at), _MOST_SECONDS)
    if tries >= MOST_TRIES or until > end:
        told = f"{answer.error}; given up after {tries} tries"
        ledger.outbox.close(notice, told)
        return None
    ledger.outbox.postpone(notice, until, answer.error)
    return until


def _post(notice: Notice, ledger: Ledger, settings: Config) -> Answer:
    run = None
    with suppress(NoSuchRunError):  # its session has just been removed
        if notice.run_id is not None:
            run = ledger.runs.find(notice.run_id)
    body = event.line_of(event.event_of(notice, run))
    faults: list[str] = []
    own = config_files.in_force(settings, warn=faults.append)
    if faults:
        # Without its secret the event would not be signed.
        return webhook.Answer(error=faults[0])
    event_id = str(notice.facts.get("id"))
    return webhook.post(str(notice.place), body, event_id, own)
