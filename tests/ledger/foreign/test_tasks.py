import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.clock import iso
from runner.foreign import holders, read_tasks
from runner.foreign.eventlines import event_lines
from runner.foreign.sources import History, Unreadable
from runner.model import Outcome
from runner.service.foreign_runs import verdict_of

THREAD = "0199d9c2-0000-7000-8000-000000000001"
OTHER = "0199d9c2-0000-7000-8000-000000000002"
MakeTask = Callable[..., Path]


def said(text: str, **more: str) -> str:
    return json.dumps({"type": "user_message", "message": text, **more})


def started(thread_id: str = THREAD) -> str:
    return json.dumps({"type": "thread.started", "thread_id": thread_id})


def answer(text: str) -> str:
    item = {"id": "item_0", "type": "agent_message", "text": text}
    return json.dumps({"type": "item.completed", "item": item})


def stderr(text: str) -> str:
    return json.dumps({"type": "stderr", "message": text})


COMPLETED = '{"type": "turn.completed", "usage": {"input_tokens": 9}}'
FAILED = '{"type":"turn.failed","error":{"message":"You’ve hit your usage limit."}}'


def log(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def only(root: Path) -> History:
    (found,) = read_tasks(root)
    assert isinstance(found, History), found
    return found


def refusals(root: Path) -> dict[str, str]:
    found = list(read_tasks(root))
    assert all(isinstance(each, Unreadable) for each in found), found
    return {
        each.source.name: each.reason for each in found if isinstance(each, Unreadable)
    }


def test_a_task_becomes_a_history_with_its_run(
    tmp_path: Path, make_task: MakeTask
) -> None:
    directory = make_task(log(said("first"), started(), answer("hi"), COMPLETED))
    history = only(tmp_path)
    (run,) = history.runs

    assert (history.session_id, history.title) == (THREAD, "Investigate bug")
    assert (history.kind, history.source) == ("codex-tasks", directory)
    assert history.working_dir == "/srv/code"
    assert history.archived_at is None
    assert (run.number, run.prompt, run.answer) == (0, "first", "hi")
    assert verdict_of(run).outcome is Outcome.SUCCEEDED
    assert run.exit_code is None
    assert iso(run.started_at) == "2025-10-20T12:00:00.123Z"
    assert iso(run.ended_at) == "2025-10-20T12:01:07.000Z"
    assert run.is_dated


def test_a_log_is_split_where_a_prompt_was_sent(
    tmp_path: Path, make_task: MakeTask
) -> None:
    make_task(
        log(
            *(said("first"), started(), answer("one"), COMPLETED),
            *(said("again"), stderr("a note"), started(), answer("two"), FAILED),
        ),
        state="DIED",
    )
    first, second = only(tmp_path).runs

    assert (first.prompt, first.answer) == ("first", "one")
    assert verdict_of(first).outcome is Outcome.SUCCEEDED
    assert (second.prompt, second.answer) == ("again", "two")
    assert verdict_of(second).outcome is Outcome.USAGE_LIMITED
    assert second.stderr == ("a note",)
    assert (first.is_dated, second.is_dated) == (False, False)


def test_the_events_of_each_run_can_be_read_without_the_old_tools_own_lines(
    tmp_path: Path, make_task: MakeTask
) -> None:
    make_task(
        log(
            *(said("first"), started(), stderr("late"), answer("one"), COMPLETED),
            *(said("again"), started(), "no json", answer("two")),
        )
    )
    first, second = only(tmp_path).runs

    assert b"".join(event_lines(first)) == log(started(), answer("one"), COMPLETED)
    assert b"".join(event_lines(second)) == log(started(), answer("two"))


def test_an_unfinished_last_line_is_kept_as_it_is(
    tmp_path: Path, make_task: MakeTask
) -> None:
    make_task(log(said("first"), started()) + COMPLETED.encode())
    (run,) = only(tmp_path).runs

    assert verdict_of(run).outcome is Outcome.SUCCEEDED
    kept = log(started(), COMPLETED)
    assert b"".join(event_lines(run))[: len(kept)] == kept


def test_a_message_that_codex_was_given_besides_begins_no_run(
    tmp_path: Path, make_task: MakeTask
) -> None:
    injected = said("<environment_context>…", kind="environment_context")
    make_task(log(injected, said("first"), injected, started(), COMPLETED))
    (run,) = only(tmp_path).runs

    assert run.prompt == "first"


def test_a_prompt_that_looks_injected_is_none(
    tmp_path: Path, make_task: MakeTask
) -> None:
    odd = said("<environment_context> is what?", kind="environment_context")
    make_task(log(said("first"), started(), odd, started(), COMPLETED))

    assert [run.prompt for run in only(tmp_path).runs] == ["first", "first"]


def test_a_run_that_codex_refused_is_a_run_with_its_last_words(
    tmp_path: Path, make_task: MakeTask
) -> None:
    make_task(
        log(
            *(said("first"), started(), COMPLETED),
            *(said("again"), stderr("Not inside a trusted directory")),
        ),
        state="DIED",
    )
    run = only(tmp_path).runs[-1]

    verdict = verdict_of(run)
    assert (run.events, verdict.outcome) == (None, Outcome.FAILED)
    assert verdict.error == "Not inside a trusted directory"


@pytest.mark.parametrize(
    ("state", "result", "outcome"),
    [
        ("STOPPED", "answer", Outcome.SUCCEEDED),
        ("STOPPED", "", Outcome.STOPPED),
        ("DIED", "", Outcome.FAILED),
        ("RUNNING", "an older answer", Outcome.LOST),
        ("ARCHIVED", "", Outcome.LOST),
        ("NEVER HEARD OF", "", Outcome.LOST),
        (None, "", Outcome.LOST),
    ],
)
def test_without_a_terminal_event_the_state_is_asked(
    tmp_path: Path,
    make_task: MakeTask,
    state: str | None,
    result: str,
    outcome: Outcome,
) -> None:
    make_task(log(said("first"), started()), state=state, last_result=result)
    (run,) = only(tmp_path).runs

    verdict = verdict_of(run)
    assert verdict.outcome is outcome
    assert (verdict.error is None) is (outcome is Outcome.SUCCEEDED)


def test_the_log_goes_before_the_stored_state(
    tmp_path: Path, make_task: MakeTask
) -> None:
    make_task(log(said("first"), started(), COMPLETED), state="RUNNING")

    assert verdict_of(only(tmp_path).runs[0]).outcome is Outcome.SUCCEEDED


def test_a_task_without_a_log_is_told_from_its_record(
    tmp_path: Path, make_task: MakeTask
) -> None:
    make_task(None)
    (run,) = only(tmp_path).runs

    assert (run.prompt, run.answer) == ("first", "answer")
    assert (verdict_of(run).outcome, run.events) == (Outcome.SUCCEEDED, None)
    assert b"".join(event_lines(run)).endswith(b'{"type":"turn.completed"}\n')


def test_an_archived_task_is_found_in_its_bucket(
    tmp_path: Path, make_task: MakeTask
) -> None:
    make_task(log(started()), f"archive/2025/10/21/{THREAD}", state="ARCHIVED")
    history = only(tmp_path)

    assert history.session_id == THREAD
    assert history.archived_at == history.updated_at


def test_what_still_runs_has_a_holder(
    tmp_path: Path, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["codex", "exec", "--output-last-message", "x"]
    monkeypatch.setattr(holders, "arguments_of", lambda _: words)
    make_task(
        log(said("first"), started()) + b"{", state="RUNNING", pid=f"{os.getpid()}"
    )

    found = only(tmp_path)

    assert found.holder is not None
    assert found.holder.process.pid == os.getpid()
    # The last line is still being written.
    assert found.read_to == len(log(said("first"), started()))


@pytest.mark.parametrize("pid", ["", "no pid", "0", "-1", "2147483647", "9" * 5000])
def test_a_pid_file_without_a_process_is_not_believed(
    tmp_path: Path, make_task: MakeTask, pid: str
) -> None:
    make_task(log(started(), COMPLETED), state="RUNNING", pid=pid)

    assert verdict_of(only(tmp_path).runs[0]).outcome is Outcome.SUCCEEDED


def test_our_own_things_and_leftovers_are_left_out(
    tmp_path: Path, make_task: MakeTask
) -> None:
    make_task(log(started()), runs=[])
    for name in ("runs", "queue", ".tmpAbCdEf", "backup", "archive/2025/odd"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("ledger.db", "runs.db-wal", "prices.toml", ".tmpXyZ", "notes.txt"):
        (tmp_path / name).touch()

    assert list(read_tasks(tmp_path)) == []


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000],
)
def test_a_record_that_is_none_is_named(
    tmp_path: Path, make_task: MakeTask, record: bytes
) -> None:
    directory = make_task(None)
    (directory / "task.json").write_bytes(record)

    assert refusals(tmp_path)[THREAD].startswith("task.json: it holds no JSON object")


@pytest.mark.parametrize("value", [None, 7, [], {}, True, "\ud800", "x\0y", 1e400])
def test_fields_of_a_wrong_type_do_no_harm(
    tmp_path: Path, make_task: MakeTask, value: object
) -> None:
    names = ("title", "state", "created_at", "updated_at", "last_result", "extra")
    make_task(
        json.dumps({"type": "user_message", "message": value, "kind": value}).encode(),
        **dict.fromkeys(names, value),
        working_dir=value,
        initial_prompt=value,
    )
    history = only(tmp_path)

    assert history.session_id == THREAD
    for run in history.runs:
        assert all(text is None or text.encode() for text in (run.prompt, run.answer))


def test_links_that_lead_in_a_circle_and_pipes_are_only_named(
    tmp_path: Path, make_task: MakeTask
) -> None:
    (tmp_path / OTHER).symlink_to(tmp_path / OTHER)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/2025").symlink_to(tmp_path / "archive")
    directory = make_task(None)
    os.mkfifo(directory / "task.log")
    reasons = refusals(tmp_path)

    assert reasons[THREAD] == "task.log: it is not a regular file"
    assert reasons[OTHER].startswith("task.json: ")


def test_what_may_not_be_read_is_named(
    tmp_path: Path, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(log(started()))
    opened = os.open

    def refuse(path: Path, flags: int) -> int:
        if path.name == "task.log":  # root, who may run the tests, may read everything
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refuse)

    assert refusals(tmp_path) == {THREAD: "task.log: Permission denied"}


def test_a_root_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusals(tmp_path / "nowhere") == {"nowhere": "No such file or directory"}


def test_the_source_is_not_changed(tmp_path: Path, make_task: MakeTask) -> None:
    make_task(log(said("first"), started()), state="RUNNING", pid="2147483647")

    def state() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = state()
    list(read_tasks(tmp_path))

    assert state() == before
