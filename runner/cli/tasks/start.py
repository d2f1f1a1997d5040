"""`codex-tasks start` and `send`."""

from __future__ import annotations

from parsers.light import ExitStack, signal
from parsers.paths import Path
from parsers.struct import replace
from runner import config, config_files
from runner.cli.command import enter_scope
from runner.cli.options import (
    CODEX_OPTIONS,
    SCOPE_OPTION,
    codex_of,
    limits_of,
    refuse,
    sandbox_of,
)
from runner.cli.output import ReaderGoneError, note
from runner.cli.terms import EVENTS, LIMITS, WORKTREE, terms_of
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
    from runner.config import Config
    from runner.lifecycle.launch import Started
    from runner.model import Limits

_STALL = f"{config.DEFAULT_STALL_SECONDS / 3600:g}h"
_QUEUE_OPTIONS = """\
--group NAME                use the slots of a group, too (codex-tasks slots)
--priority N                before prompts of other tasks: -100 to 100 (default: 0)
--not-before WHEN           2026-12-01T14:00 (local, or with an offset), or +2h
--expires WHEN              not at all, unless its turn begins by then
--after TASK ...            when the last prompt of this task has succeeded; repeatable
--after-any-end TASK ...    when it has ended
--retries N                 run it again if it fails for a reason that can pass
--recoveries N              continue it if Codex is lost in its turn
--no-park                   end it at a usage limit instead of waiting for the reset
--key KEY                   queue nothing if there is a prompt with this key already
--dedup KEY                 refuse it while another prompt with this key waits
"""
HELP = f"""\
Start a session in the background and print its thread id.

prompt:
PROMPT                    the prompt; - reads standard input; put -- before a prompt
                          that starts with -
--image FILE ...          an image for this prompt; repeatable
--output-schema FILE      Codex's --output-schema, for this prompt
where:
--working-dir DIR         where Codex works; created if missing (default: here)
--repo URL                clone this into --working-dir first
--repo-ref REF            with --repo: the branch, tag or commit
{WORKTREE}--config-file FILE        a config.toml; its directory becomes Codex's home
which:
-t, --title TITLE         a name for the task
{CODEX_OPTIONS}when:
--wait-for-slot           wait for a free slot, instead of exit 75
{SCOPE_OPTION}queue:
--queue                   add the prompt to the queue, and print the task's short id;
                          the options below need it
{_QUEUE_OPTIONS}limits:
--timeout TIME            end each run after this time (0: never)
--stall-timeout TIME      end it without progress (0: never; default: {_STALL})
--start-timeout TIME      end the run if Codex has not named its thread by then (0:
                          never; default: 60s)
{LIMITS}output:
--wait                    wait for the end, and print the answer instead of the id
{EVENTS}
  codex-tasks doctor                      would it work here? no cost
  codex-tasks start -s workspace-write "Fix a failing test"
  codex-tasks start -t docs --working-dir ~/app - < todo.md

0 started; 1 it could not be started or queued; 2 wrong usage; 3 no such task (--after);
  75 no slot is free; 124 Codex has not named its thread in time
with --wait: as codex-tasks result
"""
HELP_send = f"""\
Send one more prompt to an idle task; with --queue, to any.

prompt:
TASK                        the task
PROMPT                      the prompt; - reads standard input
--image FILE ...            an image; repeatable
--output-schema FILE        Codex's --output-schema
where:
--working-dir DIR           where Codex works (default: as before); required if that
                            directory is unknown
{WORKTREE}which:
--sandbox, -s MODE          for this prompt only: read-only, workspace-write or
                            danger-full-access
--model, -m MODEL           for this prompt only: Codex's --model
--config, -c KEY=VALUE ...  for this prompt only: a configuration value; repeatable
when:
{SCOPE_OPTION}queue:
--queue                     add the prompt to the task's queue, and return; the options
                            below need it
{_QUEUE_OPTIONS}limits:
--timeout TIME              end the run after this time (0: never)
--stall-timeout TIME        end it without progress (0: never)
{LIMITS}output:
--wait                      wait until the task is idle, and print its answer
{EVENTS}
  codex-tasks send 01a1f0 "Now the docs"
  codex-tasks send --queue 01a1f0 - < next.md
  codex-tasks send --queue 01a1f0 /quit      accept no more after these

0 delivered, with --queue: queued; 1 archived, or it could not be started or queued; 2
  wrong usage; 3 no such task; 75 the task runs, prompts or a /quit wait, or no slot is
  free
with --wait: as codex-tasks result
"""
LONGEST_TITLE = 200
_FOR_QUEUE = (
    *("group", "priority", "not_before", "expires", "after", "after_any_end"),
    *("key", "dedup", "retries", "recoveries", "no_park"),
)
_NEEDS_QUEUE = "only a queued prompt waits like this"


