"""Codex homes: a usage limit and a refused login are those of a home, not of a session.

All prompts of a held home wait. When the limit is over, or there is a new login, one
run tries first; the others follow when its turn has completed.
"""

from __future__ import annotations

import os

from parsers.paths import Path
from runner import clock, files
from runner.clock import iso
from runner.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.ledger.ledger import Ledger
    from runner.model import Run


def settle(ledger: Ledger, run: Run, reset: float) -> None:
    """Note what a finished run shows of its home, inside a transaction.

    A usage limit lasts `reset` seconds.
    """
    now, session = clock.now(), {"session": run.session}
    ledger.change("end_try", run_id=run.run_id)
    if run.outcome is Outcome.SUCCEEDED:
        ledger.change("release_home", at=iso(now), **session)
    elif run.outcome is Outcome.USAGE_LIMITED:
        until = iso(clock.after(now, reset))
        ledger.change("hold_home", until=until, why="limit", **session)
    elif run.outcome is Outcome.AUTH_FAILED:
        ledger.change("hold_home", until=None, why="login", **session)
        home = run.spec.codex_home
        ledger.change("keep_login", value=_login_of(home) if home else "", **session)


def release(ledger: Ledger, home: bytes, why: str | None = None) -> None:
    """Let one prompt of a home try now: by a person's wish, or after a new login."""
    ledger.write("open_home", home=home, why=why)


def look_for_logins(ledger: Ledger) -> None:
    """Release the homes whose `auth.json` has changed since a login was refused."""
    for row in ledger.all("refused_logins"):
        if _login_of(os.fsdecode(row["home"])) != row["login"]:
            release(ledger, row["home"], "login")


def _login_of(home: str) -> str:
    """Describe the `auth.json` of a home, so that a new login is seen."""
    found = files.status(Path(home) / "auth.json")
    if found is None:
        return ""
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}"
