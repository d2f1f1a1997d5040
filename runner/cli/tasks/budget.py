"""`codex-tasks budget`."""

from __future__ import annotations

from runner.cli import format
from runner.cli.options import refuse
from runner.service import budget
from runner.terms import money

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values

HELP = f"""\
Show or set what a day may cost: then prompts wait, and no run is started.

{format.TIME_FORMAT}
USD-PER-DAY ...  as many US dollars a day for all tasks together; none is no limit
                 (default: show it)

  codex-tasks budget
  codex-tasks budget 20
  codex-tasks budget none

0 done; 1 the ledger cannot be used; 2 wrong usage
"""


def main(found: Values, context: Context) -> int:
    """Show the budget of a day, or set it."""
    refuse((len(found.usd_per_day) > 1, "give one USD-PER-DAY"))
    for text in found.usd_per_day:
        budget.set_per_day(text, context.ledger)
    context.sweep()
    if found.usd_per_day and not found.json:
        return 0
    told = budget.of_day(context.ledger)
    per_day, spent = told["usd_per_day"], money(told["spent_usd"])
    of_it = "no limit" if per_day is None else f"of {money(per_day)}"
    missing = told["unpriced"]
    more = f" + {format.count(missing, 'call')} without a price" if missing else ""
    ends = format.time(told["until"], found.time_format)
    lines = [
        f"Spent: {spent}{more}, {of_it}",
        f"Day: {told['day']} in {told['time_zone']}, until {ends}",
    ]
    context.tell(found, "budget", told, lines)
    return 0
