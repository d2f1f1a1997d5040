"""The actions, usage and cost of a run, from its files and Codex's rollouts."""

from __future__ import annotations

from functools import partial

from parsers import run_summary
from parsers.accounting.cost import Charge, RunCost, billed, cost_of_run
from parsers.accounting.prices import tier_named
from parsers.accounting.run import RunUsage, usage_of_run
from parsers.accounting.tokens import Usage, quarter_of, read_usage
from parsers.exec_events.summary import EventSummary
from parsers.facts import Facts
from parsers.light import UTC, datetime
from parsers.rollouts.thread import UNKNOWN_RECORD, Rollout
from parsers.struct import Struct, as_dict, replace
from parsers.text import release
from runner import clock, config, files
from runner.accounting import prices
from runner.accounting.rollouts import Rollouts, RunRollouts, Slice, read_rollouts
from runner.codex import home
from runner.ledger import record
from runner.model import Mode, SessionId
from runner.run_files import files_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parsers.paths import Path
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.model import CodexOptions, Run

# Older versions printed the usage of one process, later ones that of the thread. The
# day decides when the version is unknown.
_FIRST_CUMULATIVE = (0, 80)
# Older versions ignore `service_tier`, and send none.
_FIRST_WITH_TIERS = (0, 110)
_FIRST_CUMULATIVE_AT = datetime(2026, 1, 1, tzinfo=UTC)


class RunAccounting(Struct):
    """Hold the accounting of a run: facts, rollouts, usage, cost.

    `usage` and `cost` are blocks of the summary, `charges` what the cost is made of.
    `is_cumulative` is False when Codex printed the usage of one process, which is no
    baseline for the next run. `budget` is what is used of the prompt's.
    """

    facts: Facts
    usage: Mapping[str, object]
    cost: Mapping[str, object]
    charges: Sequence[Charge] = ()
    rollouts: RunRollouts = RunRollouts()
    faults: tuple[str, ...] = ()
    is_cumulative: bool = True
    budget: Mapping[str, object] | None = None

    @property
    def warnings(self) -> dict[str, int]:
        told = self._thread.warnings.items()
        drift = {name: n for name, n in told if name.startswith(UNKNOWN_RECORD)}
        doubts = {"sandbox_broken": self._refused, "empty_answer": self._is_empty}
        found = {name: int(count) for name, count in doubts.items() if count}
        known = {**drift, **self.facts.warnings, **found}
        return {**known, **dict.fromkeys(self.faults, 1)}

    @property
    def _refused(self) -> int:
        """Count the commands if all of them failed because the sandbox cannot start."""
        facts, hidden = self.facts, self._thread.commands_refused
        if facts.commands_run is None or facts.commands_run > facts.commands_refused:
            return 0
        return max(facts.commands_refused, hidden)

    @property
    def _is_empty(self) -> bool:
        """Return whether the turn has completed without a message and any action.

        A command that the events lack has led to another model call.
        """
        facts = self.facts
        if facts.ended != "completed" or facts.has_acted or self._thread.calls[1:]:
            return False
        return not (facts.final_message or "").strip()

    @property
    def session_id(self) -> SessionId | None:
        found = self.facts.session_id
        return SessionId(found) if found else None

    @property
    def _thread(self) -> Rollout:
        return self.rollouts.thread or Rollout()

    @property
    def model(self) -> str | None:
        """Return the model that the run ended on."""
        calls, last = self._thread.calls, self._thread.last_turn
        return calls[-1].model if calls else last.model or self.facts.model

    @property
    def cwd(self) -> str | None:
        """Return where Codex worked in the last turn."""
        return self._thread.last_turn.cwd

    @property
    def error_class(self) -> str | None:
        """Return Codex's error class of the last turn."""
        return self._thread.last_turn.error_class

    @property
    def was_aborted(self) -> bool:
        return self._thread.last_turn.state == "aborted"

    @property
    def codex_version(self) -> str | None:
        return self._thread.cli_version

    def to_json(self) -> dict[str, object]:
        """Build the part of the record."""
        answer = self.facts.final_message
        # Codex's answer and actions, for the summary.
        whole = run_summary.build(self.facts, None, None, None, None)
        shown = ("final_message", "commands", "files_changed", "errors")
        is_cut = len(answer or "") > run_summary.PREVIEW_LENGTH
        found: dict[str, object] = {
            "model": self.model,
            "token_usage": self.usage,
            "cost": self.cost,
            "charges": [charge.to_json() for charge in self.charges],
            "has_answer": answer is not None,
            "answer_checksum": record.checksum(answer or ""),
            "said": {**{name: whole[name] for name in shown}, "is_cut": is_cut},
        }
        if self.facts.usage is not None and self.is_cumulative:
            found["thread_usage"] = self.facts.usage.to_json()
        if self.budget is not None:
            found["budget"] = self.budget
        if self._thread.last_turn.context_window is not None:
            found["context_window"] = self._thread.last_turn.context_window
        if self._thread.rate_limits is not None:
            found["rate_limits"] = as_dict(self._thread.rate_limits)
        return found


