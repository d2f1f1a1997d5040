"""Keep a session's own files up to its runs: task.json, .log, .result and .pid.

They are a view for people and scripts: all that they say is in the index and in the
files of the runs too, so a disk that refuses costs a warning, and they can be made
anew. A session that has no directory has no such files.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from parsers.exec_events import task_log
from parsers.exec_events.summary import EventSummary
from parsers.struct import replace
from runner import files, session_files
from runner.clock import iso
from runner.errors import RunnerError
from runner.exports import task_json
from runner.ledger import record
from runner.model import Running, SessionId
from runner.tail import RunTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from runner.ledger.runs import Ledger
    from runner.model import Run
    from runner.session_files import SessionFiles


class Chronicle:
    """Write one run into the files of its session, as it happens.

    Args:
        ledger: the index.
        state_home: where sessions have their directories.
        warn: what is called with one line for each thing that went wrong.
    """

    def __init__(
        self, ledger: Ledger, state_home: Path, warn: Callable[[str], None]
    ) -> None:
        self._ledger = ledger
        self._home = state_home
        self._warn = warn

    def began(self, run: Run) -> None:
        """Note that Codex works on the run's prompt."""
        if (paths := self.files_of(run)) is None:
            return
        if isinstance(run.state, Running):
            pid = str(run.state.codex.pid).encode()
            self._try(lambda: files.replace(paths.pid, pid))
        self._try(lambda: self._begin_log(paths, run))
        self.note(run)

    def name(self, run: Run, session_id: SessionId) -> Run | None:
        """Give the directory of a session its name; None when that is nothing new.

        Raises:
            FileFault: the directory cannot be moved; it is where it was.
            LedgerFault: the index cannot be written; it is where it was.
        """
        was = session_files.pending(self._home, run.run_id)
        if Path(run.spec.log_dir) != was.runs:
            return None
        now = session_files.active(self._home, session_id)
        # Senders write their prompts in a transaction too: the name has been on record
        # for a moment, and somebody may have queued one by it.
        with self._ledger.database.transaction():
            session_files.merge_mail(now, was)
            # Whoever finds it under its name must find its name in it.
            self._try(lambda: write_json(self._ledger, was, run))
            session_files.move(was, now)
        return session_files.moved(run, now)

    def wrote(self, run: Run, lines: Iterable[bytes]) -> None:
        """Add what Codex has written to the log."""
        text = b"".join(lines)
        paths = self.files_of(run) if text else None
        # A log that came to be while a run was under way would lack its beginning: it
        # is written whole by the next run.
        if paths is not None and paths.log.exists():
            self._try(lambda: files.append(paths.log, text))

    def ended(self, run: Run, answer: str | None) -> None:
        """Note the end of a run that is about to be put on record."""
        if (paths := self.files_of(run)) is None:
            return
        if answer:
            text = answer.encode(errors="replace")
            self._try(lambda: files.replace(paths.result, text))
        self.note(run)
        if run.launched_at is not None:
            files.remove([paths.pid])

    def note(self, run: Run) -> None:
        """Write the metadata anew, with the run as it is given."""
        if (paths := self.files_of(run)) is not None:
            self._try(lambda: write_json(self._ledger, paths, run))

    def files_of(self, run: Run) -> SessionFiles | None:
        """Name the files of a run's session; None when it has no directory."""
        own = session_files.of_run(self._home, run)
        paths = own or session_files.active(self._home, run.key)
        if files.is_directory(paths.directory):
            return paths
        try:
            row = self._ledger.sessions.find(run.key)
        except RunnerError as error:
            self._warn(str(error))
            return None
        if row is None:
            return None
        # Another door carries an archived session on.
        place = session_files.placed(self._home, run.key, row.archived_in)
        return place if files.is_directory(place.directory) else None

    def _begin_log(self, paths: SessionFiles, run: Run) -> None:
        if not paths.log.exists():
            earlier = self._ledger.of_session(run.key)
            write_log(paths, (each for each in earlier if each.place < run.place))
        files.append(paths.log, task_log.prompt(_prompt_of(run)))

    def _try(self, writing: Callable[[], None]) -> None:
        try:
            writing()
        except RunnerError as error:
            self._warn(str(error))


def write_json(ledger: Ledger, paths: SessionFiles, run: Run | None = None) -> None:
    """Write the metadata of a session from the index.

    Args:
        ledger: the index.
        files: the session's.
        run: one of its runs, as it is when the index does not know that yet.

    Raises:
        RunnerFault: it cannot be read or written.
    """
    key = run.key if run is not None else paths.directory.name
    row, last = ledger.sessions.find(key), ledger.last_of(key)
    if row is None or last is None:
        return
    ids = ledger.ids_of(key)
    living = {each.run_id for each in ledger.unfinished_of(key)}
    if run is not None:
        living = (living - {run.run_id}) | ({run.run_id} - _over(run))
        last = run if run.run_id == last.run_id else last
        if run.ended_at is not None:
            row = replace(row, updated_at=iso(run.ended_at))
    story = task_json.Story(
        row=row,
        first=ledger.find(ids[0]),
        last=last,
        ids=ids,
        is_running=bool(living),
        answer=files.read_text(paths.result) or None,
    )
    files.replace(paths.json, record.encode(task_json.build(story), indent=2))


def _over(run: Run) -> set[str]:
    return {run.run_id} if run.is_finished else set()


def write_log(paths: SessionFiles, runs: Iterable[Run]) -> None:
    """Write the log of a session anew, from what its runs have left.

    Raises:
        FileFault: it cannot be written; the one that is there stays.
    """
    files.replace_with(paths.log, (line for run in runs for line in lines_of(run)))


def lines_of(run: Run) -> Iterator[bytes]:
    """Yield what a run adds to the log of its session."""
    yield task_log.prompt(_prompt_of(run))
    for written in RunTail(record.files_of(run.spec)).finish():
        yield from written.lines


def thread_of(run: Run) -> SessionId | None:
    """Return the thread that Codex has announced in a run; None if it has not."""
    named = _digest_of(run).thread_id
    return SessionId(named) if named else None


def answer_of(run: Run) -> str | None:
    """Return the last thing that Codex said in a run, whole; None if there is none."""
    return _digest_of(run).final_message


def _digest_of(run: Run) -> EventSummary:
    digest = EventSummary()
    with (
        contextlib.suppress(OSError),
        files.reader(record.files_of(run.spec).events) as stream,
    ):
        digest.read(stream)
    return digest


def _prompt_of(run: Run) -> bytes:
    try:
        return files.read_bytes(record.files_of(run.spec).prompt)
    except OSError:
        return run.spec.task.encode(errors="replace")
