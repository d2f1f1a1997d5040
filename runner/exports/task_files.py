"""The exports of a session, for people and scripts: task.json, .log, .result, .pid.

The names and the content are those of the older `codex-tasks` (0.3). All content is in
the ledger and in the files of the runs too: a full disk causes only a warning, and
`verify --repair` writes them again. A session without exports has no such files.
"""

from __future__ import annotations

from parsers import loose_json
from parsers.exec_events import task_log
from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import Struct
from runner import files
from runner.errors import RunnerError
from runner.exports import queue_files, transcripts
from runner.exports.run_exports import best_effort, closing, write_end
from runner.ledger import record
from runner.model import OUTCOMES, Outcome, Running, TaskState
from runner.run_files import files_of
from runner.tail import RunTail, summary_of_events
from runner.terms import VERIFY_FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parsers.light import datetime
    from runner.exports.run_exports import Attempt
    from runner.ledger.ledger import Ledger
    from runner.ledger.record import Json
    from runner.ledger.sessions import Session
    from runner.model import Run
    from runner.tail import Appended

ARCHIVE = "archive"
FORMAT = 1
NAMES = ("task.json", "task.log", "task.result", "task.pid")


class TaskFiles(Struct, kw_only=False):
    """Name the files of a session."""

    directory: Path
    json: Path
    log: Path
    result: Path
    pid: Path


class TaskExport:
    """Write one run to the exports of its session, during the run.

    `attempt` is called with each step; an error must not end the run.
    """

    def __init__(self, ledger: Ledger, attempt: Attempt) -> None:
        self._ledger = ledger
        self._try = attempt
        self._files: TaskFiles | None = None
        self._early: list[bytes] = []
        self._is_begun = False

    def begin(self, run: Run) -> None:
        """Write the start of the run; the session has its thread now.

        Creates the exports of a session of `codex-tasks`; a missing log is written from
        its beginning. A second call changes nothing.
        """
        if self._is_begun:
            return
        self._is_begun = True
        session = self._ledger.sessions.get(run.session)
        if session.exports is None and session.thread and not run.spec.is_flat:
            self._ledger.write(
                "set_exports", session=session.key, exports=session.thread
            )
            session = self._ledger.sessions.get(run.session)
        paths = self._files = files_in(session, self._ledger.home)
        if paths is None:
            self._early.clear()
            return
        self._try(lambda: files.make_directory(paths.directory))
        if isinstance(run.state, Running):
            pid = str(run.state.codex.pid).encode()
            self._try(lambda: files.export(paths.pid, pid))
        self._try(lambda: self._begin_log(paths, run))
        self._try(lambda: write_json(self._ledger, run.session))

    def append(self, run: Run, appended: Appended) -> None:
        """Append Codex's lines to the log."""
        if self._files is not None:
            log, text = self._files.log, b"".join(appended.lines)
            self._try(lambda: files.append(log, text))
        elif not (self._is_begun or run.spec.is_flat):
            self._early += appended.lines

    def finish(self, run: Run, answer: str | None) -> None:
        """Write the end of a run, as it is in the ledger."""
        session = self._ledger.sessions.get(run.session)
        if (paths := files_in(session, self._ledger.home)) is None:
            return
        if answer and run.run_id == session.last_run:
            text = answer.encode(errors="replace")
            self._try(lambda: files.export(paths.result, text))
        self._try(lambda: write_json(self._ledger, run.session, answer))
        files.remove([paths.pid])

    def _begin_log(self, paths: TaskFiles, run: Run) -> None:
        if not paths.log.exists():
            earlier = self._ledger.runs.of_session(run.session)
            before = [each for each in earlier if each.ordinal < run.ordinal]
            files.export(paths.log, render_log(before))
        lines = [task_log.prompt(prompt_of(run)), *self._early]
        self._early.clear()
        files.append(paths.log, b"".join(lines))


def files_in(session: Session, state_home: Path) -> TaskFiles | None:
    """Name the exports of a session; None when it has none."""
    directory = session.exports_in(state_home)
    if directory is None:
        return None
    return TaskFiles(directory, *(directory / name for name in NAMES))


def archived_at(name: str, at: datetime) -> str:
    """Name the directory of a session that was archived at this time."""
    return f"{ARCHIVE}/{at:%Y/%m/%d}/{name}"


def render_json(ledger: Ledger, key: int, answer: str | None = None) -> bytes:
    """Render `task.json`; read the events unless the last answer is given.

    Raises:
        RunnerError: the ledger cannot be read, or the session was removed.
    """
    session, ids = ledger.sessions.get(key), ledger.runs.ids(key)
    ends = (ledger.runs.find(name) for name in (ids[0], session.last_run or ""))
    first, last = map(record.to_json, ends)
    if answer is None:
        answer = last_answer(ledger, key, files_in(session, ledger.home))
    return json_of(session, ids, first, last, answer)


def json_of(
    session: Session, ids: list[str], first: Json, last: Json, answer: str | None
) -> bytes:
    """Render `task.json` from the ids of the runs and the records of two of them."""
    home = session.home
    data: Json = {
        "id": session.name,
        "title": session.title,
        "state": _state(session, last["error_class"]),
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "last_result": answer,
        "initial_prompt": first["task"],
        "last_prompt": last["task"],
        "config_path": str(Path(home) / "config.toml") if home else None,
        "working_dir": loose_json.mapping(last["accounts"]).get(record.MOVED_TO)
        or last["repo"],
        "outcome": last["outcome"],
        "error": last["error"],
        "runs": ids,
        "format": FORMAT,
    }
    return record.encode(data, indent=2)


