"""`codex-agent jobs`, `status` and `await-turn`."""

from __future__ import annotations

from runner import clock, config
from runner.cli import figures, format
from runner.cli.options import refuse, whole_number
from runner.cli.output import is_terminal, visible
from runner.errors import WaitTimeoutError
from runner.model import Outcome
from runner.service.jobs import CONTEXT_FULL, Jobs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.model import Run
    from runner.service.jobs import Ended, Json

HELP = """\
List jobs: first the running ones, then pending, failed and completed ones.

--limit N   at most N jobs (default: 20)
--all       all jobs
--json      the document of the older tool, with more keys

  codex-agent jobs
  codex-agent jobs --json | jq '.jobs[0].status'

0 listed, also when there are none; 1 the ledger cannot be used; 2 wrong usage
"""
HELP_status = """\
Show one job.

ID   the job

  codex-agent status 3f9a1c07

0 shown; 1 the ledger cannot be used; 2 wrong usage; 3 no such job
"""
HELP_await_turn = """\
Wait until a turn of each job has ended, and print its answer.

ID ...          the jobs
--any           wait until a turn of one of them has ended
--after TURN    wait for a later turn than this one
--timeout TIME  wait at most this long, then exit 124 (default, and 0: no limit)

  codex-agent await-turn 3f9a1c07
  codex-agent await-turn --any 3f9a1c07 91be40d2

0 the turn has succeeded; 1 it has not; 2 the context window is full; 3 no such job; 4
  the usage limit is reached; 64 wrong usage; 124 --timeout has passed
"""
_LIMIT, _PROMPT_WIDTH, _RULE = 20, 50, 80
_FULL, _LIMITED = 2, 4


def main(found: Values, context: Context) -> int:
    """List jobs as a table, or as the document of the older tool."""
    refuse((found.limit is not None and found.all, "give --limit or --all, not both"))
    most = whole_number(found.limit or f"{_LIMIT}", "--limit", "jobs", least=1)
    context.sweep()
    jobs = Jobs(context.ledger, context.settings)
    with context.ledger.snapshot():
        rows = jobs.all(None if found.all else most)
    context.notes(jobs.older.doubts() if jobs.older else [])
    if missing := jobs.only_in_table():
        told = format.count(missing, "job")
        fix = "codex-agent migrate --to json writes them"
        context.note(f"{told} only in the table of the ledger ({fix})")
    if found.json:
        document = {"generated_at": clock.iso(clock.now()), "jobs": rows}
        context.tell(found, "jobs", document)
    else:
        context.output.lines(_table(rows) if rows else ["No jobs"])
    return 0


def _table(rows: list[Json]) -> list[str]:
    heads = ("ID", "STATUS", "ELAPSED", "EFFORT", "PROMPT")
    lines = [_row(*heads), "-" * _RULE]
    for each in rows:
        prompt = format.line(each["label"] or each["prompt"])
        cut = f"{prompt[:_PROMPT_WIDTH]}..." if len(prompt) > _PROMPT_WIDTH else prompt
        spent = figures.long_span(each["elapsed_ms"] / 1000)
        lines.append(
            _row(each["id"], each["status"], spent, each["reasoning"] or "-", cut)
        )
    return lines


def _row(*cells: str) -> str:
    name, status, elapsed, effort, prompt = cells
    return f"{name:<8}  {status:<10}  {elapsed:<8}  {effort:<6}  {prompt}".rstrip()


def main_status(found: Values, context: Context) -> int:
    """Show one job, in the lines of the older tool and some more."""
    context.sweep()
    jobs, session = Jobs(context.ledger, context.settings).owner(found.id)
    job = jobs.store.load(session.short_id)
    end = jobs.end_of_turn(session)
    with jobs.ledger.snapshot():
        report = jobs.report(job, session.key) if job else {}
        runs = jobs.ledger.runs.of_session(session.key)
        turns = sum(run.is_finished for run in runs)
    context.notes(jobs.doubts())
    last = None if end is None else {"turn": end[0].turn, "at": end[0].at}
    kept = session.settings
    sandbox = kept.codex.sandbox if kept else None
    told = {**report, "sandbox": sandbox, "turns": turns, "last_turn": last}
    context.tell(found, "job", {"job": told}, _lines(told, end and end[0].message))
    return 0


