"""`codex-tasks log` and `result`."""

from __future__ import annotations

from parsers.exec_events import events, task_log
from parsers.run_summary import doubts
from runner.cli.options import refuse, whole_number
from runner.cli.output import is_terminal, visible
from runner.cli.transcript import Transcript
from runner.errors import SessionBusyError
from runner.service import log
from runner.service.lookup import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.cli.context import Context
    from runner.cli.options import Values
    from runner.service.log import Piece
    from runner.service.lookup import Found, Task
    from runner.service.result import Result

HELP = """\
Show the transcript of a task, of all its runs.

which:
TASK            the task
--run RUN       only this run of the task
-n, --lines N   only the last N events, prompts and lines of standard error
--from-byte N   leave out the first N bytes of this output: a program that polls gives
                the number of bytes that it has read so far, and gets each byte once
when:
-f, --follow    follow the log until the task no longer runs and nothing waits
-F, --forever   follow the log until interrupted
output:
--time          in a pipe, too: when each entry came, as its supervisor has recorded it,
                and how long commands took
--json          the unchanged events, as JSON lines; Codex gives them no times

  codex-tasks log 01a1f0
  codex-tasks log -f -n 0 01a1f0
  codex-tasks log --json 01a1f0 | jq -c 'select(.error)'

0 shown, whatever the outcome of the task; 1 a file cannot be read; 2 wrong usage, or no
  such run; 3 no such task
"""
_ALL = 1 << 63  # bytes: more than any log has
HELP_result = """\
Print the last answer of a task in full.

--run RUN   the answer of this run
--strict    exit 1 for a success with sandbox_broken or empty_answer, too
            (CODEX_RUNNER_STRICT=1)
TASK        the task; for a run id, the answer of that run

  codex-tasks result 01a1f0
  answer=$(codex-tasks result 01a1f0) || echo "no answer"
  codex-tasks result 20261120-101201-512345-9f3a1c07

0 the run has succeeded; 1 it has not, or its answer cannot be read; 2 wrong usage, or
  no such run; 3 no such task; 75 it has not ended yet
"""


def main(found: Values, context: Context) -> int:
    """Show the log; with --follow, return when the task is idle."""
    polls = found.from_byte is not None
    refuse(
        (found.time and found.json, "--time: the events of --json are unchanged"),
        (found.time and polls, "--from-byte takes no --time: times may be added later"),
        (found.lines is not None and polls, "--from-byte takes no -n"),
    )
    begin = whole_number(found.from_byte, "--from-byte", "bytes")
    last = whole_number(found.lines, "-n", "lines")
    context.sweep()
    (task,) = context.found([found.task])
    wrong = "--from-byte: a task of an older tool has to be imported first"
    refuse((polls and task.older is not None, f"{wrong} (codex-tasks import)"))
    # An older tool has recorded no times.
    is_plain = found.json or polls or task.older is not None
    wish = log.Wish(
        run_id=found.run,
        last=last,
        follows=found.follow or found.forever,
        is_endless=found.forever,
        has_times=found.time or (is_terminal() and not is_plain),
        only_grows=polls,
    )
    is_coloured = context.is_coloured and not polls
    width = context.look.width if is_terminal() and not polls else None
    text = Transcript(is_coloured=is_coloured, has_times=wish.has_times, width=width)
    said: Callable[[Piece], str] = _json if found.json else text
    if polls:
        said = _without(said, _ALL if begin is None else begin)
    with context.waiting([task] if wish.follows else ()):
        for piece in _pieces(task, wish, context):
            match piece:
                case log.Note(text=note):
                    context.note(note)
                case log.Nothing():
                    context.output.check()
                case _:
                    context.output.text(said(piece))
    return 0


def _pieces(found: Found, wish: log.Wish, context: Context) -> Iterator[Piece]:
    if found.older is not None:
        from runner.service.older_log import read  # noqa: PLC0415 - for older tasks

        return read(found, found.older, wish)
    with context.ledger.snapshot():
        task = get(found.session.key, context.ledger)
    return log.read(task, wish, context.ledger, context.settings)


def _without(said: Callable[[Piece], str], count: int) -> Callable[[Piece], str]:
    """Leave out the first bytes of what is said."""
    left = count

    def rest(piece: Piece) -> str:
        nonlocal left
        data = said(piece).encode(errors="surrogateescape")
        begin, left = left, max(left - len(data), 0)
        return data[begin:].decode(errors="surrogateescape")

    return rest


def _json(piece: Piece) -> str:
    """Write a piece as lines of a task log, one JSON object each."""
    lines: list[bytes] = []
    match piece:
        case log.Prompt(text=text):
            lines = [task_log.prompt(text)]
        case log.Lines(lines=found, is_stderr=is_stderr):
            lines = [
                task_log.stderr(line)
                if is_stderr
                else task_log.event(line, events.decode(line))
                for line in found
            ]
        case _:
            pass
    return b"".join(lines).decode(errors="surrogateescape")


def _result_json(task: Task, result: Result) -> dict[str, object]:
    run, verdict = result.run, result.run.verdict
    return {
        "id": task.name,
        "short_id": task.session.short_id,
        "session_id": run.thread,
        "run_id": run.run_id,
        "outcome": run.outcome,
        "error": verdict.error if verdict else None,
        "error_class": verdict.error_class if verdict else None,
        "warnings": run.accounts.get("warnings") or {},
        "final_message": result.answer,
    }


def main_result(found: Values, context: Context) -> int:
    """Print an answer; an answer of an earlier run is never printed in its place."""
    from runner.service.result import result_of  # noqa: PLC0415 - for this one only

    context.sweep()
    (known,) = context.found([found.task])
    with known.ledger.snapshot():
        task = get(known.session.key, known.ledger)
        named = found.task.strip()
        is_run = named in known.ledger.runs.ids(task.session.key)
        wanted = found.run or (named if is_run else None)
        result = result_of(task, known.ledger, wanted)
    if not result.run.is_finished:
        fix = f"codex-tasks status --wait {task.name}"
        raise SessionBusyError(task.name, result.run.run_id, fix)
    # Control characters are escaped on a terminal, kept for a program.
    show = visible if is_terminal() else str
    shown = [] if result.answer is None else [show(result.answer)]
    context.tell(found, "result", _result_json(task, result), shown)
    run, verdict = result.run, result.run.verdict
    doubtful = doubts(run.accounts.get("warnings"))
    for doubt in doubtful:
        context.note(doubt)
    is_strict = found.strict or context.settings.is_strict
    is_good = run.has_succeeded and not (is_strict and doubtful)
    if run.has_succeeded and result.answer is not None:
        return 0 if is_good else 1
    said = f": {verdict.error}" if verdict and verdict.error else ""
    text = f"run {run.run_id} {verdict.outcome if verdict else ''}{said}"
    if result.answer is None:
        gone = "its answer cannot be read: the events of the run are gone"
        text += f"; {gone if run.has_answer else 'it has no answer'}"
        if result.earlier is not None:
            text += f" (run {result.earlier.run_id} has one: use --run)"
    context.note(text)
    has_lost_it = run.has_answer and result.answer is None
    return 0 if is_good and not has_lost_it else 1
