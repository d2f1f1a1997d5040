"""`codex-tasks start` and `send`."""

from __future__ import annotations

import signal
from argparse import Namespace
from contextlib import ExitStack

from parsers.struct import replace
from runner import config
from runner.cli.context import Context
from runner.cli.output import ReaderGoneError, note
from runner.cli.parser import CODEX_OPTIONS, codex_of, limits_of, refuse
from runner.errors import RunnerFault
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.launch import Started, start_run
from runner.model import EXIT_SIGNAL_BASE, SessionId
from runner.process.signals import blocked, recorded
from runner.prompt import read
from runner.service import send, start
from runner.service.stop import end_started

HELP = f"""\
Start a session in the background and print its thread id.

PROMPT                    what Codex is to do: - reads standard input; put -- before one
                          that starts with -
-t, --title TITLE         a name to find the task by
--working-dir DIR         where Codex works, made when missing (default: here)
--repo URL                clone this into --working-dir first
--repo-ref REF            with --repo: the branch, tag or commit
--config-file FILE        a config.toml; its directory becomes Codex's home
{CODEX_OPTIONS}--image FILE ...          an image for this prompt; repeatable
--output-schema FILE      Codex's --output-schema, this once
--timeout SECONDS         end each run after this time (0: never)
--stall-timeout SECONDS   end it without progress (0: never) [default: 3600]
--start-timeout SECONDS   give up when Codex has not named its thread by then (0: never)
                          [default: 60]

  id=$(codex-tasks start -s workspace-write "Fix the failing test")
  codex-tasks start -t docs --working-dir ~/src/app - < prompt.md
  codex-tasks start --repo https://example.org/app.git --working-dir app "Review it"
"""
HELP_send = """\
Send one more prompt to a task that is STOPPED or DIED.

--queue             add it to the task's queue: it is delivered when its turn comes
--working-dir DIR   where Codex works, if not where it did before; needed where that is
                    not known
TASK                the task
PROMPT              what Codex is to do; - reads standard input

  codex-tasks send 01a1f0 "Now the docs" && codex-tasks status --wait 01a1f0
  codex-tasks send --queue 01a1f0 - < next.md     (after what it does now)
  codex-tasks send --queue 01a1f0 /quit           (end it when it has done that)
"""
LONGEST_TITLE = 200


def main(found: Namespace, context: Context) -> int:
    """Start a session; only its id goes to standard output."""
    settings, ledger = context.settings, context.ledger
    prompt = read.from_text(found.prompt, "PROMPT")
    limits = replace(
        limits_of(found, settings),
        announcement=config.seconds(found.start_timeout, "--start-timeout"),
    )
    title = " ".join((found.title or "").split()) or None
    refuse(
        (
            len(title or "") > LONGEST_TITLE,
            f"--title has {len(title or '')} characters: {LONGEST_TITLE} at the most",
        ),
        (found.repo_ref is not None and not found.repo, "--repo-ref goes with --repo"),
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
            started = start_run(request, ledger, settings)
            came = until_named.enter_context(
                recorded(STOP_SIGNALS, lambda number: _end(number, started, context))
            )
        try:
            session = start.named(started, ledger, settings, note)
        except start.NotStartedError as error:
            if not came:
                raise
            note(str(error))
            return EXIT_SIGNAL_BASE + came[0]
    if came:
        # It has got its name while it was being ended.
        note(f"task {session} is being ended")
        return EXIT_SIGNAL_BASE + came[0]
    context.sweep()
    _tell(session, context)
    return 0


def _tell(session: SessionId, context: Context) -> None:
    """Print the id of the task; where no reader is left, say it to people at least."""
    try:
        context.output.lines([session])
    except (ReaderGoneError, RunnerFault, KeyboardInterrupt):
        note(f"task {session} was started")
        raise


def _end(number: int, started: Started, context: Context) -> None:
    """End a run whose caller goes away before it knows the name of the thread."""
    note(
        f"{signal.Signals(number).name}: ending run {started.run_id}",
        is_interrupting=number == signal.SIGINT,
    )
    end_started(started, number, context.ledger, context.settings)


def main_send(found: Namespace, context: Context) -> int:
    """Send a prompt; standard output stays empty."""
    wrong = "--working-dir goes with a prompt that is sent at once, not --queue"
    refuse((found.queue and found.working_dir is not None, wrong))
    text = read.from_text(found.prompt, "PROMPT")
    context.sweep()
    session = context.session(found.task)
    ledger, settings = context.ledger, context.settings
    # A caller that interrupts learns first what has become of the prompt.
    with blocked(STOP_SIGNALS):
        if found.queue:
            sent = send.queue(session, text, ledger, settings, context.note)
        else:
            place = found.working_dir
            sent = send.send(session, text, ledger, settings, context.note, place)
        if sent.run_id is not None:
            context.note(f"run {sent.run_id} works on it")
        elif found.queue:
            ahead = f", {sent.ahead} before it" if sent.ahead else ""
            context.note(f"queued{ahead}")
    return 0
