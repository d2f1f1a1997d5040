"""Find the session or the run that a text names, and read it from one snapshot."""

from __future__ import annotations

from parsers import json_text
from parsers.struct import Struct
from parsers.text import uuid
from runner import files
from runner.errors import (
    NoSuchRunError,
    NoSuchTaskError,
    NotRunError,
    UnknownRunError,
    UsageError,
)
from runner.exports.task_files import ARCHIVE
from runner.lifecycle.recover import reconcile_run
from runner.model import RunId, TaskState
from runner.run_files import RunFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from parsers.paths import Path
    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.prompts import Prompt
    from runner.ledger.sessions import Session
    from runner.model import Run
    from runner.service.older import OlderTasks

_TITLE_LENGTH = 60
_UUID_LENGTH = 36


class Task(Struct):
    """Hold one session with its waiting prompts, and the last of its runs.

    `last` is the unfinished run, else the last one that determines the state; `over`
    is the last finished run, if any.
    """

    session: Session
    last: Run
    over: Run | None
    prompts: tuple[Prompt, ...]

    @property
    def name(self) -> str:
        return self.session.name


class Found(Struct):
    """Hold a session and its ledger.

    That of an older tool's task, which was not imported, is in memory: `older`.
    """

    session: Session
    ledger: Ledger
    older: OlderTasks | None = None

    @property
    def doubt(self) -> str | None:
        """Why it is uncertain that a task of an older tool is running."""
        holder = self.older and self.older.histories[self.session.key].holder
        return holder.doubt if holder else None

    def again(self) -> Found:
        """Return a session as it is now."""
        return self.older.again(self.session) if self.older else self


def find(text: str, ledger: Ledger) -> Session:
    """Return the session that a text names.

    A short id, a thread id or a run id is exact. Else the text is a title or a prefix
    (at least 4 digits of a short id, 6 of a thread id), and must match one session.

    Raises:
        NoSuchTaskError: no session matches.
        UsageError: several match.
    """
    wanted = text.strip()
    found = ledger.sessions.named(wanted) or ledger.sessions.like(wanted)
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(
            f"{each.name} ({each.title[:_TITLE_LENGTH]})" if each.title else each.name
            for each in found
        )
        message = f"{text!r} matches several tasks: {shown}"
        raise UsageError(message, "give more of the id, from: codex-tasks ls -a")
    # An older tool gave its tasks ids of its own.
    old_id = uuid(wanted)
    was = ledger.sessions.imported_as(old_id) if old_id else None
    if was is None:
        raise NoSuchTaskError(text)
    return was


def find_run(run_id: str, log_dir: Path, ledger: Ledger, settings: Config) -> Run:
    """Return a run that the ledger knows, judged when no process owns it any more.

    A run that only a meta file in a log directory knows (of another state directory)
    is taken into the ledger as an imported one: its history, and nothing to run.

    Raises:
        UnknownRunError: neither knows it.
        RunnerFault: its record cannot be read.
    """
    try:
        run = ledger.runs.find(run_id)
    except NoSuchRunError:
        from runner.service.rebuild import adopt  # noqa: PLC0415 - a rare need

        meta = RunFiles(log_dir, RunId(run_id), is_flat=True).meta
        if files.status(meta) is None or not (adopted := adopt(meta, ledger)):
            looked_in = f"{ledger.path} and {log_dir}"
            fix = "codex-tasks ls -a, or parse_codex_run --log FILE"
            raise UnknownRunError(run_id, looked_in, fix) from None
        run = adopted
    return reconcile_run(run, ledger, settings)


def get(key: int, ledger: Ledger) -> Task:
    """Return the current state of a session; call it inside a snapshot.

    Raises:
        NoSuchTaskError: it was removed.
        NotRunError: it has not run yet.
    """
    session = ledger.sessions.get(key)
    if session.last_run is None:
        raise NotRunError(session.name)
    last = ledger.runs.find(session.last_run)
    over = last if last.is_finished else ledger.runs.latest(key)
    prompts = tuple(ledger.queue.waiting(key)) if session.waiting else ()
    return Task(session=session, last=last, over=over, prompts=prompts)


def older_tasks(
    ledger: Ledger,
    states: Collection[TaskState] = tuple(TaskState),
    named: str | None = None,
) -> list[Path]:
    """List the directories of an older tool's tasks, which have no row.

    The names are listed before the ledger is read: a new session has its row first.

    Args:
        ledger: the ledger.
        states: those that the tasks may have.
        named: only a task that this id names, if it is one.
    """
    places = [ledger.home]
    if TaskState.ARCHIVED in states:
        days = [ledger.home / ARCHIVE]
        for _ in range(3):  # YYYY/MM/DD
            days = [day / name for day in days for name in files.names(day)]
        places = [*days, *places]
    found = {name: each for each in places for name in files.names(each)}
    wanted, is_running = uuid((named or "").strip()), {*states} == {TaskState.RUNNING}
    found = {
        name: each
        for name, each in found.items()
        if len(name) == _UUID_LENGTH and wanted in {None, name}
    }
    # Most are threads, which an index has; the rest of the history is read for others.
    left = ledger.all("names_of_no_thread", names=json_text.dumps([*found]))
    found = {row["name"]: found[row["name"]] for row in left}
    for row in ledger.all("known_directories") if found else ():
        found.pop(row["directory"].rpartition("/")[2], None)
    # Another process may have removed it meanwhile.
    sign = "task.pid" if is_running else "."
    tasks = (each / name for name, each in found.items() if uuid(name))
    return [each for each in tasks if files.names(each) and files.status(each / sign)]
