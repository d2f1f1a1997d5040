from collections.abc import Callable
from pathlib import Path

from parsers.exec_events.summary import EventSummary
from runner.clock import iso
from runner.foreign import read_tasks
from runner.foreign.eventlines import event_lines
from runner.foreign.sources import History
from runner.model import Outcome
from runner.service.foreign_runs import verdict_of

NAMED = "0199d9c2-0000-7000-8000-00000000000a"
TASK = "0199d9c2-0000-7000-8000-000000000001"
TRANSCRIPT = f"""\
[2025-09-22T19:02:10] codex session {NAMED}
[2025-09-22T19:02:10] model: gpt-5-codex

[2025-09-22T19:02:11] User instructions:
look around
and tell

[2025-09-22T19:02:12] thinking
hmm
[2025-09-22T19:02:13] exec bash -lc 'ls -a' in /srv/code
[2025-09-22T19:02:14] bash -lc 'ls -a' exited 2 in 20ms:
README.md
[2025-09-22T19:02:15] codex
Nothing here.

Really.
[2025-09-22T19:02:16] tokens used: 1234
"""


def only(root: Path) -> History:
    (found,) = read_tasks(root)
    assert isinstance(found, History), found
    return found


def test_a_task_that_was_started_without_a_prompt_has_no_runs(
    tmp_path: Path, make_task: Callable[..., Path]
) -> None:
    make_task(None, state="IDLE", initial_prompt="", last_prompt=None, last_result=None)
    history = only(tmp_path)

    assert (history.kind, history.runs) == ("codex-tasks-fifo", ())
    assert history.session_id is None


def test_a_transcript_is_told_in_events(
    tmp_path: Path, make_task: Callable[..., Path]
) -> None:
    make_task(TRANSCRIPT.encode(), state="IDLE")
    history = only(tmp_path)
    (run,) = history.runs
    digest = EventSummary()
    digest.read_lines(event_lines(run))

    assert (history.kind, history.session_id) == ("codex-tasks-fifo", NAMED)
    assert (run.prompt, run.answer) == (
        "look around\nand tell",
        "Nothing here.\n\nReally.",
    )
    assert (verdict_of(run).outcome, run.model) == (Outcome.SUCCEEDED, "gpt-5-codex")
    assert iso(run.started_at) == "2025-09-22T19:02:11.000Z"
    assert iso(run.ended_at) == "2025-09-22T19:02:16.000Z"
    assert (digest.thread_id, digest.final_message) == (NAMED, run.answer)
    assert (digest.commands_run, digest.commands_failed) == (1, 1)
    assert run.source_run_id == TASK


def test_each_prompt_is_a_run_and_one_without_an_answer_is_lost(
    tmp_path: Path, make_task: Callable[..., Path]
) -> None:
    make_task(
        TRANSCRIPT.encode()
        + b"[2025-09-22T19:03:00] User instructions:\nand now?\n"
        + b"[2025-09-22T19:03:01] exec sleep 9 in /srv/code\n",
        state="RUNNING",
    )

    assert [verdict_of(run).outcome for run in only(tmp_path).runs] == [
        Outcome.SUCCEEDED,
        Outcome.LOST,
    ]


def test_an_error_as_the_last_word_is_a_failure(
    tmp_path: Path, make_task: Callable[..., Path]
) -> None:
    make_task(
        b"[2025-09-22T19:03:00] User instructions:\ngo\n"
        b"[2025-09-22T19:03:01] ERROR: 401 Unauthorized\n",
    )
    (run,) = only(tmp_path).runs

    verdict = verdict_of(run)
    assert verdict.outcome is Outcome.AUTH_FAILED
    assert verdict.error == "401 Unauthorized"


def test_a_thread_of_another_name_than_its_task_is_of_the_first_generation(
    tmp_path: Path, make_task: Callable[..., Path]
) -> None:
    make_task(b'{"type":"thread.started","thread_id":"%s"}\n' % NAMED.encode())
    history = only(tmp_path)

    assert (history.kind, history.session_id) == ("codex-tasks-fifo", NAMED)


def test_a_log_of_any_bytes_is_read(
    tmp_path: Path, make_task: Callable[..., Path]
) -> None:
    make_task(b"\xff\0[2025-99-99T99:99:99] user\n[" + b"\x1b" * 5000 + b"\r\n\n")

    assert only(tmp_path).kind == "codex-tasks-fifo"