def main(found: Values, context: Context) -> int:
    """Start a session; print only its id on standard output."""
    settings = context.settings
    if found.scope:
        enter_scope(settings)
    ledger = context.ledger
    # Before anything is cloned.
    _limits(found, config_files.in_force(settings))
    way = 'codex-tasks start "Fix the failing test"'
    prompt = read.from_text(found.prompt, "PROMPT", way)
    title = " ".join((found.title or "").split()) or None
    refuse(
        (found.title is not None and not title, "--title is empty", "--title TITLE"),
        (
            len(title or "") > LONGEST_TITLE,
            f"--title has {len(title or '')} characters: at most {LONGEST_TITLE}",
        ),
        (found.repo_ref is not None and not found.repo, "--repo-ref needs --repo"),
        (
            _is_queueing(found) and not found.queue,
            _NEEDS_QUEUE,
            'codex-tasks start --queue … "PROMPT"',
        ),
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
    here = Path(found.working_dir or ".").absolute()
    own = config_files.in_force(settings, here)
    codex, limits = codex_of(found, own), _limits(found, own)
    terms = terms_of(found, own)
    request = start.request(prompt, place, codex, limits, title, settings)
    if terms.worktree is not None:
        from runner.service import worktrees  # noqa: PLC0415 - git

        worktrees.check(request.repo, terms.worktree, settings, context.note)
    if found.queue:
        from runner.ledger.settings import OwnSettings  # noqa: PLC0415 - as below
        from runner.service import queue  # noqa: PLC0415 - not for a run at once

        once = OwnSettings(once=request.codex.once, terms=terms)
        how = queue.options(vars(found), ledger, own, once)
        session = start.queued(request, ledger, settings, how, context.note)
        context.note_containment(is_queued=True)
        return _tell(session.short_id, session.key, None, found, context)
    request = replace(request, terms=terms, wait_for_slot=found.wait_for_slot)
    with ExitStack() as until_named:
        with blocked(STOP_SIGNALS):
            started = start_run(lambda _: request, ledger, settings)
            came = until_named.enter_context(
                recorded(STOP_SIGNALS, lambda number: _end(number, started, context))
            )
        context.note_containment()
        try:
            thread = start.named(started, ledger, settings, note)
        except start.NotStartedError as error:
            if not came:
                raise
            note(str(error))
            return EXIT_SIGNAL_BASE + came[0]
    if came:
        # Codex has named the thread while the run was being ended.
        note(f"task {thread} is being ended")
        return EXIT_SIGNAL_BASE + came[0]
    if started.has_others:
        from runner.lifecycle.recover import sweep_beside  # noqa: PLC0415 - rare

        sweep_beside(ledger, settings)
    return _tell(thread, None, started.run_id, found, context)


def _awaited(name: str, found: Values, context: Context) -> int:
    from runner.cli.tasks.wait import answer  # noqa: PLC0415 - only with --wait

    context.note(f"task {name}")
    return answer(name, found, context)


def _limits(found: Values, settings: Config) -> Limits:
    announcement = config.seconds(found.start_timeout or "60s", "--start-timeout")
    return replace(limits_of(found, settings), announcement=announcement)


def _tell(
    name: str, key: int | None, run_id: str | None, found: Values, context: Context
) -> int:
    """Print the id of the task; on standard error if standard output is closed.

    With --wait its answer is printed instead, when it has ended.
    """
    if found.wait:
        return _awaited(name, found, context)
    try:
        if found.json and run_id is not None:
            key = context.ledger.runs.find(run_id).session
        context.tell_sent(found, key or 0, run_id, [name])
    except (ReaderGoneError, RunnerFault, KeyboardInterrupt):
        note(f"task {name} was {'started' if run_id else 'queued'}")
        raise
    return 0


def _end(number: int, started: Started, context: Context) -> None:
    """End a run whose caller is interrupted before Codex has named the thread."""
    from runner.service.stop import end_started  # noqa: PLC0415 - rare

    note(
        f"{name_of(number)}: ending run {started.run_id}",
        is_interrupting=number == signal.SIGINT,
    )
    end_started(started, number, context.ledger, context.settings)


def _is_queueing(found: Values) -> bool:
    return any(getattr(found, name) for name in _FOR_QUEUE)


def main_send(found: Values, context: Context) -> int:
    """Send a prompt; standard output stays empty."""
    from runner.lifecycle.queue import directory_of  # noqa: PLC0415 - not for a start
    from runner.service import queue, send  # noqa: PLC0415 - as above

    way = 'codex-tasks send --queue … TASK "PROMPT"'
    refuse((_is_queueing(found) and not found.queue, _NEEDS_QUEUE, way))
    sandbox_of(found)
    config_files.in_force(context.settings)
    own = queue.own_settings(vars(found))
    if found.scope:
        enter_scope(context.settings)
    way = 'codex-tasks send TASK "Now the docs"'
    text = read.from_text(found.prompt, "PROMPT", way)
    context.sweep()
    session = context.session(found.task)
    ledger, settings = context.ledger, context.settings
    here = config_files.in_force(settings, directory_of(session, own))
    own = replace(own, terms=terms_of(found, here))
    if own.terms.worktree is not None:
        from runner.service import worktrees  # noqa: PLC0415 - git

        known, base = ledger.sessions.worktree(session.key), own.terms.worktree
        began = f"--base {base}: the task has its worktree already"
        refuse((known is not None and base != "", began))
        if known is None and (place := directory_of(session, own)) is not None:
            worktrees.check(str(place), base, settings, context.note)
    # An interrupted caller first sees whether the prompt was delivered or queued.
    with blocked(STOP_SIGNALS):
        if found.queue:
            how = queue.options(vars(found), ledger, here, own)
            sent = send.queue(session, text, ledger, settings, context.note, how)
        else:
            sent = send.send(session, text, ledger, settings, context.note, own)
        if sent.run_id is not None:
            context.note(f"delivered by run {sent.run_id}")
            context.note_containment()
        elif sent.ahead is None:
            context.note("nothing runs or waits: /quit has nothing to end")
        elif found.queue and not sent.is_told:
            ahead = f", {sent.ahead} before it" if sent.ahead else ""
            context.note(f"queued{ahead}")
            context.note_containment(is_queued=True)
        if not found.wait:
            context.tell_sent(found, session.key, sent.run_id)
    return _awaited(session.name, found, context) if found.wait else 0