def _lines(told: Json, message: str | None) -> list[str]:
    model = (
        f"{told['model'] or 'as configured'} ({told['reasoning'] or 'as configured'})"
    )
    last = told["last_turn"]
    lines = [
        ("Job", told["id"]),
        ("Status", told["status"]),
        ("Outcome", told["outcome"]),
        ("Model", model),
        ("Sandbox", told["sandbox"]),
        ("Created", told["created_at"]),
        ("Started", told["started_at"]),
        ("Completed", told["completed_at"]),
        ("Label", told["label"]),
        ("Thread", told["session_id"]),
        ("Error", told["error"]),
        ("Exit code", told["exit_code"]),
        ("Turn state", _TURN_STATES.get(told["turn_state"], told["turn_state"])),
        ("Turns completed", told["turns"]),
        ("Last turn", last and last["at"]),
        ("Last message", message),
    ]
    return [f"{k}: {format.line(v)}" for k, v in lines if v is not None]


_TURN_STATES = {"context_limit": "context_limit (context window exceeded)"}


def main_await_turn(found: Values, context: Context) -> int:
    """Print the answer of each turn that ends; return what the worst has come to."""
    refuse(
        (not found.id, "name the jobs to wait for"),
        (found.after and len(found.id) > 1, "--after takes one job"),
    )
    timeout = config.seconds(found.timeout or "0", "--timeout")
    context.sweep()
    jobs = Jobs(context.ledger, context.settings)
    sessions = jobs.find_all(found.id)
    if found.after:
        turns = context.ledger.runs.ids(sessions[0].key)
        wrong = f"--after {found.after}: the job has no such turn"
        refuse((found.after not in turns, wrong))
    how: dict[str, Any] = {"for_any": found.any, "after": found.after}
    rows: list[Json] = []
    codes = [0]
    tasks = context.found([each.short_id for each in sessions])
    with context.waiting(tasks, are_jobs=True):
        try:
            for ended in jobs.await_turns(sessions, timeout=timeout, **how):
                codes.append(_code_of(ended))
                rows.append({**_told(ended), "turn": ended.turn, "at": ended.at})
                if not found.json:
                    print_answer(ended, found, context, is_named=len(sessions) > 1)
        except WaitTimeoutError as error:
            context.keep(error)
            raise
        finally:
            if found.json:
                context.tell(found, "turns", {"turns": rows})
    return max(codes)


def _told(ended: Ended) -> Json:
    run = ended.run
    verdict = run.verdict if run else None
    return {
        "id": ended.session.short_id,
        "session_id": run.thread if run else ended.session.thread,
        "outcome": run.outcome if run else None,
        "error": verdict.error if verdict else ended.error,
        "exit_code": verdict.exit_code if verdict else None,
        "final_message": _answer_of(run),
    }


def _code_of(ended: Ended) -> int:
    run = ended.run
    if run is None:
        return _LIMITED if ended.is_limited else 1
    if run.verdict is not None and run.verdict.error_class == CONTEXT_FULL:
        return _FULL
    if run.outcome is Outcome.USAGE_LIMITED:
        return _LIMITED
    return 0 if run.has_succeeded else 1


def _answer_of(run: Run | None) -> str | None:
    from runner.exports.task_files import answer_of  # noqa: PLC0415 - at the end

    return answer_of(run, None) if run else None


def print_answer(
    ended: Ended, found: Values, context: Context, *, is_named: bool = False
) -> None:
    """Print the answer of a turn; on standard error, why it has not succeeded.

    With `is_named` the job is named there whatever the end was.
    """
    told, run = _told(ended), ended.run
    has_succeeded = run is not None and run.has_succeeded
    answer = told["final_message"] or ("Turn complete" if has_succeeded else None)
    show = visible if is_terminal() else str
    if is_named or not has_succeeded:
        error = f": {told['error']}" if told["error"] else ""
        what = told["outcome"] or "no turn"
        context.note(f"job {told['id']}: {what}{error}")
    told["run_id"] = run.run_id if run else None
    context.tell(found, "turn", told, [show(answer)] if answer else [])
