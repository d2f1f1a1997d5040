"""`run_codex_task`: one Codex run, launched, followed, judged and counted."""

from __future__ import annotations

import sys

from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import config, config_files, files
from runner.cli.command import enter, enter_scope, leave
from runner.cli.context import Context
from runner.cli.options import (
    CODEX_OPTIONS,
    SCOPE_OPTION,
    codex_of,
    limits_of,
    read_plain,
    refuse,
    taken,
)
from runner.cli.output import (
    Output,
    ReaderGoneError,
    Silence,
    checks_json,
    checks_shown,
    document,
    has_json,
    note,
    ring_bell,
)
from runner.cli.terms import EVENTS, LIMITS, WORKTREE, terms_of
from runner.errors import RunnerFault, UsageError
from runner.lifecycle.handoff import STOP_SIGNALS
from runner.lifecycle.launch import start_run
from runner.model import Report, Verbosity
from runner.process.signals import BackgroundInterrupt, blocked
from runner.service.request import RunWords, read_prompt, run_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.follow_run import RunFollower
    from runner.cli.options import Values
    from runner.cli.parser import Parser
    from runner.config import Config

_STALL = f"{config.DEFAULT_STALL_SECONDS / 3600:g}h"
_LEVELS = (Verbosity.LOW, Verbosity.NORMAL, Verbosity.HIGH)
# The bash runner's: its scripts always pass them, empty where there is no value.
_MAY_BE_EMPTY = (
    *("task", "task_file", "resume", "json_out", "notify_cmd", "event_stream"),
    *("cache_dir", "summarizer"),
)
_WITHOUT_EFFECT = {
    **dict.fromkeys(("no_cache", "cache_dir"), "no answer is ever cached"),
    **dict.fromkeys(("summarize", "summarizer"), "summary_line= is always shown"),
}
PROG = "run_codex_task"
_OPTIONS = f"""\
prompt:
--task TEXT              the prompt; - reads standard input
--task-file FILE         read the prompt from a file
--resume SESSION         resume a session: its UUID or name, or the id of one of its
                         runs
--continue-prompt TEXT   the prompt of --resume without a task (CODEX_CONTINUE_PROMPT;
                         default: {config.DEFAULT_CONTINUE_PROMPT!r})
where:
--repo DIR               where Codex works (required)
{WORKTREE}which:
{CODEX_OPTIONS}when:
--wait-for-session       wait while another run holds the session, instead of exit 75
--wait-for-slot          wait for a free slot (codex-tasks slots), instead of exit 75
--group NAME             use the slots of a group, too
--park                   at a usage limit, let the queue continue it after the reset
{SCOPE_OPTION}limits:
--timeout TIME           end the run after this time (CODEX_TIMEOUT_SECONDS; default:
                         none)
--stall-timeout TIME     end it after this time without progress (default:
                         {_STALL}; 0: never); a running command is
                         progress, a reconnect message is not
{LIMITS}output:
--log-dir DIR            directory for the run's files [default: ./runs]
--detach                 return as soon as Codex is launched
--strict                 exit 1 for a success with the warning sandbox_broken or
                         empty_answer (CODEX_RUNNER_STRICT=1)
--json-out FILE          write a copy of the summary
--event-stream FILE      append run_started and run_completed as JSON lines
--notify-cmd CMD         run at start and end with the event on its standard input,
                         30 s at most
{EVENTS}-v ...                   show the debug preamble; -vv: all of it
--verbosity {{{",".join(_LEVELS)},extreme}}  how much to show (CODEX_LOG_VERBOSITY)
other:
--doctor                 check the environment, show each problem with its fix
--json                   one JSON object at the end, also of an error (docs/schemas)
--no-cache
--cache-dir DIR
--summarize
--summarizer FILE
"""
_USAGE = f"""\
{PROG} --repo DIR (--task TEXT | --task-file FILE | --resume SESSION)
[options] [-- CODEX ARGUMENTS]"""
_EXAMPLES = """\
  run_codex_task --repo . --task x --doctor   would it work? no cost
  run_codex_task --repo . --task "Fix the failing test"
  run_codex_task --repo . --task-file task.md --detach
"""
_KEYS = """\
Standard output, in this order: codex_run_id=, log_file=, meta_file=,
summary_file_pending=; the run as it happens; codex_run_id=, codex_exit_code=,
elapsed_seconds=, codex_session_id=, outcome=, log_file=, meta_file=, summary_file=
(that of --json-out, if given), model_selected=, model_tier=, model_source=,
cache_status=, summary_line=, with -v started_at_utc=, ended_at_utc=, with -vv
codex_command=; summary_json=. Notes for people go to standard error.
"""
_CODES = """\
0 succeeded, also its check; 1 failed, or only its check has; 2 wrong usage; 75 the
  session is busy, or no slot is free; 124 timed out or stalled; 126 Codex cannot be
  run; 127 there is no such Codex; 130, 143 ended by INT or TERM; 143 stopped by
  codex-tasks stop, too; else Codex's own
with --detach: 0 launched; with --doctor: 0 all is well; 1 something has to be fixed
"""


