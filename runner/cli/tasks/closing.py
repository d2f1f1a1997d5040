"""`codex-tasks stop`, `archive`, `unarchive`, `rm` and `prune`."""

from __future__ import annotations

from parsers.light import suppress
from parsers.struct import replace
from runner import clock
from runner.cli import format
from runner.cli.options import refuse
from runner.errors import RunnerError, UnmergedError, UsageError
from runner.model import TaskState
from runner.service import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from parsers.light import datetime
    from runner.cli.context import Context
    from runner.cli.options import Values

    Row = dict[str, object]

HELP = """\
Stop tasks with all processes that they have started, including other tasks.

-a, --all   every task that runs or has waiting prompts
--gone      the machine or container of the task no longer exists
TASK ...    the tasks

  codex-tasks stop 01a1f0
  codex-tasks stop -a

0 stopped, or nothing ran; 1 a task cannot be stopped from here; 2 wrong usage; 3 no
  such task
"""
HELP_archive = """\
Archive idle tasks under today's date.

-a, --all   every idle task; those that run or have waiting prompts are skipped
TASK ...    the tasks

  codex-tasks archive 01a1f0
  codex-tasks archive -a

0 archived; 1 the files of a task cannot be moved; 2 wrong usage; 3 no such task; 75 a
  task runs, or prompts wait
"""
HELP_unarchive = """\
Move tasks out of the archive.

TASK ...   the tasks

  codex-tasks unarchive 01a1f0

0 done; 1 a task cannot be moved; 2 wrong usage; 3 no such task; 75 a run of it has not
  ended
"""
HELP_rm = """\
Remove idle tasks with their files; their usage and cost stay in the ledger.

--files    also the files of their runs in a --log-dir
--force    also work in their worktrees that is not merged
TASK ...   the tasks

  codex-tasks du
  codex-tasks rm 01a1f0

0 removed; 1 work that is not merged, or a file that cannot be removed; 2 wrong usage; 3
  no such task; 75 a task runs, prompts wait, or it has left processes running
"""
HELP_prune = """\
Remove archived tasks that are older than an age.

--older-than AGE   time since the last change (required)
--dry-run          only list what would be removed
--files            also the files of their runs in a --log-dir
-a, --all          also idle tasks that are not archived

  codex-tasks prune --older-than 30d --dry-run
  codex-tasks prune --older-than 84d -a

0 done, also when nothing is that old; 1 a file cannot be removed; 2 wrong usage; 75 a
  task has left processes running
"""
_NOT_ARCHIVED = set(TaskState) - {TaskState.ARCHIVED}


def main(found: Values, context: Context) -> int:
    """Stop tasks, all at once; print the result of each at the end."""
    from runner.service.stop import stop_sessions  # noqa: PLC0415 - for this one only

    _check_named(found, "stop", "to stop, or use -a for all running tasks")
    refuse(
        (
            found.gone and not found.task,
            "--gone needs the names of the tasks",
            "codex-tasks stop --gone TASK",
        )
    )
    running = [TaskState.RUNNING]
    if found.all:
        keys, older = context.ledger.queue.to_stop(), context.older(running)
        tasks = older.found(running) if older is not None else []
    else:
        tasks = context.found(found.task)
        keys = [each.session.key for each in tasks if each.older is None]
    how = {"is_gone": found.gone}
    stopped = stop_sessions(keys, context.ledger, context.settings, **how)
    stopped += [each.older.stop(each.session, **how) for each in tasks if each.older]
    rows: list[Row] = []
    lines, code = [], 0
    for each in stopped:
        context.notes(each.notes)
        if each.error is not None:
            code = max(code, context.fault(each.name, each.error, each.short_id))
            continue
        rows.append(
            {"id": each.name, "stopped": each.has_ended, "canceled": each.canceled}
        )
        what = "stopped." if each.has_ended else "is not running; nothing to stop."
        skipped = ""
        if each.canceled:
            skipped = f" {format.count(each.canceled, 'waiting prompt')} skipped."
        called = context.called(each.name, each.short_id)
        lines.append(f"Task {called} {what}{skipped}")
    said = lines if stopped else ["No running tasks to stop."]
    context.tell(found, "stop", {"tasks": rows}, said)
    return code


def _check_named(found: Values, verb: str, what: str) -> None:
    ways = f"codex-tasks {verb} TASK, or codex-tasks {verb} -a"
    refuse(
        (found.all and found.task, "give the names of tasks or -a, not both", ways),
        (not (found.all or found.task), f"name the tasks {what}", ways),
    )


def main_archive(found: Values, context: Context) -> int:
    """Archive tasks, one line each; go on after one that fails."""
    _check_named(found, "archive", "to archive, or use -a for all idle tasks")
    context.sweep()
    lines: list[str] = []
    rows: list[Row] = []
    if found.all:
        tasks = context.all(_NOT_ARCHIVED)
        busy = {
            name: f"Skipping task {context.called(name, short)} (RUNNING)."
            for name, short, state in (
                (each.session.name, each.session.short_id, each.session.state)
                for each in tasks
            )
            if state is TaskState.RUNNING
        }
        lines += busy.values()
        tasks = [each for each in tasks if each.session.name not in busy]
    else:
        tasks = context.found(found.task)
    code = 0
    for task in tasks:
        try:
            moved = (
                archive.archive(task.session, context.ledger)
                if task.older is None
                else task.older.archive(task.session)
            )
        except (RunnerError, OSError) as error:
            name, short = task.session.name, task.session.short_id
            code = max(code, context.fault(name, error, short))
            continue
        rows.append(_moved(moved))
        where = f" to {moved.directory}" if moved.directory else ""
        what = f"archived{where} ({format.size(moved.size)})"
        called = context.called(moved.name, task.session.short_id)
        said = what if moved.is_new else "is already archived"
        lines.append(f"Task {called} {said}.")
    if not tasks:
        lines.append("No STOPPED or DIED tasks were found to archive.")
    # Not before: all tasks are archived even if standard output is closed.
    context.tell(found, "archive", {"tasks": rows}, lines)
    return code


