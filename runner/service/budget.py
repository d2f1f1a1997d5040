"""What a day may cost, over all tasks, and what this day has cost."""

from __future__ import annotations

import math

from parsers.light import datetime
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.ledger.ledger import Ledger

NONE = "none"


def of_day(ledger: Ledger) -> dict[str, Any]:
    """Return the budget of a day and what is spent, both in USD.

    The day is that of this process's time zone, as in `usage`. The runs that go on are
    not in it yet; `unpriced` counts the calls that have no price.
    """
    (row,) = ledger.all("budget")
    per_day, spent = row["usd_per_day"], row["spent_usd"]
    until = datetime.fromisoformat(row["until"]).astimezone()
    offset = f"UTC{until:%z}"
    return {
        "usd_per_day": per_day,
        "spent_usd": spent,
        "unpriced": row["unpriced"],
        "is_spent": per_day is not None and per_day <= spent,
        "day": row["day"],
        "time_zone": f"{until:%Z} ({offset})" if until.tzname() else offset,
        "until": row["until"],
    }


def set_per_day(text: str, ledger: Ledger) -> None:
    """Set what a day may cost; `none` is without limit.

    Raises:
        UsageError: the text is no amount.
    """
    try:
        usd = None if text == NONE else float(text)
    except ValueError:
        usd = math.nan
    if usd is not None and not 0 <= usd < math.inf:
        message = f"USD-PER-DAY {text!r}: a number of US dollars from 0, or {NONE}"
        raise UsageError(
            message, f"codex-tasks budget 20, or codex-tasks budget {NONE}"
        )
    ledger.write("set_budget", usd=usd)
