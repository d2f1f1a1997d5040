"""What a run has used so far: each of its rollouts is read once, as it grows."""

from __future__ import annotations

from parsers.accounting.cost import Charge, cost_of_run
from parsers.accounting.run import RunUsage
from parsers.accounting.tokens import quarter_of
from parsers.rollouts.read import RolloutReader
from parsers.rollouts.records import moment
from parsers.rollouts.thread import Rollout
from runner import clock
from runner.accounting import prices
from runner.accounting.budgets import Spent
from runner.accounting.rollouts import RunRollouts, Slice, made_for
from runner.accounting.run import LogContext, given_to, with_tiers
from runner.tail import Tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from parsers.accounting.prices import Rates
    from parsers.facts import Facts
    from parsers.paths import Path
    from runner.accounting.rollouts import Rollouts
    from runner.config import Config
    from runner.model import Run

# A thread without a rollout is then searched for at thorough looks only: every
# directory of the home is read.
_MOST_MISSES = 10


class LiveUsage:
    """Add up the model calls of a run and of its sub-agents.

    `spent` has what they cost only if it `is_priced`; `reason` says why calls have no
    price, or none of their service tier. `has_more` is true when the last look left
    something unread.

    Args:
        run: the run.
        rollouts: those of its Codex home.
        settings: for the prices.
        is_priced: whether to price the calls.
        found: is called with each rollout file that is found.
    """

    def __init__(
        self,
        run: Run,
        rollouts: Rollouts,
        settings: Config,
        found: Callable[[Path], object],
        *,
        is_priced: bool,
    ) -> None:
        self.spent = Spent()
        self.reason: str | None = None
        self._run, self._rollouts, self._settings = run, rollouts, settings
        self._found, self._is_priced = found, is_priced
        self._threads: dict[str, _Thread] = {}
        self._misses: dict[str, int] = {}
        self._turns: set[str] = set()

    @property
    def has_more(self) -> bool:
        return any(thread.has_more for thread in self._threads.values())

    @property
    def bytes_read(self) -> int:
        return sum(thread.place for thread in self._threads.values())

    @property
    def is_searching(self) -> bool:
        """Whether each look searches for a rollout that may come soon."""
        return any(times < _MOST_MISSES for times in self._misses.values())

    def look(
        self,
        thread_id: str,
        agents: Iterable[str],
        facts: Callable[[], Facts],
        *,
        is_thorough: bool,
    ) -> bool:
        """Read what has been written since the last look.

        Args:
            thread_id: the run's thread.
            agents: the sub-agents that its events name.
            facts: returns the facts of its events, for the model that answered.
            is_thorough: look for sub-agents that only their own files name, too.

        Returns:
            Whether the rollout of the thread is there.
        """
        wanted = [thread_id, *agents, *self._threads, *self._misses]
        if is_thorough:
            since = self._run.started_at
            wanted += self._rollouts.children_of(thread_id, since)
        parts: dict[str, Rollout] = {}
        for name in wanted:  # it grows
            if name in parts:
                continue
            if is_thorough or self._misses.get(name, 0) < _MOST_MISSES:
                self._find(name, is_own=name == thread_id)
            if (thread := self._threads.get(name)) is not None:
                part = parts[name] = thread.part()
                wanted += part.spawned_thread_ids
        own = parts.pop(thread_id, None)
        if own is not None:
            self._turns.update(turn.turn_id for turn in own.turns)
        others = tuple(made_for(self._turns, each) for each in parts.values())
        self._add(RunRollouts(thread=own, agents=others), facts)
        return own is not None

    def _find(self, name: str, *, is_own: bool) -> None:
        if name in self._threads:
            return
        if not (paths := self._rollouts.paths_of(name)):
            self._misses[name] = self._misses.get(name, 0) + 1
            return
        self._misses.pop(name, None)
        run = self._run
        reader = RolloutReader(
            from_offset=(run.rollout_offset or 0) if is_own else 0,
            since="" if is_own else moment(clock.iso(run.started_at)),
        )
        self._threads[name] = _Thread(paths, reader)
        for path in paths:
            self._found(path)

    def _add(self, found: RunRollouts, facts: Callable[[], Facts]) -> None:
        """Count the calls of the parts that were read, and price them."""
        every = [each for each in (found.thread, *found.agents) if each and each.calls]
        tokens = sum(each.usage.total_tokens for each in every)
        self.spent += Spent(tokens=tokens)
        if not (every and self._is_priced):
            return
        run, codex, seen = self._run, self._run.spec.codex, facts()
        context = LogContext(
            session_id=run.thread,
            share=Slice(since=run.started_at),
            previous=None,
            codex_version=run.codex_version,
            model=codex.model,
            given=given_to(codex),
            is_own=True,
        )
        billed, tier, _ = with_tiers(found, seen, context, self._settings)
        own, quarter = billed.thread or Rollout(), quarter_of(run.started_at)
        cost = cost_of_run(
            RunUsage(usage=own.usage, calls=own.calls, subagents=billed.agents),
            seen,
            self._rates,
            Charge(model=codex.model or "", tier=tier, quarter=quarter),
        )
        self.spent += Spent(usd=float(cost.usd or 0), unpriced=cost.unpriced)
        self.reason = cost.reason or self.reason

    def _rates(self, model: str, day: str, tier: str) -> Rates:
        found = prices.rates(self._settings.state_home, model, day, tier)
        self.reason = found.estimate or self.reason
        return found


class _Thread:
    """Read the rollout files of one thread, in order."""

    def __init__(self, paths: Sequence[Path], reader: RolloutReader) -> None:
        self._tails = [Tail(path) for path in paths]
        self._reader, self.place = reader, 0

    @property
    def has_more(self) -> bool:
        return any(tail.has_more for tail in self._tails)

    def part(self) -> Rollout:
        """Return what has been written since the last call."""
        for tail in self._tails:
            for line in tail.lines():
                self._reader.feed(line, self.place)
                self.place += len(line) + 1
            if tail.has_more:
                break
        return self._reader.next_part()
