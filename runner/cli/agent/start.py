"""`codex-agent start` and `send`."""

from __future__ import annotations

from parsers.paths import Path
from parsers.struct import replace
from runner import config_files, files
from runner.cli import terms
from runner.cli.agent import EFFORTS
from runner.cli.options import codex_of, limits_of, refuse
from runner.cli.output import write_error
from runner.errors import NoSuchTaskError, RunnerError
from runner.ledger.jobs import Job
from runner.ledger.settings import OwnSettings
from runner.prompt import read
from runner.prompt.assembly import assemble
from runner.prompt.attached import Attached
from runner.service import queue, start
from runner.service.job_states import COMPLETED, FAILED
from runner.service.jobs import Jobs, NoSuchJobError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.config import Config
    from runner.ledger.sessions import Session
    from runner.model import Run
    from runner.prompt.assembly import Assembled
    from runner.service.jobs import Ended

_USUAL = "as configured"
_SANDBOX, _CONFIRM_SECONDS = "workspace-write", 60.0
# The options of the queue that a job has not.
_NO_OPTIONS = {
    **dict.fromkeys(("group", "priority", "not_before", "expires", "key", "dedup")),
    **dict.fromkeys(("retries", "recoveries")),
    "after_any_end": (),
    "no_park": False,
}
HELP = f"""\
Start a job, and print its id.

prompt:
PROMPT ...               the prompt; several words are joined; - reads standard input
-f, --file GLOB ...      attach these files of the directory; !GLOB excludes; repeatable
--map                    attach the codebase map (codex-agent map)
--no-constraints         add no constraint blocks: the prompt as it is
--dry-run                only print what would be sent
where:
-d, --dir DIR            where Codex works (default: here)
{terms.WORKTREE}which:
-r, --reasoning LEVEL    {", ".join(EFFORTS)} (default: as Codex is configured)
-m, --model MODEL        Codex's --model (default: as Codex is configured)
-s, --sandbox MODE       read-only, workspace-write or danger-full-access (default:
                         {_SANDBOX})
--codex-bin BIN          the binary [default: codex]
-c, --config KEY=VALUE ...  a configuration value; repeatable
--label TEXT             a name for the job
--parent-session ID      the session that this job works for
--fast
when:
--after ID ...           when the last text of this job has succeeded; repeatable
--confirm                wait until Codex has named its thread
-w, --wait               wait for the end of the turn, and print the answer
limits:
--timeout TIME           end each turn after this time (0: never)
--stall-timeout TIME     end it without progress (0: never; default: 1h)
{terms.LIMITS}output:
--notify-on-complete CMD  run this program then (CODEX_AGENT_JOB_ID, _STATUS, _ERROR);
                         implies --wait
{terms.EVENTS}
  codex-agent start --dry-run --map "Fix the flaky test"
  codex-agent start -r high "Fix the flaky test"
  codex-agent start -f 'src/**' -s read-only "Review this"

0 started, or the job waits; 1 Codex could not be launched; 2 wrong usage, or too many
  files; 3 no such job (--after)
with --wait: that of the run
"""
HELP_send = """\
Send a text to a job: at once, or after what it does now.

ID        the job
TEXT ...  the text; several words are joined; - reads standard input

  codex-agent send 3f9a1c07 "Now the docs"
  codex-agent send 3f9a1c07 - < findings.md

0 sent, or queued; 1 it could not be sent; 2 wrong usage; 3 no such job
"""


def main(found: Values, context: Context) -> int:
    """Start a job, and print the lines of the older tool."""
    base, made = asked(found, context)
    if found.dry_run:
        _preview(made, found, context)
        return 0
    session, run_id = begun(found, made, base, context)
    if found.confirm:
        confirm(session, context)
    if found.wait or found.notify_on_complete:
        if not found.json:
            context.note(f"job {session.short_id}")
        return waited(session, found, context)
    model, effort = (each or _USUAL for each in (found.model, found.reasoning))
    lines = [
        f"Job started: {session.short_id}",
        f"Model: {model} ({effort})",
        f"Working dir: {base}",
        "",
        "Commands:",
        f"  Capture output:  codex-agent capture {session.short_id}",
        f'  Send message:    codex-agent send {session.short_id} "message"',
        f"  Wait for it:     codex-agent await-turn {session.short_id}",
    ]
    context.tell_sent(found, session.key, run_id, lines)
    return 0