class Arguments(Struct):
    """Hold a parsed command line."""

    words: RunWords
    detach: bool
    doctor: bool
    json: bool
    strict: bool
    scope: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    output = Output()
    return enter(
        lambda settings: _command(parse(words, settings), settings, output),
        output if has_json(words) else None,
    )


def _command(arguments: Arguments, settings: Config, output: Output) -> int:
    if arguments.doctor:
        return examined(arguments, settings)
    if arguments.scope:
        enter_scope(settings)
    is_strict = arguments.strict or settings.is_strict
    shown = Silence() if arguments.json else output
    context = Context(replace(settings, is_strict=is_strict), shown)
    follower = start(arguments.words, context)
    if arguments.detach:
        context.note_containment()
        code = follower.launched()
    else:
        code = _followed(follower, arguments, settings)
    if arguments.json:
        from runner.service.summarize import summarize_run  # noqa: PLC0415 - at the end

        log_dir = Path(arguments.words.log_dir)
        summary = summarize_run(follower.run_id, log_dir, settings)
        output.lines([document("run", {"runs": [summary]})])
    return code


def _followed(follower: RunFollower, arguments: Arguments, settings: Config) -> int:
    follower.show()
    code = follower.ended()
    if arguments.words.terms.is_on_desktop:
        from runner.notify import desktop  # noqa: PLC0415 - where it is asked for

        if not desktop.is_there(settings.environment):
            ring_bell()
    return code


def start(words: RunWords, context: Context) -> RunFollower:
    """Start a run, print its id and paths, and return its follower."""
    prompt, settings = read_prompt(words), context.settings
    if words.terms.worktree is not None and words.resume is None:
        from runner.service import worktrees  # noqa: PLC0415 - git

        worktrees.check(words.repo, words.terms.worktree, settings, note)
    interrupt = BackgroundInterrupt()
    # Blocked until there is a supervisor to forward them to: a signal that killed this
    # command now would leave the run unstopped.
    with blocked(STOP_SIGNALS):
        started = start_run(
            lambda ledger: run_request(words, prompt, ledger, settings), None, settings
        )
        log = None
        with suppress(OSError):
            # At once: its directory may be moved or removed during the run.
            log = files.reader(Path(started.log))
        # With standard output closed the run is started all the same.
        with suppress(ReaderGoneError):
            try:
                context.output.text(started.head)
            except RunnerFault:
                note(f"run {started.run_id} was started")
                raise
        # Loaded while Codex starts, after the id is printed.
        from runner.cli.follow_run import RunFollower  # noqa: PLC0415

        has_turns = words.terms.max_iterations > 1
        return RunFollower(started, log, context, interrupt, has_turns=has_turns)


