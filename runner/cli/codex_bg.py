"""`codex-bg`: start a job of `codex-agent`, and report it in lines for a shell.

A line begins with `CODEX_AGENT_`, and is written as soon as it is true. The last one is
CODEX_AGENT_DONE.
"""

from __future__ import annotations

import sys

from runner.cli import codex_agent
from runner.cli.agent import start
from runner.cli.command import enter, leave
from runner.cli.context import Context
from runner.cli.options import Values, read_plain, refuse
from runner.errors import RunnerError
from runner.service.jobs import COMPLETED, FAILED, Ended, Jobs, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.parser import Parser
    from runner.config import Config
    from runner.ledger.sessions import Session

PROG = "codex-bg"
_LINES = 200
_OPTIONS = f"""\
-n, --notify-on-complete CMD  run this program at the end, without a shell
                          (CODEX_AGENT_JOB_ID, _STATUS, _ERROR in its environment)
-i, --poll-interval SEC   without effect: nothing is polled (for scripts of the older
                          codex-bg)
-o, --print-output        print the last {_LINES} lines of the job before the last line
-t, --watch-turns         print a line at the end of each turn
"""
_USAGE = f"{PROG} [options] -- [codex-agent] [start] PROMPT [options of start]"
_EXAMPLES = """\
  codex-bg -- codex-agent start "Fix the failing test"
  codex-bg -t -o -- start --worktree "Fix the failing test"
"""
_LINES_TOLD = """\
Standard output, each line at once: CODEX_AGENT_JOB_ID=ID; with -t at the end of each
turn CODEX_AGENT_TURN_COMPLETE=ID; with -o the output; at the end CODEX_AGENT_DONE=ID
status=STATUS, which is completed or failed. A job with more texts in its queue goes on;
a text that is held or parked does not count.
"""
_CODES = """\
0 completed; 1 the job failed, or Codex could not be launched; 2 wrong usage, or too
  many files; 3 no such job (--after); 124 timed out or stalled; else that of its
  last turn
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    return enter(lambda settings: _command(*parse(words), settings))


def parse(words: Sequence[str]) -> tuple[Values, Values]:
    """Parse a command line: the options, and the command line of the job.

    Raises:
        UsageError: it is wrong.
        SystemExit: help, the version or a completion script was printed.
    """
    end = words.index("--") if "--" in words else len(words)
    found = read_plain(_OPTIONS, words[:end], {})
    if found is None:
        found = build_parser().values(words[:end])
    rest = [*words[end + 1 :]]
    if rest and rest[0].rpartition("/")[2] == codex_agent.PROG:
        del rest[0]
    if rest and rest[0] == "start":
        del rest[0]
    usage = f'{PROG} -- {codex_agent.PROG} start "PROMPT"'
    refuse((not rest, "name the job behind --", usage))
    command = codex_agent.load("start")
    asked = read_plain(command.options, rest, {})
    if asked is None:
        asked = codex_agent.parser_of("start", command).values(rest)
    twice = "--notify-on-complete is given twice"
    refuse(
        (asked.dry_run, "--dry-run starts no job", "codex-agent start --dry-run"),
        (asked.json, f"--json: {PROG} prints lines", "codex-agent start --json"),
        (found.notify_on_complete and asked.notify_on_complete, twice),
    )
    vars(asked)["notify_on_complete"] = (
        found.notify_on_complete or asked.notify_on_complete
    )
    return found, asked


def build_parser() -> Parser:
    """Build the parser; its help is the reference of the flags."""
    from runner.cli.help import GENERAL, About  # noqa: PLC0415 - for help and mistakes
    from runner.cli.parser import Parser  # noqa: PLC0415 - as above

    about = About(
        usage=_USAGE,
        summary="Start a job of codex-agent, and report it in lines for a shell.",
        options=f"output:\n{_OPTIONS}{GENERAL}",
        examples=_EXAMPLES,
        notes=(_LINES_TOLD,),
        codes=_CODES,
    )
    parser = Parser(_OPTIONS, about=about, prog=PROG)
    parser.add_general()
    return parser


def _command(found: Values, asked: Values, settings: Config) -> int:
    """Start the job, and write its lines until it is over."""
    context = Context(settings)
    base, made = start.asked(asked, context)
    session, _ = start.begun(asked, made, base, context)
    name, say = session.short_id, context.output.lines
    say([f"CODEX_AGENT_JOB_ID={name}"])
    with context.waiting(context.found([name]), are_jobs=True):
        if asked.confirm:
            start.confirm(session, context)
        ended, status = _followed(session, context, is_told=found.watch_turns)
    if found.print_output:
        _show_output(name, context)
    say([f"CODEX_AGENT_DONE={name} status={status}"])
    if command := start.notified(asked):
        start.tell_program(command, ended, status, context)
    return start.exit_code_of(ended.run) or int(status != COMPLETED)


def _followed(
    session: Session, context: Context, *, is_told: bool
) -> tuple[Ended, str]:
    """Follow a job to its end; return that, and its status in one word."""
    from runner.service.turns import turns_of  # noqa: PLC0415 - while Codex starts

    ledger, settings = context.ledger, context.settings
    jobs, line = Jobs(ledger, settings), f"CODEX_AGENT_TURN_COMPLETE={session.short_id}"
    for run in turns_of(session, jobs, ledger, settings):
        if run is None:
            context.output.check()
        elif is_told:
            context.output.lines([line])
    is_good = status_of(ledger.sessions.line(session.key)) == COMPLETED
    ended = jobs.ended(session) or Ended(session=session)
    return ended, COMPLETED if is_good else FAILED


def _show_output(job: str, context: Context) -> None:
    """Print the last lines of a job, as `codex-agent capture` does."""
    from runner.cli.agent.output import main_capture  # noqa: PLC0415 - with -o alone

    found = Values()
    options = {"clean": False, "strip_ansi": False, "json": False}
    vars(found).update({"id": job, "n": [f"{_LINES}"], **options})
    try:
        main_capture(found, context)
    except RunnerError as error:
        context.note(error.message)


if __name__ == "__main__":
    leave(main())
