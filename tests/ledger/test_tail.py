"""The transcript holds all that Codex has written, whatever the size of a line."""

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
from support.runs import SESSION, spec

from runner.run_files import RunFiles, files_of
from runner.tail import RunTail, doing

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


def test_what_codex_does_is_told_from_the_end_of_its_events(tmp_path: Path) -> None:
    path = tmp_path / "events"
    lost = b'{"type":"error","message":"Reconnecting... waiting for network (x)"}\n'
    item = b'{"type":"item.%s","item":{"id":"%d","type":"command_execution",'
    command = item + b'"command":"make test","status":"in_progress"}}\n'

    def told(*lines: bytes) -> tuple[str, str | None]:
        path.write_bytes(b"".join(lines) + b'{"type":"it')
        now = doing(path)
        return now.word, now.text

    turn, begun, over = (
        b'{"type":"turn.started"}\n',
        command % (b"started", 1),
        command % (b"completed", 1),
    )
    assert told() == told(turn) == told(lost, turn) == ("thinking", None)
    assert told(turn, lost) == (
        "reconnecting",
        "Reconnecting... waiting for network (x)",
    )
    assert told(turn, begun) == ("command", "make test")
    assert told(turn, begun, over) == ("thinking", None)
    second = command % (b"started", 2)
    assert told(turn, begun, second, command % (b"completed", 2))[0] == "command"


LOST = b'{"type":"error","message":"Reconnecting... 1/5 (x)"}\n'
SAID = b'{"type":"item.completed","item":{"type":"agent_message","text":"x"}}\n'
NOTE = b'{"type":"item.completed","item":{"type":"error","message":"transport"}}\n'


@pytest.mark.parametrize("begin", [b"", SAID])
def test_it_reconnects_until_an_event_shows_that_the_model_was_reached(
    tmp_path: Path, begin: bytes
) -> None:
    path = tmp_path / "events"
    path.write_bytes(begin + LOST * 2 + NOTE + LOST)
    os.utime(path, (0, 0))

    now = doing(path)
    assert (now.word, now.tries, now.begin) == ("reconnecting", 3, len(begin))
    assert now.is_early == (not begin)
    path.write_bytes(begin + LOST * 3 + SAID)
    assert doing(path).word == "thinking"
    assert doing(tmp_path / "none").word == "thinking"
