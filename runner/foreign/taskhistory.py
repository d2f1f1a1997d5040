"""Tell the history of one task of the old `codex-tasks` from its record and its log.

The log of events names no times: what is not known stands at the nearest time that is.
"""

from __future__ import annotations

from parsers.struct import replace
from runner.foreign import sources, verdicts
from runner.foreign.history import UNKNOWN, ForeignRun, History
from runner.foreign.tasklog import split
from runner.foreign.transcripts import Transcript
from runner.foreign.verdicts import Judgement
from runner.lifecycle.judge import Ending
from runner.model import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime
    from typing import Final

    from runner.foreign.taskrecord import Record
    from runner.lifecycle.judge import Evidence

    Found = tuple[str | None, list[ForeignRun]]

_FIRST_BYTES: Final = 4096
_NO_END: Final = "its record does not say how it ended"


def history_of(record: Record) -> History:
    """Read a task.

    Raises:
        OSError: its log is there and cannot be read.
    """
    is_transcript, (thread_id, runs) = _read_log(record)
    is_first = is_transcript or record.is_first_generation
    is_first = is_first or thread_id not in {None, record.id}
    return History(
        session_id=thread_id or (None if is_first else record.id),
        title=record.text("title"),
        created_at=record.created_at,
        updated_at=record.updated_at,
        working_dir=record.text("working_dir"),
        config_path=record.text("config_path"),
        archived_at=record.archived_at,
        kind="codex-tasks-fifo" if is_first else "codex-tasks",
        source=record.directory,
        runs=_completed(record, runs or _run_of_record(record)),
    )


def _read_log(record: Record) -> tuple[bool, Found]:
    if not sources.exists(record.log):
        return False, (None, [])
    with sources.opened(record.log) as stream:
        head = stream.read(_FIRST_BYTES).lstrip(b" \t\r\n\0\xef\xbb\xbf")
    is_transcript = bool(head) and not head.startswith(b"{")
    read = _read_transcript if is_transcript else _read_events
    return is_transcript, read(record)


def _read_events(record: Record) -> Found:
    with sources.opened(record.log) as stream:
        found = split(stream)
    named = (each.digest.thread_id for each in found)
    thread_id = next((name for name in named if name is not None), None)
    runs = []
    for number, each in enumerate(found):
        evidence = verdicts.evidence_of(
            each.digest, each.stderr, thread_id or record.id
        )
        is_last = number == len(found) - 1
        judgement = _judge(record, evidence, is_last=is_last)
        events = (record.log, each.first, each.end) if each.first is not None else None
        run = replace(
            _blank(record, number, is_last=is_last),
            prompt=each.prompt,
            events=events,
            stderr=tuple(each.stderr),
            outcome=judgement.outcome,
            error=judgement.error,
            answer=each.digest.final_message,
        )
        runs.append(run)
    return thread_id, runs


def _judge(record: Record, evidence: Evidence, *, is_last: bool) -> Judgement:
    """Only the last run is what the record speaks of."""
    has_end = evidence.ending is not Ending.NONE
    if not is_last or has_end:
        return verdicts.judged(evidence)
    if record.state == "STOPPED" and record.result:
        # Codex writes an answer only when its turn is completed.
        return Judgement(outcome=Outcome.SUCCEEDED, error=None)
    return verdicts.by_state(evidence, record.state)


def _read_transcript(record: Record) -> Found:
    with sources.opened(record.log) as stream:
        transcript = Transcript().read(sources.texts(stream))
    thread_id = transcript.session_id
    runs = []
    for number, turn in enumerate(transcript.turns):
        is_last = number == len(transcript.turns) - 1
        judgement = _judge(record, turn.evidence, is_last=is_last)
        blank = _blank(record, number, is_last=is_last)
        run = replace(
            blank,
            prompt=turn.prompt,
            lines=turn.event_lines(thread_id),
            outcome=judgement.outcome,
            error=judgement.error,
            answer=turn.answer,
            model=transcript.model,
            log_file=record.log,
            source_run_id=record.id,
        )
        runs.append(_with_times(run, turn.began_at, turn.ended_at))
    return thread_id, runs


def _with_times(
    run: ForeignRun, began_at: datetime | None, ended_at: datetime | None
) -> ForeignRun:
    if began_at is None or ended_at is None:
        return run
    meta = {name: run.meta[name] for name in run.meta if name != UNKNOWN}
    ended_at = max(began_at, ended_at)
    return replace(run, started_at=began_at, ended_at=ended_at, meta=meta)


def _run_of_record(record: Record) -> list[ForeignRun]:
    """Make a run of what the record alone says: its log is gone, or empty."""
    answer, state = record.result, record.state
    if not (answer or record.text("last_prompt") or record.text("initial_prompt")):
        return []
    outcomes = {"STOPPED": Outcome.STOPPED, "DIED": Outcome.FAILED}
    outcome = outcomes.get(state or "", Outcome.LOST)
    if answer and state not in {"RUNNING", "DIED"}:
        outcome = Outcome.SUCCEEDED
    error = None if outcome is Outcome.SUCCEEDED else _NO_END
    run = _blank(record, 0, is_last=True)
    return [replace(run, outcome=outcome, error=error, answer=answer)]


def _blank(record: Record, number: int, *, is_last: bool) -> ForeignRun:
    """Make a run of which nothing is known but its place among the others."""
    started_at = record.created_at
    if number and is_last:
        started_at = record.ended_at
    ended_at = record.ended_at if is_last else record.created_at
    guesses = {"started_at": number > 0, "ended_at": not is_last}
    unknown: list[object] = [name for name, is_guess in guesses.items() if is_guess]
    rest = record.rest if is_last else {}
    return ForeignRun(
        number=number,
        prompt=None,
        events=None,
        outcome=Outcome.LOST,
        exit_code=None,
        error=None,
        answer=None,
        model=None,
        codex_version=None,
        sandbox=None,
        started_at=started_at,
        ended_at=ended_at,
        log_file=None,
        meta={**rest, UNKNOWN: unknown} if unknown else rest,
        source_run_id=None,
    )


def _completed(record: Record, runs: list[ForeignRun]) -> tuple[ForeignRun, ...]:
    """Give the first run and the last what only the record knows of them."""
    if not runs:
        return ()
    last = runs[-1]
    if last.outcome is Outcome.SUCCEEDED and last.answer is None:
        last = replace(last, answer=record.result)
    if last.prompt is None:
        last = replace(last, prompt=record.text("last_prompt"))
    runs = [*runs[:-1], last]
    if runs[0].prompt is None:
        runs[0] = replace(runs[0], prompt=record.text("initial_prompt"))
    return tuple(runs)
