"""`codex-tasks start` and `send`."""

from __future__ import annotations

from parsers.light import ExitStack, signal
from parsers.struct import replace
from runner import config
from runner.cli.command import enter_scope
from runner.cli.options import (
    CODEX_OPTIONS,
    SCOPE_OPTION,
    codex_of,
    limits_of,
    refuse,
)
from runner.cli.output import ReaderGoneError, note
from runner.errors import RunnerFault
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.launch import start_run
from runner.model import EXIT_SIGNAL_BASE
from runner.process.signals import blocked, name_of, recorded
from runner.prompt import read
from runner.service import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.lifecycle.launch import Started
    from runner.model import SessionId

_STALL = f"{config.DEFAULT_STALL_SECONDS:g}"
HELP = f"""\
Start a session in the background and print its thread id.

PROMPT                    the prompt; - reads standard input; put -- before a prompt
                          that starts with -
-t, --title TITLE         a name for the task
--working-dir DIR         where Codex works; created if missing (default: here)
--repo URL                clone this into --working-dir first
--repo-ref REF            with --repo: the branch, tag or commit
--config-file FILE        a config.toml; its directory becomes Codex's home
{CODEX_OPTIONS}--image FILE ...          an image for this prompt; repeatable
--output-schema FILE      Codex's --output-schema, for this prompt
--timeout SECONDS         end each run after this time (0: never)
--stall-timeout SECONDS   end it without progress (0: never) [default: {_STALL}]
--start-timeout SECONDS   end the run if Codex has not named its thread by then (0:
                          never) [default: 60]
{SCOPE_OPTION}
  id=$(codex-tasks start -s workspace-write "Fix the failing test")
  codex-tasks start -t docs --working-dir ~/src/app - < prompt.md
  codex-tasks start --repo https://example.org/app.git --working-dir app Review
"""
HELP_send = f"""\
Send one more prompt to a task that is STOPPED or DIED.

--queue             add the prompt to the task's queue, and return
--working-dir DIR   where Codex works (default: as before); required if that directory
                    is unknown
{SCOPE_OPTION}TASK                the task
PROMPT              the prompt; - reads standard input

  codex-tasks send 01a1f0 "Now the docs" && codex-tasks status --wait 01a1f0
  codex-tasks send --queue 01a1f0 - < next.md   (runs after the current prompt)
  codex-tasks send --queue 01a1f0 /quit         (finish these, accept no more)
"""
LONGEST_TITLE = 200


def main(found: Values, context: Context) -> int:
    """Start a session; print only its id on standard output."""
    settings = context.settings
    if found.scope:
        enter_scope(settings)
    ledger = context.ledger
    prompt = read.from_text(found.prompt, "PROMPT")
    limits = replace(
        limits_of(found, settings),
        announcement=config.seconds(found.start_timeout, "--start-timeout"),
    )
    title = " ".join((found.title or "").split()) or None
    refuse(
        (found.title is not None and not title, "--title is empty: give it a value"),
        (
            len(title or "") > LONGEST_TITLE,
            f"--title has {len(title or '')} characters: at most {LONGEST_TITLE}",
        ),
        (found.repo_ref is not None and not found.repo, "--repo-ref needs --repo"),
    )
    if found.repo is not None:
        from runner.service.clone import clone  # noqa: PLC0415 - only with --repo

        clone(found.repo, found.repo_ref, found.working_dir, settings)
    place = start.Place(
        working_dir=found.working_dir,
        config_file=found.config_file,
        images=tuple(found.image),
        output_schema=found.output_schema,
    )
    codex = codex_of(found)
    request = start.request(prompt, place, codex, limits, title, settings)
    with ExitStack() as until_named:
        with blocked(STOP_SIGNALS):
            started = start_run(lambda _: request, ledger, settings)
            came = until_named.enter_context(
                recorded(STOP_SIGNALS, lambda number: _end(number, started, context))
            )
        context.note_containment()
        try:
            session = start.named(started, ledger, settings, note)
        except start.NotStartedError as error:
            if not came:
                raise
            note(str(error))
            return EXIT_SIGNAL_BASE + came[0]
    if came:
        # Codex has named the thread while the run was being ended.
        note(f"task {session} is being ended")
        return EXIT_SIGNAL_BASE + came[0]
    if started.has_others:
        from runner.lifecycle.recover import sweep_beside  # noqa: PLC0415 - rare

        sweep_beside(ledger, settings)
    _tell(session, context)
    return 0


def _tell(session: SessionId, context: Context) -> None:
    """Print the id of the task; on standard error if standard output is closed."""
    try:
        context.output.lines([session])
    except (ReaderGoneError, RunnerFault, KeyboardInterrupt):
        note(f"task {session} was started")
        raise


def _end(number: int, started: Started, context: Context) -> None:
    """End a run whose caller is interrupted before Codex has named the thread."""
    from runner.service.stop import end_started  # noqa: PLC0415 - rare

    note(
        f"{name_of(number)}: ending run {started.run_id}",
        is_interrupting=number == signal.SIGINT,
    )
    end_started(started, number, context.ledger, context.settings)


def main_send(found: Values, context: Context) -> int:
    """Send a prompt; standard output stays empty."""
    from runner.service import send  # noqa: PLC0415 - not for a start

    wrong = "--working-dir does not work with --queue"
    refuse((found.queue and found.working_dir is not None, wrong))
    if found.scope:
        enter_scope(context.settings)
    text = read.from_text(found.prompt, "PROMPT")
    context.sweep()
    session = context.session(found.task)
    ledger, settings = context.ledger, context.settings
    # An interrupted caller first sees whether the prompt was delivered or queued.
    with blocked(STOP_SIGNALS):
        if found.queue:
            sent = send.queue(session, text, ledger, settings, context.note)
        else:
            place = found.working_dir
            sent = send.send(session, text, ledger, settings, context.note, place)
        if sent.run_id is not None:
            context.note(f"delivered by run {sent.run_id}")
            context.note_containment()
        elif sent.ahead is None:
            context.note("nothing runs or waits: /quit has nothing to end")
        elif found.queue and not sent.is_told:
            ahead = f", {sent.ahead} before it" if sent.ahead else ""
            context.note(f"queued{ahead}")
    return 0