def _moved(moved: archive.Moved) -> Row:
    what = {"changed": moved.is_new, "directory": moved.directory}
    return {"id": moved.name, **what, "size": moved.size}


def _removed(removed: archive.Removed) -> Row:
    files = {"left": [*removed.left], "elsewhere": [*removed.elsewhere]}
    return {"id": removed.name, "size": removed.size, **files}


def main_unarchive(found: Values, context: Context) -> int:
    """Move tasks out of the archive, one line each; go on after one that fails."""

    def bring_back(name: str) -> tuple[str, Row]:
        session = context.session(name)
        moved = archive.unarchive(session, context.ledger)
        where = f"is back in {moved.directory}." if moved.directory else "is back."
        said = where if moved.is_new else "is not archived."
        called = context.called(moved.name, session.short_id)
        return f"Task {called} {said}", _moved(moved)

    return _each(found, context, "archive", bring_back)


def main_rm(found: Values, context: Context) -> int:
    """Remove tasks, one line each; keep Codex's own files."""
    from runner.service import worktrees  # noqa: PLC0415 - for this one only

    gone: list[archive.Removed] = []

    def remove(name: str) -> tuple[str, Row]:
        session = context.session(name)
        words = (session, context.ledger, context.settings)
        with worktrees.removing(*words, with_unmerged=found.force) as left:
            removed = archive.remove(session, context.ledger, with_flat=found.files)
        gone.append(replace(removed, left=(*removed.left, *left)))
        called = context.called(removed.name, session.short_id)
        said = f"Task {called} removed; {format.size(removed.size)} freed."
        return said, _removed(gone[-1])

    code = _each(found, context, "removed", remove)
    context.notes(_remains(gone))
    return max([code, *(bool(each.left) for each in gone)])


def _each(
    found: Values, context: Context, kind: str, act: Callable[[str], tuple[str, Row]]
) -> int:
    """Do something to each task that is named; go on after one that fails."""
    refuse((not found.task, "name the tasks", "codex-tasks ls -a"))
    context.sweep()
    done: list[tuple[str, Row]] = []
    code = 0
    for name in dict.fromkeys(found.task):
        try:
            done.append(act(name))
        except RunnerError as error:
            short_id = ""
            with suppress(RunnerError):
                short_id = context.found([name])[0].session.short_id
            code = max(code, context.fault(name, error, short_id))
    # Not before: all are changed even if standard output is closed.
    rows = [row for _, row in done]
    context.tell(found, kind, {"tasks": rows}, [said for said, _ in done])
    return code


def _remains(removed: Sequence[archive.Removed]) -> Iterator[str]:
    """Name the files of removed sessions that still exist, each directory once."""
    yield from (f"not removed: {fault}" for each in removed for fault in each.left)
    for directory in {place: 0 for each in removed for place in each.elsewhere}:
        yield f"files of removed runs stay in {directory}"
    for each in removed:
        if each.unsent:
            unsent = format.count(each.unsent, "notification")
            yield f"{each.name}: {unsent} not sent: given up with the task"


def main_prune(found: Values, context: Context) -> int:
    """Remove old tasks, one line each, and print how much disk space that frees."""
    from runner.service import worktrees  # noqa: PLC0415 - as above

    instant = _instant(found.older_than)
    context.sweep()
    lines, gone, code = [], [], 0
    for session in archive.older_than(instant, context.ledger, with_active=found.all):
        try:
            words = (session, context.ledger, context.settings)
            with worktrees.removing(*words, is_dry=found.dry_run) as left:
                removed = archive.remove(
                    session,
                    context.ledger,
                    if_unchanged=True,
                    is_dry=found.dry_run,
                    with_flat=found.files,
                )
            removed = replace(removed, left=(*removed.left, *left))
        except UnmergedError as error:
            context.note(str(error))
            continue
        except RunnerError as error:
            code = max(code, context.fault(session.name, error))
            continue
        title = f" {format.line(session.title)}" if session.title else ""
        date = session.updated_at[:10]
        lines.append(f"{session.name} {date} {format.size(removed.size)}{title}")
        gone.append(removed)
    strays = archive.remove_strays(context.ledger, is_dry=found.dry_run)
    lines += [f"{each.name} {format.size(each.size)}" for each in strays]
    context.notes(_remains([*gone, *strays]))
    code = max([code, *(bool(each.left) for each in [*gone, *strays])])
    will = "would be " if found.dry_run else ""
    total = format.count(len(gone), "task")
    if strays:
        total += f" and {format.count(len(strays), 'run')} without a task"
    size = format.size(sum(each.size for each in [*gone, *strays]))
    told = {
        "dry_run": found.dry_run,
        "tasks": [*map(_removed, gone)],
        "runs": [*map(_removed, strays)],
    }
    # Not before: all tasks are removed even if standard output is closed.
    lines.append(f"{total} {will}removed; {size} {will}freed.")
    context.tell(found, "removed", told, lines)
    return code


def _instant(text: str | None) -> datetime:
    message = "--older-than AGE is required: the time since the last change"
    if text is not None:
        message = f"--older-than {text!r}: not a time ({clock.DURATIONS})"
        try:
            if (age := clock.read_duration(text)) is not None:
                return clock.after(clock.now(), -age)
        except OverflowError:
            message = f"--older-than {text!r}: that is before there was any Codex"
    raise UsageError(message, "codex-tasks prune --dry-run --older-than 30d")