class LogContext(Struct):
    """Hold the context of a log that is not in the log itself.

    `session_id` is the thread whose rollout is searched, `share` the run's part of it.
    `previous` is the earlier usage of the thread, needed when there are only events;
    `codex_version` decides whether these are cumulative. `model` is the model of calls
    that do not name theirs. `is_over` is False while the run may go on; `doubt` says
    why `previous` may be too small. `given` are the words of the command line, `is_own`
    is True when `config.toml` is of the run's time.
    """

    session_id: str | None
    share: Slice
    previous: Usage | None
    codex_version: str | None
    model: str | None
    given: Sequence[str] = ()
    is_own: bool = False
    is_over: bool = True
    doubt: str | None = None


def read_events(path: Path) -> Facts:
    """Read a run's event file.

    Raises:
        OSError: it cannot be read.
    """
    summary = EventSummary()
    with files.reader(path) as stream:
        summary.read(stream)
    return summary.facts()


def account_run(
    run: Run,
    ledger: Ledger,
    settings: Config,
    until: datetime | None = None,
    seen: Facts | None = None,
    *,
    is_over: bool = True,
) -> RunAccounting:
    """Compute the actions, usage and cost of a launched run.

    Args:
        run: the run.
        ledger: for the other runs of its session.
        settings: for Codex's home and the prices.
        until: when the run ended, if it is judged later: another program may have
            resumed its session since.
        seen: the summary of the events, if a supervisor followed them from the
            beginning; otherwise the events are read.
        is_over: False for the figures so far of a living run.
    """
    settings = config.at_codex_home(settings, run.spec.codex_home)
    codex = run.spec.codex
    try:
        facts = seen or read_events(files_of(run.spec).events)
    except OSError as error:
        facts = Facts(kind="empty", warnings={f"events: {error.strerror}": 1})
    # A power cut may have emptied the events of a turn that the ledger knows.
    facts = replace(facts, has_begun=facts.has_begun or run.has_begun)
    is_asked_for = facts.session_id in {None, run.spec.resume_session}
    resumed_at = run.rollout_offset if is_asked_for else None
    ends = [at for at in (ledger.runs.next_launch(run), until) if at is not None]
    share = Slice(
        offset=resumed_at if run.spec.mode is Mode.RESUME else 0,
        since=run.started_at,
        until=min(ends, default=None),
    )
    previous = Usage() if run.spec.resume_session is None else None
    if previous is None and is_asked_for and (earlier := ledger.runs.previous(run)):
        # An aborted run has no figure; its usage is part of the thread's next figure.
        previous = read_usage(earlier.accounts.get("thread_usage"))
    context = LogContext(
        session_id=facts.session_id,
        share=share,
        previous=previous,
        codex_version=run.codex_version,
        model=codex.model,
        is_over=is_over,
        given=given_to(codex),
        is_own=True,
    )
    # Of the rollouts of other runs, which may be many, none has to be opened.
    index = Rollouts(settings.codex_home, ledger.sessions.roots_of)
    return account_log(facts, context, settings, index)


