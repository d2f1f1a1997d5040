"""The budget of a prompt: what it may cost and use, with all its attempts."""

from __future__ import annotations

from parsers import loose_json
from parsers.accounting.prices import PriceUnknownError, tier_named
from parsers.struct import Struct, as_dict, replace
from runner import clock
from runner.accounting import prices
from runner.accounting.run import given_to
from runner.codex import home
from runner.errors import UnpricedError
from runner.ledger.database import value_of
from runner.ledger.usage import rows_of
from runner.terms import money

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from parsers.paths import Path
    from runner.accounting.run import RunAccounting
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.model import CodexOptions, Run
    from runner.terms import Terms

# The warning of a run whose budget does not see all that it uses.
BLIND = "budget_blind"


class Spent(Struct):
    """Hold what runs have used; `unpriced` counts the calls that `usd` lacks."""

    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0

    def __add__(self, other: Spent) -> Spent:
        mine, theirs = as_dict(self), as_dict(other)
        return Spent(**{name: mine[name] + theirs[name] for name in mine})

    def over(self, terms: Terms, *, or_at: bool = False) -> str | None:
        """Say which budget is exceeded, or with `or_at` used up; None if none is."""
        usd, tokens = terms.max_usd, terms.max_tokens
        if usd is not None and (self.usd > usd or (or_at and self.usd == usd)):
            cost = f"{money(self.usd)} of {money(usd)}"
            return f"the prompt has cost {cost} (--max-usd)"
        if tokens is not None and (
            self.tokens > tokens or (or_at and self.tokens == tokens)
        ):
            used = f"{self.tokens:,} of {tokens:,} tokens"
            return f"the prompt has used {used} (--max-tokens)"
        return None


def spent_before(run: Run, ledger: Ledger) -> Spent:
    """Return what the other attempts of a run's prompt have used.

    A person who queues the prompt again begins a new budget.
    """
    ids = {"prompt": run.spec.prompt_id, "run_id": run.run_id}
    row = ledger.one("usage_of_prompt", **ids)
    return Spent() if row is None else value_of(Spent, row)


def spent_by(run: Run, accounts: Mapping[str, object]) -> Spent:
    """Return what a run has used, by its accounts."""
    rows = rows_of(accounts, run.spec.codex.model, run.spec.prepared_at)
    return Spent(
        tokens=sum(row["total"] or 0 for row in rows),
        usd=sum(row["usd"] or 0.0 for row in rows),
        unpriced=sum(row["unpriced"] for row in rows),
    )


def compared(run: Run, counted: RunAccounting, ledger: Ledger) -> RunAccounting:
    """Add the budget of a run's prompt, and what is used of it, to its accounts."""
    terms = run.spec.terms
    if not terms.has_budget:
        return counted
    spent = spent_before(run, ledger) + spent_by(run, counted.to_json())
    return replace(counted, budget=report(terms, spent))


def report(terms: Terms, spent: Spent) -> dict[str, object]:
    """Report a budget, and what is used of it."""
    limits = {"max_usd": terms.max_usd, "max_tokens": terms.max_tokens}
    is_exceeded = spent.over(terms) is not None
    return {**limits, **as_dict(spent), "is_exceeded": is_exceeded}


def refuse_unpriced(
    max_usd: float, codex: CodexOptions, codex_home: Path, settings: Config
) -> None:
    """Refuse a budget in USD if the model is known, and has no price in its tier.

    Raises:
        UnpricedError: that is so.
    """
    given = given_to(codex)
    named = codex.model or home.configured(codex_home, given, "model")
    if (model := loose_json.text(named)) is None:
        return
    tier = tier_named(home.tier_of(given, codex_home)[0])
    day = clock.now().date().isoformat()
    try:
        is_guessed = prices.rates(settings.state_home, model, day, tier).estimate
    except PriceUnknownError as error:
        raise UnpricedError(max_usd, str(error)) from error
    if is_guessed:
        reason = f"no price of {model} for the service tier {tier}"
        raise UnpricedError(max_usd, reason)
