"""`codex-agent kill`, `delete` and `clean`."""

from __future__ import annotations

from runner import clock
from runner.cli import format
from runner.cli.options import refuse
from runner.errors import RunnerError
from runner.service import archive
from runner.service.jobs import COMPLETED, FAILED, Jobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.ledger.sessions import Session

HELP = """\
End jobs with every process that they have started; their waiting texts are dropped.

ID ...   the jobs

  codex-agent kill 3f9a1c07

0 ended, or it had ended already; 1 a process could not be ended; 2 wrong usage; 3 no
  such job
"""
HELP_delete = """\
Remove jobs with their files; what they cost stays in the ledger.

ID ...   the jobs
--force  also work in their worktrees that is not merged

  codex-agent delete 3f9a1c07

0 removed; 1 work that is not merged, or a file that cannot be removed; 2 wrong usage; 3
  no such job; 75 it runs
"""
HELP_clean = """\
Remove the jobs that ended more than 7 days ago.

  codex-agent clean

0 removed; 1 a file cannot be removed; 2 wrong usage
"""
_OLD_SECONDS = 7 * 86_400.0


def main(found: Values, context: Context) -> int:
    """End jobs, all at once; one that has ended is unchanged, and that is said."""
    from runner.service.stop import stop_sessions  # noqa: PLC0415 - for this alone

    refuse((not found.id, "name the jobs to end"))
    jobs, sessions, code = _found(found, context, with_older=True)
    older = [each for by, each in sessions if by is not jobs]
    keys = [each.key for by, each in sessions if by is jobs]
    rows, lines = list[dict[str, object]](), list[str]()
    stopped = stop_sessions(keys, context.ledger, context.settings) if keys else []
    # Behind them are those that were started inside of their runs.
    names = [each.short_id for by, each in sessions if by is jobs]
    names += [each.name for each in stopped[len(names) :]]
    if jobs.older and jobs.older.older_jobs:
        kill = jobs.older.older_jobs.kill
        stopped += [kill(each, context.ledger) for each in older]
        names += [each.short_id for each in older]
    for name, each in zip(names, stopped, strict=True):
        context.notes(each.notes)
        if each.error is not None:
            code = max(code, context.fault(name, each.error))
            continue
        has_ended = each.has_ended or each.canceled > 0
        rows.append({"id": name, "stopped": each.has_ended, "canceled": each.canceled})
        said = f"Killed job: {name}" if has_ended else f"Job {name} had ended already."
        lines.append(said)
        _close_pane(name, jobs, context)
    context.tell(found, "stop", {"tasks": rows}, lines)
    return code


def _found(
    found: Values, context: Context, *, with_older: bool = False
) -> tuple[Jobs, list[tuple[Jobs, Session]], int]:
    """Find the jobs that are named, each with those it is one of.

    Go on after one that does not exist, or that the older tool runs.
    """
    context.sweep()
    jobs, code = Jobs(context.ledger, context.settings), 0
    sessions: dict[tuple[bool, int], tuple[Jobs, Session]] = {}
    for name in dict.fromkeys(found.id):
        try:
            by, session = (
                (jobs, jobs.find(name)) if not with_older else jobs.owner(name)
            )
        except RunnerError as error:
            code = max(code, context.fault(name, error))
        else:
            sessions[by is jobs, session.key] = by, session
    return jobs, [*sessions.values()], code


def _close_pane(job_id: str, jobs: Jobs, context: Context) -> None:
    job = jobs.store.load(job_id)
    if job is not None and job.shown_by == "tmux":
        from runner.cli.agent import panes  # noqa: PLC0415 - where there is one

        panes.close(job_id, context.settings)


def main_delete(found: Values, context: Context) -> int:
    """Remove jobs, one line each; go on after one that fails."""
    refuse((not found.id, "name the jobs to remove"))
    jobs, sessions, code = _found(found, context)
    mine = [each for _, each in sessions]
    return max(code, _remove(mine, jobs, found, context))


def main_clean(found: Values, context: Context) -> int:
    """Remove the jobs that ended long ago."""
    context.sweep()
    jobs, before = Jobs(context.ledger, context.settings), clock.now()
    before = clock.after(before, -_OLD_SECONDS)
    with context.ledger.snapshot():
        old = [
            context.ledger.sessions.named(each["id"])[0]
            for each in jobs.all(None)
            if each["status"] in {COMPLETED, FAILED}
            and clock.parse_iso(each["completed_at"] or each["created_at"]) < before
        ]
    vars(found)["force"] = False
    return _remove(old, jobs, found, context)


def _remove(
    sessions: Sequence[Session], jobs: Jobs, found: Values, context: Context
) -> int:
    from runner.service import worktrees  # noqa: PLC0415 - for these alone

    rows, lines, code = list[dict[str, object]](), list[str](), 0
    for session in sessions:
        name, words = session.short_id, (session, context.ledger, context.settings)
        try:
            with worktrees.removing(*words, with_unmerged=found.force) as left:
                removed = archive.remove(session, context.ledger)
            _close_pane(name, jobs, context)
            jobs.store.remove(name)
        except RunnerError as error:
            code = max(code, context.fault(name, error))
            continue
        faults = [*removed.left, *left]
        context.notes(f"not removed: {fault}" for fault in faults)
        code = max(code, bool(faults))
        size = format.size(removed.size)
        lines.append(f"Deleted job: {name} ({size})")
        places = [*removed.elsewhere]
        rows.append(
            {"id": name, "size": removed.size, "left": faults, "elsewhere": places}
        )
    context.tell(found, "removed", {"tasks": rows}, lines or ["No jobs to remove."])
    return code