def examined(arguments: Arguments, settings: Config) -> int:
    """Show what would make a run fail; return 1 when something has to be fixed."""
    from runner.service.doctor import examine  # noqa: PLC0415 - only when asked for

    checks = examine(arguments.words, settings)
    failures = sum(not check.is_good for check in checks)
    result = (
        f"FAIL (failures={failures} warnings=0)" if failures else "PASS (warnings=0)"
    )
    # The last line is that of the bash runner's doctor.
    lines = [*checks_shown(checks), f"Doctor result: {result}"]
    if arguments.json:
        lines = [document("checks", checks_json(checks))]
    Context(settings).output.lines(lines)
    return 1 if failures else 0


def parse(argv: Sequence[str], settings: Config) -> Arguments:
    """Parse a command line.

    Raises:
        UsageError: it is wrong.
        SystemExit: help, the version or a completion script was printed.
    """
    # Arguments after `--` go to Codex.
    end = argv.index("--") if "--" in argv else len(argv)
    words = argv[:end]
    found = read_plain(_OPTIONS, words, {})
    if found is None:
        found = build_parser().values(words)
    for name in _MAY_BE_EMPTY:
        is_needed = name == "task" and not (found.task_file or found.resume)
        if vars(found)[name] == "" and not is_needed:
            vars(found)[name] = None
    for name, why in _WITHOUT_EFFECT.items():
        if vars(found)[name]:
            note(f"--{name.replace('_', '-')} has no effect: {why}")
    refuse(
        (
            found.repo is None and not found.doctor,
            "--repo DIR is required: the directory that Codex works in",
            "name a directory: --repo DIR",
        ),
    )
    repo, extra = found.repo, tuple(argv[end + 1 :])
    if (moved := taken(extra, "-C", "--cd")) is not None:
        repo, extra = moved  # Codex accepts it only once
        wrong = f"-C {repo}: not a directory"
        refuse((not files.is_directory(Path(repo)), wrong))
    repo = "." if repo is None else repo
    warn = note if found.doctor else None
    own = config_files.in_force(settings, Path(repo).absolute(), warn)
    return Arguments(
        words=RunWords(
            repo=repo,
            task=found.task,
            task_file=found.task_file,
            resume=found.resume,
            continue_prompt=found.continue_prompt or own.continue_prompt,
            log_dir=found.log_dir,
            codex=codex_of(found, own, extra),
            limits=limits_of(found, own),
            report=Report(
                json_out=found.json_out,
                event_stream=found.event_stream,
                notify_command=found.notify_cmd,
            ),
            terms=terms_of(found, own),
            wait_for_session=found.wait_for_session,
            wait_for_slot=found.wait_for_slot,
            park=found.park,
            group=found.group or "",
            verbosity=_verbosity(found, settings),
        ),
        detach=found.detach,
        doctor=found.doctor,
        json=found.json,
        strict=found.strict,
        scope=found.scope,
    )


def build_parser() -> Parser:
    """Build the parser; its help is the reference of the flags."""
    from runner.cli.help import GENERAL, About  # noqa: PLC0415 - for help and mistakes
    from runner.cli.parser import Parser  # noqa: PLC0415 - as above

    about = About(
        usage=_USAGE,
        summary="Run Codex on a task: record the run, launch, follow and judge it.",
        options=_OPTIONS + GENERAL,
        examples=_EXAMPLES,
        notes=(_KEYS,),
        codes=_CODES,
    )
    parser = Parser(_OPTIONS, _MAY_BE_EMPTY, about, prog=PROG)
    parser.add_general()
    return parser


def _verbosity(found: Values, settings: Config) -> Verbosity:
    if found.v and found.verbosity is None:
        return _LEVELS[min(found.v, len(_LEVELS) - 1)]
    name = found.verbosity or settings.verbosity
    try:
        return Verbosity.HIGH if name == "extreme" else Verbosity(name)
    except ValueError as error:
        message = (
            f"CODEX_LOG_VERBOSITY: {settings.verbosity!r} is none of"
            f" {', '.join(_LEVELS)}, extreme"
        )
        raise UsageError(message) from error


if __name__ == "__main__":
    leave(main())
