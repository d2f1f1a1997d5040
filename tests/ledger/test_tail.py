"""The transcript holds all that Codex has written, whatever the size of a line."""

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support.runs import SESSION, spec

from runner.run_files import RunFiles, files_of
from runner.tail import RunTail, reconnecting

HUGE = 20_000_000
ANSWER = "It is done."


def line(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}) + "\n"


def item(number: int, kind: str, **fields: object) -> str:
    found = {"id": f"item_{number}", "type": kind, **fields}
    return line("item.completed", item=found)


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    files = files_of(spec(directory=str(tmp_path)))
    files.events.touch()
    files.stderr.touch()
    return files


@pytest.mark.parametrize("stream", ["events", "stderr"])
@pytest.mark.parametrize("was_read", [False, True])
def test_the_answer_after_a_huge_line_is_in_the_transcript(
    files: RunFiles, stream: str, *, was_read: bool
) -> None:
    huge = item(
        1,
        "command_execution",
        command="cat",
        aggregated_output="x" * HUGE if stream == "events" else "x",
        exit_code=0,
        status="completed",
    )
    begin = line("thread.started", thread_id=SESSION) + line("turn.started")
    answer = item(2, "agent_message", text=ANSWER)
    files.events.write_text(begin + huge + answer + line("turn.completed", usage=None))
    if stream == "stderr":
        files.stderr.write_text("x" * HUGE + "\nlast words\n")
    tail = RunTail(files)

    text = tail.read().text if was_read else ""
    text += "".join(appended.text for appended in tail.finish())

    assert ANSWER in text
    assert "unreadable" not in text
    assert ("last words" in text) == (stream == "stderr")
    assert tail.summary.thread_id == SESSION
    assert tail.summary.warnings == {}


def test_what_comes_after_a_file_was_emptied_is_read_from_its_beginning(
    files: RunFiles,
) -> None:
    files.events.write_text(line("turn.started") + '{"a fragment of')
    tail = RunTail(files)
    tail.read()
    files.events.write_text("")
    answer = item(1, "agent_message", text=ANSWER)
    files.events.write_text(answer[:20])

    text = tail.read().text
    files.events.write_text(answer)
    text += "".join(appended.text for appended in tail.finish())

    assert ANSWER in text
    assert "unreadable" not in text
    assert tail.summary.warnings == {}


def test_what_was_read_of_a_line_that_does_not_fit_into_memory_is_given_up(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = item(1, "agent_message", text=ANSWER)
    files.events.write_text(line("thread.started", thread_id=SESSION) + "a huge ")
    tail = RunTail(files)
    tail.read()

    def refuse(*_: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(os, "read", refuse)
    with pytest.raises(MemoryError):
        tail.read()
    monkeypatch.undo()
    with files.events.open("a") as stream:
        stream.write("line\n" + answer)

    text = tail.read().text
    assert "a huge" not in text
    assert ANSWER in text
    assert tail.summary.thread_id == SESSION
    assert tail.summary.final_message == ANSWER


def test_only_a_recent_reconnect_message_that_is_the_last_event_is_told(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events"
    lost = b'{"type":"error","message":"Reconnecting... waiting for network (x)"}\n'
    path.write_bytes(b'{"type":"turn.started"}\n' + lost + b'{"type":"it')

    assert reconnecting(path) == "Reconnecting... waiting for network (x)"

    path.write_bytes(lost + b'{"type":"turn.started"}\n')
    assert reconnecting(path) is None
    path.write_bytes(lost)
    os.utime(path, (0, 0))
    assert reconnecting(path) is None
    assert reconnecting(tmp_path / "none") is None
