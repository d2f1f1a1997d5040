"""Count and price the runs of an imported session, each for its own share.

The thread's rollout is the referee, as for runs of our own. Without it the events
count; where both leave a run's share open it stays unknown, with the reason.
"""

from __future__ import annotations

from datetime import UTC, datetime

from parsers import untrusted
from parsers.run_cost import cost_of_run
from parsers.run_usage import usage_of_run
from parsers.usage import Usage
from parsers.value import replace
from runner import accounts
from runner.accounts import Accounts
from runner.books import AFTERMATH, Books, Share
from runner.model import Mode, Outcome
from runner.store.foreign.history import UNKNOWN
from runner.store.prices import PriceBook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from parsers.facts import Facts
    from parsers.prices import Rates
    from runner.model import Spec
    from runner.service.imported_books import Shelf
    from runner.store.foreign.history import ForeignRun, History

# What ran before it printed what one process used; asked where no version is told.
_FIRST_CUMULATIVE_AT = datetime(2026, 1, 1, tzinfo=UTC)
_ROLLOUT, _BASH = "rollout", "run_codex_task.sh"


class Prices:
    """The rates of models, each looked up once for a day."""

    def __init__(self, state_home: Path) -> None:
        self._home = state_home
        self._known: dict[tuple[str, str], Rates] = {}

    def rates(self, model: str, at: datetime) -> Rates:
        """Return the rates of a model.

        Raises:
            PriceUnknownError: no table has it.
        """
        key = model, f"{at:%Y-%m-%d}"
        if key not in self._known:
            self._known[key] = PriceBook(self._home, at).rates(model)
        return self._known[key]


class Accountant:
    """Keep the accounts of one session, run by run in their order."""

    def __init__(self, history: History, shelf: Shelf, prices: Prices) -> None:
        self._history = history
        self._shelf = shelf
        self._prices = prices
        self._before: tuple[str, Usage] | None = None
        self._is_guessed = any(UNKNOWN in run.meta for run in history.runs)

    def count(self, run: ForeignRun, spec: Spec, facts: Facts) -> Accounts:
        """Count a run.

        Args:
            run: the run.
            spec: what it has become.
            facts: what its events say.
        """
        if run.outcome is Outcome.NOT_STARTED:
            return accounts.unknown("Codex was not started", facts)
        facts = self._with_figures(run, facts)
        is_cumulative = _is_cumulative(run)
        books = self._books(run, spec, facts)
        counted = usage_of_run(
            books.thread,
            books.agents,
            facts,
            self._previous(spec, facts),
            is_cumulative=is_cumulative,
        )
        self._before = _figure(facts)
        cost = cost_of_run(
            counted,
            facts,
            lambda model: self._prices.rates(model, run.started_at),
            model=facts.model or spec.codex.model,
        )
        # A figure of one process alone is no baseline for whoever carries it on.
        return Accounts(
            facts=facts if is_cumulative else replace(facts, usage=None),
            books=books,
            usage=counted.to_json(),
            cost=cost.to_json(),
        )

    def _books(self, run: ForeignRun, spec: Spec, facts: Facts) -> Books:
        share = self._share(run, spec)
        thread_id = self._history.session_id
        if share is None or thread_id is None:
            return Books()
        return self._shelf.open(thread_id, share, facts.agent_threads)

    def _share(self, run: ForeignRun, spec: Spec) -> Share | None:
        """Tell a run's part of the thread; None where times are only guessed."""
        runs, is_new = self._history.runs, spec.mode is Mode.NEW
        if self._is_guessed and not (is_new and len(runs) == 1):
            return None
        later = runs[run.number + 1 :]
        until = min((each.started_at for each in later), default=None)
        if until is None and self._history.kind != _ROLLOUT:
            until = run.ended_at + AFTERMATH
        return Share(offset=0 if is_new else None, since=run.started_at, until=until)

    def _with_figures(self, run: ForeignRun, facts: Facts) -> Facts:
        """Add what a readable log has told in words that no event has."""
        if self._history.kind != _BASH or run.events is not None:
            return facts
        return replace(
            facts,
            kind="log",
            total_tokens=untrusted.integer(run.meta.get("total_tokens")),
            cost_usd=untrusted.number(run.meta.get("cost_usd")),
        )

    def _previous(self, spec: Spec, facts: Facts) -> Usage | None:
        """Return what the thread had used before, in the figures that the run has."""
        if spec.mode is Mode.NEW:
            return Usage()
        now = _figure(facts)
        if self._before is None or now is None or self._before[0] != now[0]:
            return None
        return self._before[1]


def _figure(facts: Facts) -> tuple[str, Usage] | None:
    """Return a thread's figure and its kind; one that a log tells has no parts."""
    if facts.usage is not None:
        return "parts", facts.usage
    if facts.total_tokens is not None:
        return "total", Usage(total_tokens=facts.total_tokens)
    return None


def _is_cumulative(run: ForeignRun) -> bool:
    is_new = run.started_at >= _FIRST_CUMULATIVE_AT
    return accounts.is_cumulative(run.codex_version, otherwise=is_new)
