"""The transcript of an older task, followed in the older tool's own log."""

from __future__ import annotations

from parsers import loose_json
from parsers.struct import replace
from runner import clock
from runner.errors import UsageError
from runner.foreign.eventlines import SYNTHETIC, event_lines, kind_of
from runner.service.log import Lines, Note, Nothing, Prompt, RunEnded
from runner.tail import Tail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.foreign.sources import History
    from runner.model import Run
    from runner.service.log import Piece, Wish
    from runner.service.lookup import Found
    from runner.service.older import OlderTasks

_PACE_SECONDS = 0.1


def read(task: Found, older: OlderTasks, wish: Wish) -> Iterator[Piece]:
    """Return the pieces of a task's transcript, or follow it, as `log.read` does.

    Raises:
        UsageError: the run is not one of the task's.
    """
    key, history = task.session.key, older.histories[task.session.key]
    runs = older.runs.of_session(key)
    if wish.run_id not in {None, *(run.run_id for run in runs)}:
        message = f"task {task.session.name} has no run {wish.run_id!r}"
        raise UsageError(message)
    pieces = [*_pieces(history, runs, wish.run_id)]
    if wish.last is not None:
        # The end of a run is no line.
        lines = [at for at, each in enumerate(pieces) if not isinstance(each, RunEnded)]
        pieces = pieces[[*lines, len(pieces)][-1 - wish.last :][0] :]
    return _followed(task, history, pieces, wish) if wish.follows else iter(pieces)


def _pieces(history: History, runs: list[Run], wanted: str | None) -> Iterator[Piece]:
    for told, run in zip(history.runs, runs, strict=True):
        if wanted not in {None, run.run_id}:
            continue
        if told.events is not None and not run.is_finished:
            # The log is followed from the end of its last complete line.
            path, first, end = told.events
            events = path, first, min(end or 0, history.read_to)
            told = replace(told, events=events)  # noqa: PLW2901 - the same run
        yield Prompt((told.prompt or "").encode(errors="replace"))
        yield from (Lines((line,), is_stderr=False) for line in event_lines(told))
        for line in told.stderr:
            yield Lines((line.encode(errors="replace"),), is_stderr=True)
        if run.is_finished:
            yield RunEnded(run)


def _followed(
    task: Found, history: History, pieces: list[Piece], wish: Wish
) -> Iterator[Piece]:
    """Yield the pieces, and what is appended to the log until the task has ended.

    A transcript of the first generation is shown as it is.
    """
    yield from pieces
    tail, is_over = Tail(history.source / "task.log", history.read_to), False
    while not is_over and (history.holder is not None or wish.is_endless):
        # Looked at first: what was written before the end is read below.
        is_over = not (wish.is_endless or (history.holder and history.holder.is_alive))
        for line in tail.lines() if history.read_to else ():
            yield from _piece(line)
        clock.sleep(_PACE_SECONDS)
        yield Nothing()
    tail.close()
    now = task.again()
    if history.holder is not None and now.session.last_run is not None:
        yield RunEnded(now.ledger.runs.find(now.session.last_run))
    end = f"Task {task.session.name} is {now.session.state}"
    yield Note(f"{end}; stopping log follow.")


def _piece(line: bytes) -> Iterator[Piece]:
    kind = kind_of(line)
    told = loose_json.load_or_empty(line) if kind in SYNTHETIC else {}
    text = (loose_json.text(told.get("message")) or "").encode(errors="replace")
    if kind == "user_message":
        yield Prompt(text)
    elif kind is not None:
        is_stderr = kind == "stderr"
        yield Lines((text if is_stderr else line,), is_stderr=is_stderr)
