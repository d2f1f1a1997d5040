"""`codex-agent capture`, `output`, `watch`, `attach`, `diff` and `merge`."""

from __future__ import annotations

from collections import deque

from parsers.exec_events.transcript import Form
from parsers.struct import as_dict
from runner.cli.options import Values, refuse, whole_number
from runner.cli.output import is_terminal, visible
from runner.cli.transcript import Transcript
from runner.errors import RunnerError, SessionBusyError
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
Print how the job's pane is opened, or an idle job in Codex's own interface.

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
# How many times as many events are read when too few had a line.
_MORE = 8


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
    clean, kept, events = _cleaned(found), deque[str](maxlen=most), most or 0
    is_whole = False
    # Most events have a line or more, and some have none.
    while not is_whole and (most is None or len(kept) < most):
        kept.clear()
        wish = log.Wish(last=None if most is None else events)
        count = 0
        for text, lines in _pieces(found.id, wish, context):
            kept.extend(clean(text).split("\n")[:-1])
            count += lines
        is_whole, events = most is None or count < events, events * _MORE
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
    return (text for text, _ in _pieces(job, wish, context))


def _pieces(job: str, wish: log.Wish, context: Context) -> Iterator[tuple[str, int]]:
    """Yield the transcript of a job in pieces, each with its number of lines there.

    Nothing is left out. A terminal gets the codes of control characters.
    """
    context.sweep()
    jobs = Jobs(context.ledger, context.settings)
    session = jobs.find(job)
    if wish.follows:
        for _ in jobs.until_begun(session):
            yield "", 0
    with context.ledger.snapshot():
        if context.ledger.sessions.get(session.key).last_run is None:
            return
        task = get(session.key, context.ledger)
    form = Form(is_whole=True, show=visible if is_terminal() else str)
    said = Transcript(is_coloured=context.is_coloured, has_times=False, form=form)
    for piece in log.read(task, wish, context.ledger, context.settings):
        match piece:
            case log.Note(text=note):
                context.note(note)
            case log.Nothing():
                yield "", 0
            case log.Lines(lines=lines):
                yield said(piece), len(lines)
            case log.Prompt():
                yield said(piece), 1
            case _:
                yield said(piece), 0


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
    """Print the command line that opens the pane of a job, or Codex's own interface."""
    from runner.cli.agent import panes  # noqa: PLC0415 - for this alone
    from runner.service import attach  # noqa: PLC0415 - as above

    context.sweep()
    jobs = Jobs(context.ledger, context.settings)
    session = jobs.find(found.id)
    if not panes.is_there(context.settings):
        context.note(panes.MISSING)
    if pane := panes.of(session.short_id, context.settings):
        argv = ["tmux", "attach", "-t", pane]
        told = {"id": session.name, "short_id": session.short_id, "argv": argv}
        context.tell(found, "attach", told, [f'tmux attach -t "{pane}"'])
        return 0
    try:
        interface = attach.interface_of(session, context.ledger, context.settings)
    except SessionBusyError as error:
        error.hint = f"codex-agent watch {session.short_id} follows it"
        raise
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
