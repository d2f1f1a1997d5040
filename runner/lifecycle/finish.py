"""Finish a run: judge it, count its tokens, compute its cost.

An error in the accounting never loses the verdict. The caller commits the result and
then writes the exports.
"""

from __future__ import annotations

import os

from parsers.light import suppress
from parsers.struct import EMPTY, Struct, replace
from runner import clock, files
from runner.accounting import budgets
from runner.accounting.rollouts import AFTERMATH
from runner.accounting.run import account_run, read_events, unknown
from runner.codex.binary import version_of
from runner.codex.stderr import error_class, error_message, read_tail
from runner.config import RUN_MARKER
from runner.errors import RunnerError
from runner.exports import run_exports
from runner.ledger.record import CHANGES, MOVED_TO
from runner.lifecycle.check import checked, end_left
from runner.lifecycle.judge import KILLED, Ending, Evidence, Exit, judge, not_started
from runner.lifecycle.liveness import place_of
from runner.model import Ended, Mode, Outcome, Prepared, Waiting
from runner.process import cgroup
from runner.process.table import by_environment, described, this_process
from runner.run_files import files_of, own_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parsers.facts import Facts
    from parsers.light import datetime
    from runner.accounting.run import RunAccounting
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.lifecycle.check import CheckEnd
    from runner.model import Run, Verdict


class RunEnd(Struct):
    """Hold what a supervisor observed of the end of a run.

    `seen` is the summary of the events, if a supervisor followed them from the
    beginning; `changes` is what its worktree has, `warnings` are its other errors.
    `check` is the end of the check, unless something else ended the run before.
    `is_late` is true when a reader finishes it.
    """

    at: datetime
    exit: Exit
    seen: Facts | None = None
    left_running: Sequence[dict[str, object]] = ()
    changes: Mapping[str, object] = EMPTY
    warnings: Sequence[str] = ()
    check: CheckEnd | None = None
    is_late: bool = False


def finish(
    run: Run,
    end: RunEnd,
    ledger: Ledger,
    settings: Config,
    verify: Callable[[RunEnd, str], RunEnd] | None = None,
) -> Run:
    """Finish a run whose Codex was started, and return it.

    `verify` runs its check in a directory, and returns what has become of its end.
    """
    if end.is_late and run.codex_version is None:
        run = replace(run, codex_version=version_of(run.spec.codex.bin, settings))
    counted = _count(run, end, ledger, settings)
    has_begun = run.has_begun or counted.facts.has_begun
    facts, stderr = counted.facts, read_tail(files_of(run.spec).stderr)
    evidence = Evidence(
        exit=end.exit,
        told=run_exports.verdict_in_summary(run) if end.is_late else None,
        ending=Ending(facts.ended or Ending.NONE),
        failure=facts.failure,
        error_class=counted.error_class,
        was_aborted=counted.was_aborted,
        last_words=error_message(stderr),
        refusal=None if has_begun else error_class(stderr),
        is_launched=run.launched_at is not None or facts.session_id is not None,
        is_restarted=end.is_late and place_of(run).is_gone,
        has_begun=has_begun,
        announced=facts.session_id,
        asked_for=run.spec.resume_session,
    )
    # A rollout names the version that opened the thread, not those that resumed it.
    is_named = run.spec.mode is Mode.NEW
    version = run.codex_version or (counted.codex_version if is_named else None)
    run = replace(
        run,
        thread=run.thread or counted.session_id,
        has_begun=has_begun,
        codex_version=version,
    )
    judged, told = judge(evidence), EMPTY
    is_asked = run.spec.terms.verify is not None and evidence.told is None
    if is_asked and judged.outcome is Outcome.SUCCEEDED:
        if verify is not None:
            end = verify(end, counted.cwd or run.worktree or run.spec.repo)
        if end.check is None and end.exit.cause is not None:
            # The turn was to be checked yet: without that it has no end of its own.
            evidence = replace(evidence, exit=end.exit, ending=Ending.NONE)
            judged = judge(evidence)
        else:
            judged, told = checked(run, judged, end.check, ledger)
    return _ended(run, judged, end, counted, told)


def finish_unstarted(run: Run, verdict: Verdict, warnings: Sequence[str] = ()) -> Run:
    """Finish a run whose Codex was never started, and return it."""
    end = RunEnd(at=clock.now(), exit=Exit(), warnings=warnings)
    return _ended(run, verdict, end, unknown("Codex was not started"))


def finish_abandoned(run: Run, ended: Exit, ledger: Ledger, settings: Config) -> Run:
    """Finish a run whose supervisor is gone, and return it.

    `ended` is the cause when the caller has ended the run in place of the supervisor.
    """
    end_left(run, settings)
    paths = files_of(run.spec)
    found = (files.status(path) for path in (paths.events, paths.stderr))
    # An empty file's time is that of the preparation.
    times = [status.st_mtime for status in found if status and status.st_size]
    at = clock.at(max(times)) if times else None
    if isinstance(run.state, Prepared | Waiting) and at is None:
        reason = "its supervisor ended before it started Codex"
        return finish_unstarted(run, not_started(1, reason, KILLED))
    at = max(at or clock.now(), run.started_at)
    # Its tree went with its supervisor: what is left is known by these two alone.
    left = set(by_environment(RUN_MARKER).get(run.run_id, ()))
    left.update(cgroup.by_run().get(run.run_id, ()))
    named = [*map(described, left - {this_process()})]
    end = RunEnd(at=at, exit=ended, left_running=named, is_late=True)
    known = ledger.sessions.worktree(run.session) if run.worktree else None
    if known is not None:
        from runner.lifecycle import worktree  # noqa: PLC0415 - git, rare

        place = own_directory(ledger.home, run.run_id)
        with suppress(RunnerError, OSError):
            changes = worktree.changes(known, place, settings.environment)
            end = replace(end, changes=changes)
    return finish(run, end, ledger, settings)


def _count(run: Run, end: RunEnd, ledger: Ledger, settings: Config) -> RunAccounting:
    until = end.at + AFTERMATH if end.is_late else None
    try:
        counted = account_run(run, ledger, settings, until, end.seen)
        return budgets.compared(run, counted, ledger)
    except Exception:  # noqa: BLE001 - a bug in counting must not cost the verdict
        import traceback  # noqa: PLC0415 - a rare end

        fault, seen = " ".join(traceback.format_exc(limit=-1).split()), end.seen
        # The step that failed in the accounting may fail here too.
        with suppress(Exception):
            seen = seen or read_events(files_of(run.spec).events)
        return replace(unknown("the accounting failed", seen), faults=(fault,))


def _ended(
    run: Run,
    verdict: Verdict,
    end: RunEnd,
    counted: RunAccounting,
    told: Mapping[str, object] = EMPTY,
) -> Run:
    found = {**counted.to_json(), **told}
    warnings = {**counted.warnings, **dict.fromkeys(end.warnings, 1)}
    found |= {"warnings": warnings, "left_running": list(end.left_running)}
    if end.changes:
        found[CHANGES] = dict(end.changes)
    place = counted.cwd or run.worktree
    if place and os.path.realpath(place) != os.path.realpath(run.spec.repo):
        found[MOVED_TO] = place
    return run.advanced(Ended(verdict=verdict, at=end.at, accounts=found))
