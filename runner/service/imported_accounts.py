"""Count and price the runs of an imported session, each for its own share.

The thread's rollout is the referee, as for runs of our own. Without it the events
count; where both leave a run's share open it stays unknown, with the reason.
"""

from __future__ import annotations

from datetime import UTC, datetime

from parsers import loose_json
from parsers.accounting.run_cost import cost_of_run
from parsers.accounting.run_usage import usage_of_run
from parsers.accounting.tokens import Usage
from parsers.struct import replace
from runner.accounting.prices import PriceBook
from runner.accounting.rollouts import AFTERMATH, RunRollouts, Slice
from runner.accounting.run import RunAccounting, is_cumulative, unknown
from runner.foreign.history import UNKNOWN
from runner.model import Mode, Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from parsers.accounting.prices import Rates
    from parsers.facts import Facts
    from runner.foreign.history import ForeignRun, History
    from runner.model import Spec
    from runner.service.imported_books import Shelf

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

    def count(self, run: ForeignRun, spec: Spec, facts: Facts) -> RunAccounting:
        """Count a run.

        Args:
            run: the run.
            spec: what it has become.
            facts: what its events say.
        """
        if run.outcome is Outcome.NOT_STARTED:
            return unknown("Codex was not started", facts)
        facts = self._with_figures(run, facts)
        cumulative = _is_cumulative(run)
        books = self._books(run, spec, facts)
        counted = usage_of_run(
            books.thread,
            books.agents,
            facts,
            self._previous(spec, facts),
            is_cumulative=cumulative,
        )
        self._before = _figure(facts)
        cost = cost_of_run(
            counted,
            facts,
            lambda model: self._prices.rates(model, run.started_at),
            model=facts.model or spec.codex.model,
        )
        # A figure of one process alone is no baseline for whoever carries it on.
        return RunAccounting(
            facts=facts if cumulative else replace(facts, usage=None),
            books=books,
            usage=counted.to_json(),
            cost=cost.to_json(),
        )

    def _books(self, run: ForeignRun, spec: Spec, facts: Facts) -> RunRollouts:
        share = self._share(run, spec)
        thread_id = self._history.session_id
        if share is None or thread_id is None:
            return RunRollouts()
        return self._shelf.open(thread_id, share, facts.agent_threads)

    def _share(self, run: ForeignRun, spec: Spec) -> Slice | None:
        """Tell a run's part of the thread; None where times are only guessed."""
        runs, is_new = self._history.runs, spec.mode is Mode.NEW
        if self._is_guessed and not (is_new and len(runs) == 1):
            return None
        later = runs[run.number + 1 :]
        until = min((each.started_at for each in later), default=None)
        if until is None and self._history.kind != _ROLLOUT:
            until = run.ended_at + AFTERMATH
        return Slice(offset=0 if is_new else None, since=run.started_at, until=until)

    def _with_figures(self, run: ForeignRun, facts: Facts) -> Facts:
        """Add what a readable log has told in words that no event has."""
        if self._history.kind != _BASH or run.events is not None:
            return facts
        return replace(
            facts,
            kind="log",
            total_tokens=loose_json.integer(run.meta.get("total_tokens")),
            cost_usd=loose_json.number(run.meta.get("cost_usd")),
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
    return is_cumulative(run.codex_version, otherwise=is_new)