def write_json(ledger: Ledger, key: int, answer: str | None = None) -> None:
    """Write `task.json`.

    Raises:
        RunnerError: as `render_json`, or it cannot be written.
    """
    session = ledger.sessions.get(key)
    if (paths := files_in(session, ledger.home)) is not None:
        files.export(paths.json, render_json(ledger, key, answer))


def render_log(runs: Iterable[Run]) -> Iterator[bytes]:
    """Render `task.log` from the files of the runs, line by line."""
    for run in runs:
        if run.waits or not is_logged(run.outcome, run.launched_at, run.accounts):
            continue
        yield task_log.prompt(prompt_of(run))
        for appended in RunTail(files_of(run.spec)).finish():
            yield from appended.lines


def is_logged(outcome: object, launched_at: object, accounts: object) -> bool:
    """Return whether a log has a run; not one that could not be started.

    Nor one whose transcript is not copied.
    """
    is_started = outcome != Outcome.NOT_STARTED or launched_at is not None
    return is_started and not transcripts.is_elsewhere(accounts)


def has_events(runs: Iterable[Run]) -> bool:
    """Return whether the events of all runs are there, to render a log from."""
    every = (run for run in runs if run.launched_at)
    logged = (run for run in every if not transcripts.is_elsewhere(run.accounts))
    return all(files.status(files_of(run.spec).events) for run in logged)


def write_all(ledger: Ledger, key: int) -> None:
    """Write all exports of a session again.

    Raises:
        RunnerError: a file cannot be written, or the ledger cannot be read.
    """
    session, runs = ledger.sessions.get(key), ledger.runs.of_session(key)
    if (paths := files_in(session, ledger.home)) is None:
        return
    files.make_directory(paths.directory)
    answer = last_answer(ledger, key, paths)
    if has_events(runs) or files.status(paths.log) is None:
        files.export(paths.log, render_log(runs))
    if answer:
        files.export(paths.result, answer.encode(errors="replace"))
    write_json(ledger, key)


def write_abandoned(run: Run, ledger: Ledger) -> None:
    """Complete the exports of a run without a supervisor.

    A file that cannot be written stays in the outbox.

    Raises:
        LedgerFault: the ledger cannot be read.
    """
    write_end(run, log=rest_of_log(run) if run.spec.is_flat else None)
    best_effort(lambda: write_all(ledger, run.session))
    session = ledger.sessions.get(run.session)
    if (paths := files_in(session, ledger.home)) is not None:
        files.remove([paths.pid])
    if (prompt := run.spec.prompt_id) is not None:
        best_effort(lambda: queue_files.refresh(ledger, run.session, [prompt]))
    best_effort(lambda: ledger.runs.note_exported(run.run_id))


def rest_of_log(run: Run) -> str:
    """Return what the readable log of a finished run lacks.

    It is unknown how far a killed supervisor wrote it. Events and standard error are in
    order there, each for itself; between them are lines of hooks.
    """
    paths = files_of(run.spec)
    *have, torn = (log := files.read_text(paths.log)).split("\n")
    tail = [*RunTail(paths).finish()]
    events = "".join(each.event_text for each in tail)
    errors = "".join(each.error_text for each in tail)
    rest = _without(have, events) + _without(have, errors)
    end = closing(run)
    rest += "" if end in log else end
    return f"\n{rest}" if torn and rest else rest


def _without(have: list[str], text: str) -> str:
    """Leave out the first lines of a text that are in a log, in their order."""
    wanted = text.split("\n")[:-1]
    at = 0
    for line in have:
        if at < len(wanted):
            # The last words of a hook may stand before it, without a newline.
            at += line.endswith(wanted[at]) if wanted[at] else not line
    return "".join(f"{line}\n" for line in wanted[at:])


def move(was: Path | None, now: Path | None) -> None:
    """Move the exports of a session to another directory, ignoring errors.

    `verify --repair` writes files again that cannot be moved. Other files in the
    directory are not moved.
    """
    if was is None or now is None or was == now:
        return
    with suppress(RunnerError, OSError):
        files.make_directory(now)
        for name in NAMES:
            with suppress(FileNotFoundError):
                (was / name).rename(now / name)
        was.rmdir()


def answer_of(run: Run, paths: TaskFiles | None) -> str | None:
    """Return the full answer of a run; None when it cannot be read.

    The record has a short answer, the events have any. If the events are gone, the
    session's `task.result` may still hold it.
    """
    said = loose_json.mapping(run.accounts.get("said"))
    if said and not said.get("is_cut"):
        return loose_json.text(said.get("final_message"))
    if transcripts.is_elsewhere(run.accounts):
        with suppress(OSError, ImportError):  # an upgrade in the middle of a run
            return transcripts.answer_of(run)
        return None
    answer = summary_of_events(run).final_message
    if answer is None and run.has_answer and paths is not None:
        kept = files.read_text(paths.result)
        is_its = record.checksum(kept) == run.accounts.get("answer_checksum")
        answer = kept if is_its else None
    return answer


def last_answer(ledger: Ledger, key: int, paths: TaskFiles | None) -> str | None:
    """Return the answer of the last run of a session that has one."""
    answered = ledger.runs.latest(key, "answered")
    return answer_of(answered, paths) if answered else None


def prompt_of(run: Run) -> bytes:
    """Return the prompt of a run; a preview when its file is gone."""
    try:
        return files.read_bytes(files_of(run.spec).prompt)
    except OSError:
        return run.spec.task.encode(errors="replace")


def _state(session: Session, error_class: object = None) -> TaskState:
    """Return the state for `task.json`, which does not include waiting prompts."""
    if session.outcome is None:
        return TaskState.RUNNING
    if session.is_archived:
        return TaskState.ARCHIVED
    is_verified = error_class != VERIFY_FAILED
    is_good = OUTCOMES[Outcome(session.outcome)].is_good and is_verified
    return TaskState.STOPPED if is_good else TaskState.DIED
