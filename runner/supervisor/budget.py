"""End a run whose prompt exceeds its budget, within one model call."""

from __future__ import annotations

from runner import clock
from runner.accounting import budgets
from runner.accounting.live import LiveUsage
from runner.accounting.rollouts import Rollouts
from runner.lifecycle.judge import verdict
from runner.model import Outcome
from runner.process.growth import GrowthSignal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parsers.exec_events.summary import EventSummary
    from parsers.paths import Path
    from runner.accounting.budgets import Spent
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.model import Run, Verdict
    from runner.supervisor.recorder import RunRecorder

# How often a sub-agent is searched that only its own file names, and files are looked
# at whose growth is not signalled.
_SEARCH_SECONDS, _LOOK_SECONDS = 30.0, 1.0


def refusal(run: Run, ledger: Ledger) -> Verdict | None:
    """Return the verdict on a run for which earlier attempts have left nothing."""
    spent = budgets.spent_before(run, ledger)
    why = spent.over(run.spec.terms, or_at=True)
    return verdict(Outcome.OVER_BUDGET, f"{why}, before this run") if why else None


class BudgetWatch:
    """Compare what a prompt has used with its budget, while Codex works.

    Codex writes the usage of a model call to its rollout before it runs the tools that
    the model has called, and before it tells of them (0.169). The growth of each
    rollout is a signal, so the run ends before its next call. An idle run is looked at
    twice a minute.
    """

    def __init__(self, recorder: RunRecorder, settings: Config) -> None:
        run, ledger = recorder.run, recorder.ledger
        self._recorder, self._terms = recorder, run.spec.terms
        self._is_strict = settings.is_strict
        self._earlier = budgets.spent_before(run, ledger)
        self._growth: list[GrowthSignal] = []
        self._live = LiveUsage(
            run,
            Rollouts(settings.codex_home, ledger.sessions.roots_of),
            settings,
            self._watch,
            is_priced=self._terms.max_usd is not None,
        )
        self._searched = float("-inf")
        self._is_missing, self._has_grown = False, True

    def exceeded(self, summary: EventSummary) -> str | None:
        """Say why the run has to end; None when it may go on."""
        thread, now = summary.thread_id, clock.monotonic()
        if thread is None:
            return None
        for growth in self._growth:
            growth.renew(has_grown=self._has_grown)
        before = self._live.bytes_read
        is_due = now - self._searched >= _SEARCH_SECONDS
        self._searched = now if is_due else self._searched
        agents = summary.agent_threads
        is_there = self._live.look(thread, agents, summary.facts, is_thorough=is_due)
        self._is_missing = not is_there
        self._has_grown = self._live.bytes_read > before
        spent: Spent = self._earlier + self._live.spent
        return spent.over(self._terms) or self._blind(summary)

    def next_look(self, summary: EventSummary) -> float | None:
        """Return when to call `exceeded` again, in monotonic seconds."""
        if summary.thread_id is None:
            return None
        now = clock.monotonic()
        if self._live.has_more:
            return now
        is_signalled = all(growth.is_on for growth in self._growth)
        if self._live.is_searching or not is_signalled:
            return now + _LOOK_SECONDS
        return self._searched + _SEARCH_SECONDS

    def _watch(self, path: Path) -> None:
        self._growth.append(GrowthSignal(path.parent, (path,), is_own=False))

    def _blind(self, summary: EventSummary) -> str | None:
        """Warn of what the budget does not see; return it when that ends the run."""
        why = self._live.reason
        if self._is_missing and summary.has_answered:
            why = "Codex writes no rollout of this thread"
        if why is None:
            return None
        option = "--max-tokens" if self._terms.max_usd is None else "--max-usd"
        told = f"{option} does not see all that the run uses: {why}"
        self._recorder.warn(told, budgets.BLIND)
        return told if self._is_strict else None