def asked(found: Values, context: Context) -> tuple[Path, Assembled]:
    """Return where Codex works, and the whole prompt.

    Raises:
        UsageError: an option is wrong, or there is no such directory.
    """
    refuse((found.fast, "--fast: that model does not exist; name one with --model"))
    base = Path(found.dir or ".").absolute()
    refuse((not files.is_directory(base), f"--dir {base}: no such directory"))
    effort = found.reasoning
    wrong = f"--reasoning {effort!r} is none of {', '.join(EFFORTS)}"
    refuse((effort is not None and effort not in EFFORTS, wrong))
    notified(found)
    return base, _assembled(found, base, context)


def begun(
    found: Values, made: Assembled, base: Path, context: Context
) -> tuple[Session, str | None]:
    """Start a job; return its session, and its run, None if it waits.

    Raises:
        UsageError: an option is wrong.
        RunnerError: it could not be started or launched.
    """
    ledger, settings = context.ledger, context.settings
    own = config_files.in_force(settings, base)
    vars(found)["skip_git_repo_check"] = True
    if found.reasoning is not None:
        given = f'model_reasoning_effort="{found.reasoning}"'
        vars(found)["config"] = [*found.config, given]
    codex = codex_of(found, replace(own, sandbox=own.sandbox or _SANDBOX))
    limits = replace(limits_of(found, own), announcement=_CONFIRM_SECONDS)
    own_terms = terms.terms_of(found, own)
    place = start.Place(
        working_dir=str(base), config_file=None, images=(), output_schema=None
    )
    text = made.text.encode()
    request = start.request(text, place, codex, limits, found.label, settings)
    if own_terms.worktree is not None:
        from runner.service import worktrees  # noqa: PLC0415 - git

        worktrees.check(request.repo, own_terms.worktree, settings, context.note)
    wanted = {**_NO_OPTIONS, "after": found.after}
    once = OwnSettings(once=request.codex.once, terms=own_terms)
    try:
        how = queue.options(wanted, ledger, own, once)
    except NoSuchTaskError as error:
        raise NoSuchJobError(", ".join(found.after)) from error
    job = Job(
        id="",
        parent_session=found.parent_session,
        label=found.label,
        effort=found.reasoning,
        files=tuple(name for name, _ in made.attached.texts),
        map_name=made.map_name,
        constraints=made.constraints,
        shown_by=shown_by(settings),
    )
    session, run_id = Jobs(ledger, settings).start(request, job, how, context.note)
    if job.shown_by == "tmux":
        from runner.cli.agent import panes  # noqa: PLC0415 - where it is asked for

        context.notes(panes.show(session.short_id, settings))
    context.note_containment(is_queued=run_id is None)
    return session, run_id


def shown_by(settings: Config) -> str:
    """Read where the log of a job is shown.

    Raises:
        UsageError: CODEX_AGENT_EXEC_RUNNER has another value.
    """
    kind = settings.environment.get("CODEX_AGENT_EXEC_RUNNER") or "spawn"
    wrong = f"CODEX_AGENT_EXEC_RUNNER: {kind!r} is none of spawn, tmux"
    refuse((kind not in {"spawn", "tmux"}, wrong))
    return kind


def _assembled(found: Values, base: Path, context: Context) -> Assembled:
    """Assemble the prompt, and say what is not in it."""
    refuse((not found.prompt, "name the prompt"))
    text = read.from_text(" ".join(found.prompt), "PROMPT").decode()
    attached, code_map = Attached(), None
    if found.file:
        from runner.prompt.attached import attach  # noqa: PLC0415 - with files alone

        attached = attach(base, found.file)
        context.notes(f"not attached: {each}" for each in attached.skipped)
    if found.map:
        from runner.prompt import code_map as maps  # noqa: PLC0415 - with a map alone

        known = maps.find(base, context.settings.environment)
        if known is None:
            context.note("no codebase map was found (codex-agent map writes one)")
        else:
            code_map = known.name, known.text
            if known.age:
                context.note(f"the codebase map is old: {known.age} (codex-agent map)")
    return assemble(text, attached, code_map, is_constrained=not found.no_constraints)


def _preview(made: Assembled, found: Values, context: Context) -> None:
    """Print a prompt as it would be sent; on standard error, what is in it."""
    told = {
        "prompt": made.text,
        "tokens": made.tokens,
        "files": [name for name, _ in made.attached.texts],
        "map": made.map_name,
        "constraints": [*made.constraints],
    }
    if found.json:
        context.tell(found, "preview", told)
    else:
        context.output.text(made.text)
    parts = [f"{len(made.attached.texts)} files", made.map_name or "no map"]
    parts.append(f"{len(made.constraints)} constraint blocks")
    context.note(f"would send about {made.tokens:,} tokens: {', '.join(parts)}")


