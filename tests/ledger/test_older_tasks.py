"""Tasks of the older `codex-tasks` are shown and found before they are imported."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.commands import rows_of

from runner.cli import codex_tasks, parse_codex_run
from runner.foreign import holders
from runner.foreign.holders import Holder, holder_of
from runner.ledger.ledger import Ledger
from runner.process.table import this_process
from runner.service import lookup

Json = dict[str, Any]
DONE = "0199d9c2-0000-7000-8000-000000000001"
DIED = "0199d9c2-1111-7000-8000-000000000002"
PUT_AWAY = "0199d9c2-2222-7000-8000-000000000003"
FIRST = "0199d9c2-3333-7000-8000-000000000004"
DAMAGED = "0199d9c2-4444-7000-8000-000000000005"
BUCKET = "archive/2025/10/21"
LONG = "a long answer. " * 2_000
TRANSCRIPT = """\
[2025-09-22T19:02:10] codex session {}
[2025-09-22T19:02:11] User instructions:
look around
[2025-09-22T19:02:15] codex
Nothing here.
"""


def lines(*events: Json) -> str:
    return "".join(f"{json.dumps(event)}\n" for event in events)


def turn(prompt: str, thread: str, answer: str | None) -> str:
    end: Json = {"type": "turn.failed", "error": {"message": "no luck"}}
    said: list[Json] = []
    if answer is not None:
        usage = {"input_tokens": 100, "output_tokens": 10}
        end = {"type": "turn.completed", "usage": usage}
        item = {"id": "item_0", "type": "agent_message", "text": answer}
        said = [{"type": "item.completed", "item": item}]
    begun = [{"type": "thread.started", "thread_id": thread}, {"type": "turn.started"}]
    return lines({"type": "user_message", "message": prompt}, *begun, *said, end)


@dataclass
class Tasks:
    """A state directory with tasks of both generations, and the command."""

    home: Path
    capfd: pytest.CaptureFixture[str]

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        self.capfd.readouterr()
        assert codex_tasks.main(words) == code, self.capfd.readouterr()
        return self.capfd.readouterr()

    def json(self, *words: str, code: int = 0) -> list[Json]:
        return rows_of(self(*words, "--json", code=code)[0])

    def states(self, *words: str) -> dict[str, str]:
        return {each["id"]: each["state"] for each in self.json("ls", *words)}

    def task(self, name: str, log: str, /, where: str = "", **fields: object) -> Path:
        place = self.home / where / name
        place.mkdir(parents=True)
        record = {
            "id": name,
            "title": f"Task {name[-1]}",
            "state": "STOPPED",
            "created_at": "2025-10-20T12:00:00.123456789+00:00",
            "updated_at": "2025-10-20T12:01:07.000000001+00:00",
            "working_dir": "/srv/code",
        }
        (place / "task.json").write_text(json.dumps(record | fields))
        (place / "task.log").write_text(log)
        return place

    def tree(self) -> dict[str, bytes]:
        paths = sorted(self.home.rglob("task.*"))
        return {str(path): path.read_bytes() for path in paths if path.is_file()}


@pytest.fixture
def tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Tasks:
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex-home"))
    monkeypatch.setattr(sys, "argv", ["codex-tasks"])
    made = Tasks(tmp_path / "state", capfd)
    both = turn("first", DONE, "one") + turn("second", DONE, LONG)
    made.task(DONE, both, last_prompt="second", last_result=LONG)
    made.task(DIED, turn("try", DIED, None), state="DIED")
    made.task(PUT_AWAY, turn("once", PUT_AWAY, "kept"), BUCKET, state="ARCHIVED")
    first = made.task(FIRST, TRANSCRIPT.format(FIRST), state="IDLE")
    os.mkfifo(first / "task.pipe")
    return made


def test_tasks_of_both_generations_are_listed(tasks: Tasks) -> None:
    before = tasks.tree()

    shown = tasks.states()

    assert shown == {DONE: "STOPPED", DIED: "DIED", FIRST: "STOPPED"}
    assert tasks.states("-a") == {**shown, PUT_AWAY: "ARCHIVED"}
    assert tasks.states("--state", "DIED,ARCHIVED") == {
        DIED: "DIED",
        PUT_AWAY: "ARCHIVED",
    }
    assert len(tasks.states("--limit", "2")) == 2
    assert tasks.tree() == before
    assert not (tasks.home / "runs").exists()


def test_the_import_is_named_once(tasks: Tasks) -> None:
    notes = [tasks("ls")[1], tasks("ls")[1], tasks("status", DONE)[1]]

    assert [note.count("codex-tasks import") for note in notes] == [1, 0, 0]


def test_an_older_task_is_shown_as_the_import_would_show_it(tasks: Tasks) -> None:
    words = ["status", DONE, DIED, PUT_AWAY, FIRST]
    before, results = tasks.json(*words), tasks("result", DONE)
    logs = {name: tasks("log", name)[0] for name in words[1:]}

    tasks("import")

    after = tasks.json(*words)
    for was, now in zip(before, after, strict=True):
        assert was.pop("directory") == str(next(tasks.home.rglob(was["id"])))
        assert now.pop("directory") is None
    assert before == after
    assert before[0]["usage"]["total_tokens"] == 220
    assert before[0]["last_result"] == LONG
    assert results == tasks("result", DONE)
    assert logs == {name: tasks("log", name)[0] for name in words[1:]}


@pytest.mark.parametrize("name", [DONE, DONE[:13], DONE.upper(), "Task 1"])
def test_an_older_task_is_found_as_any_other(tasks: Tasks, name: str) -> None:
    (found,) = tasks.json("status", name)
    (same,) = tasks.json("status", found["short_id"][:4])

    assert found["id"] == same["id"] == DONE


def test_what_names_several_or_no_older_task_is_refused(tasks: Tasks) -> None:
    assert "several tasks" in tasks("status", DONE[:8], code=2)[1]
    assert "no task" in tasks("status", "01a1f0", code=3)[1]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 99])
def test_the_last_lines_are_those_of_the_imported_log(tasks: Tasks, count: int) -> None:
    words = ["log", "-n", str(count), DONE]
    before = tasks(*words)[0]
    tasks("import")

    assert tasks(*words)[0] == before


def test_a_log_is_followed_to_its_end_at_once(tasks: Tasks) -> None:
    out, err = tasks("log", "-f", "--json", DONE)

    assert [*map(json.loads, out.splitlines())][-1]["type"] == "turn.completed"
    assert err.endswith(f"Task {DONE} is STOPPED; stopping log follow.\n")


def test_waiting_for_an_idle_task_returns_how_it_has_ended(tasks: Tasks) -> None:
    assert tasks.json("status", "--wait", DONE)[0]["state"] == "STOPPED"
    tasks("status", "--wait-any", DIED, code=1)
    tasks("status", "--wait", DONE, DIED, code=1)
    assert len(tasks.json("status", "-a")) == 4


def test_an_idle_task_is_archived_as_the_older_tool_did(tasks: Tasks) -> None:
    out, _ = tasks("archive", DONE)

    (place,) = tasks.home.glob(f"archive/2*/*/*/{DONE}")
    assert str(place) in out
    record = json.loads((place / "task.json").read_text())
    assert (record["state"], record["title"]) == ("ARCHIVED", "Task 1")
    assert tasks.states("-a")[DONE] == "ARCHIVED"
    assert "is already archived" in tasks("archive", DONE)[0]
    tasks("archive", "-a")
    assert tasks.states() == {}
    assert not (tasks.home / "runs").exists()


def test_what_is_changed_otherwise_is_imported_first(tasks: Tasks) -> None:
    tasks("unarchive", PUT_AWAY)

    assert tasks.states() == {
        DONE: "STOPPED",
        DIED: "DIED",
        FIRST: "STOPPED",
        PUT_AWAY: "STOPPED",
    }
    assert len([*(tasks.home / "runs").iterdir()]) == 1
    for name in (DIED, FIRST):
        assert f"stay in {tasks.home / name}\n" in tasks("rm", name)[1]
        assert name not in tasks.states("-a")


def test_a_task_of_another_home_is_not_resumed_in_this_one(
    tasks: Tasks, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    day = other / "sessions" / "2025" / "10" / "20"
    day.mkdir(parents=True)
    meta = {"type": "session_meta", "payload": {"id": DAMAGED, "cwd": "/srv/code"}}
    (day / f"rollout-2025-10-20T12-00-00-{DAMAGED}.jsonl").write_text(lines(meta))
    log = turn("there", DAMAGED, "done")
    place = tasks.task(DAMAGED, log, config_path=str(other / "config.toml"))

    _, err = tasks("send", DAMAGED, "more", code=1)

    fix = f"codex-tasks import {place} {other}"
    assert err.splitlines()[-1] == f"fix:   {fix}"
    assert not (tasks.home / "runs").exists()
    tasks("import", str(place), str(other))
    ledger = Ledger(tasks.home)
    assert lookup.find(DAMAGED, ledger).home == str(other)
    ledger.close()


def test_usage_says_what_it_does_not_count(tasks: Tasks) -> None:
    before = tasks("usage")[1]
    tasks("import")

    assert "tasks of an older tool are not counted: codex-tasks import" in before
    assert tasks("usage")[1] == ""


def test_parse_codex_run_summarises_an_older_task(tasks: Tasks) -> None:
    tasks.capfd.readouterr()
    assert parse_codex_run.main([DONE, "Task 2"]) == 0
    done, died = tasks.capfd.readouterr().out.splitlines()

    assert done.startswith("OK ")
    assert "110 tok" in done
    assert died.startswith("FAIL ")


def test_a_task_without_a_prompt_is_named(tasks: Tasks) -> None:
    place = tasks.task(DAMAGED, "", state="IDLE")

    assert f"not listed: {place}: it has no prompts" in tasks("ls")[1]


def test_a_damaged_task_is_named_and_hides_no_other(tasks: Tasks) -> None:
    place = tasks.task(DAMAGED, "")
    (place / "task.json").write_text("{")

    out, err = tasks("ls")

    assert len(out.splitlines()) == 3
    assert f"not listed: {place}: task.json: it holds no JSON object" in err
    tasks("status", DAMAGED, code=3)


def test_nothing_is_imported_that_is_running(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs_as(monkeypatch, tasks.home / DONE, "exec", "--output-last-message", "x")
    state = json.loads((tasks.home / DONE / "task.json").read_text())
    (tasks.home / DONE / "task.json").write_text(json.dumps(state | {"state": "DIED"}))

    assert tasks.states()[DONE] == "RUNNING"
    for words in (["archive", DONE], ["rm", DONE], ["send", DONE, "more"]):
        _, err = tasks(*words, code=75)
        error, fix = err.splitlines()
        assert error.endswith(f"another program writes it, pid {os.getpid()}")
        assert fix.startswith("fix:   codex-tasks status --wait ")
    assert f"running (pid {os.getpid()}): import it after" in tasks("import", code=1)[1]
    assert tasks("archive", "-a")[0].startswith(f"Skipping task {DONE} (RUNNING).")
    tasks("status", "--wait", "--timeout", "0.2", DONE, code=124)
    (status,) = tasks.json("status", DONE)
    assert (status["pid"], status["unknown"]) == (os.getpid(), None)


# Which process is the task's own


def runs_as(
    monkeypatch: pytest.MonkeyPatch, place: Path, *words: str, late: float = 0
) -> Path:
    """Let this process be the one that `task.pid` names."""
    monkeypatch.setattr(holders, "arguments_of", lambda _: list(words))
    path = place / "task.pid"
    path.write_text(str(os.getpid()))
    at = path.stat().st_mtime - late
    os.utime(path, (at, at))
    monkeypatch.setattr(holders, "started_at", lambda _: at + late)
    return place


CODEX = ("codex", "exec", "--json", "--output-last-message", "/x/.tmp1", "do it")
WORKER = ("codex-tasks", "worker", "--store-root", "/x")
OWN, OTHERS, UNKNOWN = "own", "another program's", "unknown"


@pytest.mark.parametrize(
    ("words", "late", "whose"),
    [
        (CODEX, 0, OWN),
        (CODEX, -60, OWN),
        (("node", "/usr/bin/codex", *CODEX[1:]), 1, OWN),
        (WORKER, -1, OWN),
        # A pid that was reused, a clock that was set, a program in Codex's place.
        (CODEX, 60, UNKNOWN),
        (CODEX, -3600, UNKNOWN),
        (("codex", "exec", "--json", "--cd", "/srv", "-"), -1, UNKNOWN),
        ((), 0, UNKNOWN),
        (("celery", "worker"), 60, OTHERS),
        (("vim", "notes"), -3600, OTHERS),
        ((), 60, OTHERS),
    ],
)
def test_a_process_is_the_tasks_own_by_its_start_and_its_arguments(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    late: float,
    whose: str,
) -> None:
    found = holder_of(runs_as(monkeypatch, tmp_path, *words, late=late))

    if whose == OTHERS:
        assert found is None
    else:
        assert found is not None
        assert found.process == this_process()
        assert (found.doubt is None) is (whose == OWN)


def test_no_signal_is_sent_to_what_may_be_another_program(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = runs_as(monkeypatch, tasks.home / DIED, *CODEX, late=60)
    record = (place / "task.json").read_text()

    for words in (["stop", DIED], ["stop", "-a"]):
        _, err = tasks(*words, code=1)
        assert f"process {os.getpid()} may be another program's" in err
        assert f"codex-tasks stop --gone {DIED}" in err

    assert (place / "task.json").read_text() == record
    (status,) = tasks.json("status", DIED)
    assert status["state"] == "RUNNING"
    assert "may be another program's" in status["unknown"]
    assert "stopped." in tasks("stop", "--gone", DIED)[0]
    assert not (place / "task.pid").exists()
    assert "nothing to stop" in tasks("stop", DIED)[0]


def test_a_pid_file_that_is_no_file_names_no_process(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "task.pid")

    assert holder_of(tmp_path) is None


def test_an_ended_process_is_not_alive() -> None:
    process = this_process()
    gone = type(process)(pid=process.pid, start_time=1, boot_id=process.boot_id)

    assert Holder(process=process).is_alive
    assert not Holder(process=gone).is_alive
    assert Holder(process=gone, worker=process).is_alive


def test_nothing_is_loaded_where_no_older_task_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tasks: Tasks
) -> None:
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(tmp_path / "new"))
    for name in ("runner.service.older", "runner.service.older_log"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    tasks("ls", "-a")
    tasks("status", "-A")

    assert "runner.service.older" not in sys.modules


def test_two_directories_of_one_thread_are_one_task(tasks: Tasks) -> None:
    twin = "0199d9c2-5555-7000-8000-000000000006"
    tasks.task(twin, TRANSCRIPT.format(DONE), state="IDLE")

    assert twin not in tasks.states()
    assert len(tasks.states()) == 3
