"""`codex-agent capture`, `output`, `watch`, `attach`, `diff` and `merge`."""

from __future__ import annotations

from collections import deque

from parsers.struct import as_dict
from runner.cli.options import Values, refuse, whole_number
from runner.cli.transcript import Transcript
from runner.errors import RunnerError
from runner.service import log
from runner.service.jobs import Jobs
from runner.service.lookup import get

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.cli.context import Context

HELP_capture = """\
Print the last lines of what a job said and ran.

ID       the job
N ...    as many lines (default: 50)
--clean  without control sequences and the signs of Codex's own screen
--strip-ansi

  codex-agent capture 3f9a1c07
  codex-agent capture 3f9a1c07 200 --clean

0 shown; 1 there is no output yet; 2 wrong usage; 3 no such job
"""
HELP = """\
Print all that a job said and ran.

ID       the job
--clean  without control sequences and the signs of Codex's own screen
--strip-ansi

  codex-agent output 3f9a1c07
  codex-agent output --clean 3f9a1c07 > job.txt

0 shown; 1 there is no output yet; 2 wrong usage; 3 no such job
"""
HELP_watch = """\
Follow what a job says and runs, until it has ended.

ID   the job

  codex-agent watch 3f9a1c07

0 the job has ended; 2 wrong usage; 3 no such job
"""
HELP_attach = """\
Print how the job is opened in Codex's own interface, when it is idle.

ID   the job

  codex-agent attach 3f9a1c07

0 printed; 2 wrong usage; 3 no such job; 75 it runs, or texts wait
"""
HELP_diff = """\
Show what a job has changed, committed or not.

ID      the job
--stat  only the files and the number of lines

  codex-agent diff --stat 3f9a1c07

0 shown; 1 it is not known what it has changed; 2 wrong usage; 3 no such job
"""
HELP_merge = """\
Commit what a job has left in its worktree, and merge it into your branch.

ID   the job

  codex-agent diff --stat 3f9a1c07
  codex-agent merge 3f9a1c07

0 merged, or there was nothing to merge; 1 a conflict, or changes of yours in the way; 2
  wrong usage; 3 no such job; 75 it runs, or texts wait
"""
_LINES = 50


def main(found: Values, context: Context) -> int:
    """Print the whole transcript as it is read; nothing is kept in memory."""
    is_empty = True
    clean = _cleaned(found)
    for text in _texts(found.id, log.Wish(), context):
        is_empty = is_empty and not text
        if not found.json:
            context.output.text(clean(text))
    _refuse_empty(found, is_empty=is_empty)
    if found.json:
        told = "".join(map(clean, _texts(found.id, log.Wish(), context)))
        context.tell(found, "output", {"id": found.id, "text": told})
    return 0


def main_capture(found: Values, context: Context) -> int:
    """Print the last lines of the transcript."""
    refuse((len(found.n) > 1, "give one N"))
    most = whole_number(next(iter(found.n), f"{_LINES}"), "N", "lines", least=1)
    clean, kept = _cleaned(found), deque[str](maxlen=most)
    # Each event has a line or more.
    for text in _texts(found.id, log.Wish(last=most), context):
        kept.extend(clean(text).splitlines())
    _refuse_empty(found, is_empty=not kept)
    told = {"id": found.id, "text": "".join(f"{line}\n" for line in kept)}
    context.tell(found, "output", told, kept)
    return 0


def main_watch(found: Values, context: Context) -> int:
    """Follow the transcript to the end of the job."""
    refuse(
        (found.json, "watch has no object: codex-tasks log -f --json has the events")
    )
    tasks = context.found([Jobs(context.ledger, context.settings).find(found.id).name])
    with context.waiting(tasks, are_jobs=True):
        for text in _texts(found.id, log.Wish(follows=True), context):
            if text:
                context.output.text(text)
            else:
                context.output.check()
    return 0


def _texts(job: str, wish: log.Wish, context: Context) -> Iterator[str]:
    """Yield the transcript of a job in pieces; "" when there is nothing new."""
    context.sweep()
    session = Jobs(context.ledger, context.settings).find(job)
    with context.ledger.snapshot():
        if context.ledger.sessions.get(session.key).last_run is None:
            return
        task = get(session.key, context.ledger)
    said = Transcript(is_coloured=context.is_coloured, has_times=False)
    for piece in log.read(task, wish, context.ledger, context.settings):
        match piece:
            case log.Note(text=note):
                context.note(note)
            case log.Nothing():
                yield ""
            case _:
                yield said(piece)


def _cleaned(found: Values) -> Callable[[str], str]:
    if not (found.clean or found.strip_ansi):
        return str
    from parsers.text_logs.screen import clean  # noqa: PLC0415 - where it is asked for

    return clean


def _refuse_empty(found: Values, *, is_empty: bool) -> None:
    if is_empty:
        message = f"job {found.id} has no output yet"
        raise RunnerError(message, f"codex-agent status {found.id}")


def main_attach(found: Values, context: Context) -> int:
    """Print the command line that opens a job in Codex's own interface."""
    from runner.service import attach  # noqa: PLC0415 - for this alone

    context.sweep()
    session = Jobs(context.ledger, context.settings).find(found.id)
    interface = attach.interface_of(session, context.ledger, context.settings)
    told = {"id": session.name, "short_id": session.short_id, **as_dict(interface)}
    context.tell(found, "attach", told, [f"codex-tasks attach {session.short_id}"])
    return 0


def main_diff(found: Values, context: Context) -> int:
    """Show the changes of a job, as `codex-tasks diff` does."""
    from runner.cli.tasks import changes  # noqa: PLC0415 - for this alone

    return changes.main_diff(_task_of(found, context), context)


def main_merge(found: Values, context: Context) -> int:
    """Merge a job, as `codex-tasks merge` does."""
    from runner.cli.tasks import changes  # noqa: PLC0415 - for this alone

    return changes.main_merge(_task_of(found, context), context)


def _task_of(found: Values, context: Context) -> Values:
    """Return the same command line for the task that the job is."""
    session, asked = Jobs(context.ledger, context.settings).find(found.id), Values()
    vars(asked).update({**vars(found), "task": session.short_id})
    return asked