def confirm(session: Session, context: Context) -> None:
    """Wait until Codex has named its thread; a job that waits is only noted.

    Raises:
        NotStartedError, WaitTimeoutError: it has ended, or it takes too long.
    """
    from runner import clock  # noqa: PLC0415 - with --confirm alone
    from runner.errors import WaitTimeoutError  # noqa: PLC0415 - as above
    from runner.lifecycle.recover import reconcile_run  # noqa: PLC0415 - as above

    ledger, deadline = context.ledger, clock.monotonic() + _CONFIRM_SECONDS
    while (run_id := ledger.sessions.get(session.key).last_run) is not None:
        run = reconcile_run(ledger.runs.find(run_id), ledger, context.settings)
        if run.thread is not None:
            return
        if run.is_finished:
            context.note(f"job {session.short_id} was not started")
            raise start.NotStartedError(run)
        if clock.monotonic() > deadline:
            message = f"Codex has not named its thread within {_CONFIRM_SECONDS:g} s"
            raise WaitTimeoutError(message, f"codex-agent status {session.short_id}")
        clock.sleep(0.02)
    context.note(f"job {session.short_id} waits: --confirm has nothing to wait for")


def waited(session: Session, found: Values, context: Context) -> int:
    """Wait for the end of the turn, print its answer, and run the program."""
    from runner.cli.agent.jobs import print_answer  # noqa: PLC0415 - at the end

    jobs = Jobs(context.ledger, context.settings)
    tasks = context.found([session.short_id])
    with context.waiting(tasks, are_jobs=True):
        (ended,) = jobs.await_turns([session])
    print_answer(ended, found, context)
    if command := notified(found):
        run = ended.run
        status = COMPLETED if run and run.has_succeeded else FAILED
        tell_program(command, ended, status, context)
    return exit_code_of(ended.run)


def exit_code_of(run: Run | None) -> int:
    """Return the exit code of a finished run; a failed check makes it 1."""
    verdict = run.verdict if run else None
    code = verdict.exit_code if verdict else 1
    return code or int(run is None or not run.has_succeeded)


def notified(found: Values) -> list[str]:
    """Return the words of --notify-on-complete.

    Raises:
        UsageError: they need a shell.
    """
    if not found.notify_on_complete:
        return []
    from runner.notify import command_of  # noqa: PLC0415 - with a program alone

    return command_of(found.notify_on_complete, "--notify-on-complete")


def tell_program(
    command: Sequence[str], ended: Ended, status: str, context: Context
) -> None:
    """Run the program of --notify-on-complete; note how it has ended."""
    from runner.process.start import run_captured  # noqa: PLC0415 - as above

    run = ended.run
    error = run.verdict.error if run and run.verdict else ended.error
    told = {
        "CODEX_AGENT_JOB_ID": ended.session.short_id,
        "CODEX_AGENT_STATUS": status,
        "CODEX_AGENT_ERROR": (error or "").replace("\0", ""),
    }
    environment = {**context.settings.environment, **told}
    here, limit = str(Path().absolute()), context.settings.hook_seconds
    try:
        done = run_captured(command, environment, here, limit)
    except RunnerError as wrong:
        # The exit code is that of the run.
        context.note(f"--notify-on-complete: {wrong}")
        return
    write_error((done.output + done.errors).decode(errors="replace"))
    if done.exit_code:
        context.note(f"--notify-on-complete exited with {done.exit_code}")


def main_send(found: Values, context: Context) -> int:
    """Send a text to a job; it is queued where something runs or waits."""
    from runner.ledger.prompts import PromptOptions  # noqa: PLC0415 - for this alone
    from runner.lifecycle.handoff import STOP_SIGNALS  # noqa: PLC0415 - as above
    from runner.process.signals import blocked  # noqa: PLC0415 - as above
    from runner.service import send  # noqa: PLC0415 - as above

    refuse((not found.text, "name the text"))
    text = read.from_text(" ".join(found.text), "TEXT")
    context.sweep()
    jobs = Jobs(context.ledger, context.settings)
    session = jobs.find(found.id)
    jobs.store.clear_signal(session.short_id)
    ledger, settings = context.ledger, context.settings
    with blocked(STOP_SIGNALS):
        sent = send.queue(
            session, text, ledger, settings, context.note, PromptOptions()
        )
        shown = " ".join(text.decode().split())
        what = "Sent" if sent.run_id else "Queued"
        lines = [f"{what} to {session.short_id}: {shown}"]
        if sent.run_id is None and sent.ahead is None:
            lines = [f"Job {session.short_id} is idle: {shown} has nothing to end."]
        context.tell_sent(found, session.key, sent.run_id, lines)
    job = jobs.store.load(session.short_id)
    if job is not None and job.shown_by == "tmux":
        from runner.cli.agent import panes  # noqa: PLC0415 - where it is asked for

        context.notes(panes.show(session.short_id, settings))
    return 0