def given_to(codex: CodexOptions) -> tuple[str, ...]:
    """Return the words of Codex's command line that may set its configuration."""
    return (*codex.extra, *codex.once, *codex.overrides)


def unknown(reason: str, facts: Facts | None = None) -> RunAccounting:
    """Return accounts without figures, with the reason."""
    return RunAccounting(
        facts=facts or Facts(kind="empty"),
        usage=RunUsage(reason=reason).to_json(),
        cost=RunCost(reason=reason).to_json(),
    )


def account_log(
    facts: Facts,
    context: LogContext,
    settings: Config,
    index: Rollouts | RunRollouts | None = None,
) -> RunAccounting:
    """Count and price the run of a log, with its rollouts if there are any.

    Args:
        facts: the facts of the log.
        context: the context of the log.
        settings: for Codex's home and the prices.
        index: where to search for rollouts, by default in Codex's home; or those of
            the run, if they were read.
    """
    found = (
        index
        if isinstance(index, RunRollouts)
        else read_rollouts(
            index or settings.codex_home,
            context.session_id,
            context.share,
            facts.agent_threads,
        )
    )
    rollouts, tier, notes = with_tiers(found, facts, context, settings)
    version, at = release(context.codex_version), context.share.since
    began_at = at or home.made_at(context.session_id or "")
    is_cumulative = (
        began_at is None or began_at >= _FIRST_CUMULATIVE_AT
        if version is None
        else version >= _FIRST_CUMULATIVE
    )
    thread, agents = rollouts.thread, rollouts.agents
    if not context.is_over:
        thread = thread and thread.so_far()
        agents = tuple(agent.so_far() for agent in agents)
    counted = usage_of_run(
        thread,
        agents,
        facts,
        context.previous,
        is_cumulative=is_cumulative,
        doubt=context.doubt if is_cumulative or version is None else None,
    )
    model = facts.model or context.model
    cost = cost_of_run(
        counted,
        facts,
        partial(prices.rates, settings.state_home),
        Charge(model=model or "", tier=tier, quarter=quarter_of(at or clock.now())),
        notes,
    )
    trouble = prices.trouble(settings.state_home)
    return RunAccounting(
        facts=facts,
        rollouts=rollouts,
        usage=counted.to_json(),
        cost=cost.to_json(),
        charges=cost.charges,
        faults=(trouble,) if trouble else (),
        is_cumulative=is_cumulative,
    )


def with_tiers(
    found: RunRollouts, facts: Facts, context: LogContext, settings: Config
) -> tuple[RunRollouts, str, list[str]]:
    """Name the model that answered each call, and its service tier.

    Also return the tier of calls that do not name theirs, and why prices are estimates.
    """
    threads = [each for each in (found.thread, *found.agents) if each]
    tiers = {call.tier for each in threads for call in each.calls}
    tier, notes = "", list[str]()
    version = release(context.codex_version)
    has_tiers = version is None or version >= _FIRST_WITH_TIERS
    if has_tiers and (not tiers or None in tiers):
        named, is_given = home.tier_of(context.given, settings.codex_home)
        tier = tier_named(named)
        if tier and not (is_given or context.is_own):
            notes.append(f"the service tier {tier} is that of config.toml now")
    if not tiers and context.share.since is None:
        notes.append("the day is not known: today's prices")
    thread = found.thread and billed(found.thread, tier, facts)
    agents = tuple(billed(each, tier) for each in found.agents)
    return replace(found, thread=thread, agents=agents), tier, notes
