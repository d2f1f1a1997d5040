"""`codex-agent migrate` imports the jobs of the older tool and leaves its files."""

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.cli import codex_agent, codex_tasks
from runner.foreign.holders import Holder, JobProcesses
from runner.process.table import this_process

Json = dict[str, Any]
THREAD = "0199d9c2-0000-7000-8000-000000000001"
DONE, KILLED, ZERO, EXEC, FAILED = (
    "3f9a1c07",
    "4f9a1c07",
    "0f9a1c07",
    "5f9a1c07",
    "6f9a1c07",
)
END = 'Script done on 2026-03-01 [COMMAND_EXIT_CODE="0"]\n'


def lines(*events: Json) -> str:
    return "".join(f"{json.dumps(event)}\n" for event in events)


def exec_log(*ends: Json) -> str:
    item = {"id": "item_0", "type": "agent_message", "text": "It is done."}
    begin = [{"type": "thread.started", "thread_id": THREAD}, {"type": "turn.started"}]
    return "Reading prompt from stdin...\n" + lines(
        *begin, {"type": "item.completed", "item": item}, *ends
    )


COMPLETED = {"type": "turn.completed", "usage": {"input_tokens": 9, "output_tokens": 1}}


@dataclass
class Agents:
    """The directory of the older tool, a state directory, and the command."""

    home: Path
    capfd: pytest.CaptureFixture[str]
    state: Path = field(init=False)
    jobs: Path = field(init=False)

    def __post_init__(self) -> None:
        self.state, self.jobs = self.home / "state", self.home / ".codex-agent" / "jobs"
        self.jobs.mkdir(parents=True)

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        self.capfd.readouterr()
        assert codex_agent.main(words) == code, self.capfd.readouterr()
        return self.capfd.readouterr()

    def json(self, *words: str, code: int = 0) -> Json:
        found: Json = json.loads(self(*words, "--json", code=code)[0])
        return found

    def listed(self) -> dict[str, str]:
        return {each["id"]: each["status"] for each in self.json("jobs")["jobs"]}

    def job(self, name: str, log: str | None = None, **more: object) -> None:
        record = record_of(name, **more)
        (self.jobs / f"{name}.json").write_text(json.dumps(record, indent=2))
        (self.jobs / f"{name}.prompt").write_text(f"Do {name}, whole.")
        if log is not None:
            (self.jobs / f"{name}.log").write_text(log)

    def rows(self, *jobs: Json) -> None:
        path = self.jobs.parent / "codex-agent.db"
        with closing(sqlite3.connect(path)) as db:
            db.execute("pragma journal_mode = wal")
            names = ", ".join(jobs[0])
            db.execute(f"create table jobs ({names})")
            for each in jobs:
                values = ", ".join("?" * len(each))
                db.execute(f"insert into jobs values ({values})", [*each.values()])  # noqa: S608 - ours
            db.commit()

    def tree(self) -> dict[str, tuple[bytes, int]]:
        paths = sorted((self.home / ".codex-agent").rglob("*"))
        found = [path for path in paths if path.is_file()]
        return {
            f"{each}": (each.read_bytes(), each.stat().st_mtime_ns) for each in found
        }


def record_of(name: str, **more: object) -> Json:
    record: Json = {
        "id": name,
        "status": "completed",
        "prompt": f"Do {name}",
        "model": "gpt-5.4",
        "reasoningEffort": "high",
        "sandbox": "danger-full-access",
        "parentSessionId": "parent-1",
        "cwd": "/srv/code",
        "createdAt": "2026-03-01T10:00:00.000Z",
        "startedAt": "2026-03-01T10:00:01.000Z",
        "completedAt": "2026-03-01T10:05:00.000Z",
        **more,
    }
    return {key: value for key, value in record.items() if value is not None}


def turn(answer: str) -> Json:
    return {
        "turnCount": 1,
        "lastTurnCompletedAt": "2026-03-01T10:04:00.000Z",
        "lastAgentMessage": answer,
        "turnState": "idle",
    }


@pytest.fixture
def agents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Agents:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CODEX_RUNNER_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex-home"))
    monkeypatch.delenv("CODEX_AGENT_STORAGE", raising=False)
    return Agents(tmp_path, capfd)


@pytest.fixture
def both(agents: Agents) -> Agents:
    """Make jobs of both generations."""
    agents.job(DONE, "Script started\n" + END, **turn("All good."))
    agents.job(KILLED, status="failed", error="Killed by user")
    agents.job(EXEC, exec_log(COMPLETED), runner="spawn", exitCode=0)
    failed = {"type": "turn.failed", "error": {"message": "no luck"}}
    agents.job(FAILED, exec_log(failed).replace("c2-", "c3-"), exitCode=0)
    return agents


def test_jobs_of_both_generations_are_imported_with_their_ids(both: Agents) -> None:
    before = both.tree()

    told = both.json("migrate")

    assert {each["id"] for each in told["imported"]} == {DONE, KILLED, EXEC, FAILED}
    assert both.listed() == {
        DONE: "completed",
        EXEC: "completed",
        KILLED: "failed",
        FAILED: "failed",
    }
    rows = {each["id"]: each for each in both.json("jobs")["jobs"]}
    assert rows[DONE]["summary"] == "All good."
    assert rows[EXEC]["usage"] == {"total_tokens": 10}
    assert (rows[FAILED]["error"], rows[FAILED]["outcome"]) == ("no luck", "failed")
    assert (rows[KILLED]["outcome"], rows[KILLED]["error"]) == (
        *("stopped", "Killed by user"),
    )
    assert {each["reasoning"] for each in rows.values()} == {"high"}
    assert {each["parent_session"] for each in rows.values()} == {"parent-1"}
    assert rows[DONE]["prompt"] == f"Do {DONE}, whole."
    assert both("output", DONE)[0].count("All good.") == 1
    assert both.tree() == before


def test_a_second_migrate_imports_nothing_and_counts_nothing_twice(
    both: Agents,
) -> None:
    both("migrate")
    used = codex_total(both)

    told = both.json("migrate")

    assert (told["imported"], len(told["present"]), told["copies"]) == ([], 4, [])
    assert codex_total(both) == used
    assert "migrated 0 new jobs (4 present" in both("migrate")[1]


def codex_total(agents: Agents) -> object:
    agents.capfd.readouterr()
    assert codex_tasks.main(["usage", "--json"]) == 0
    return json.loads(agents.capfd.readouterr().out)


def test_a_trial_writes_nothing(both: Agents) -> None:
    said, notes = both("migrate", "--dry-run")

    assert sorted(said.split()) == sorted([DONE, KILLED, EXEC, FAILED])
    assert "would migrate 4 new jobs" in notes
    assert not both.state.exists()


def test_ledger_and_files_are_copied_before(both: Agents) -> None:
    both("jobs")
    both.rows(
        {"id": "7f9a1c07", "status": "pending", "created_at": "2026-03-01T10:00Z"}
    )

    (place,) = both.json("migrate")["copies"]

    with closing(sqlite3.connect(f"file:{place}/ledger.db?mode=ro", uri=True)) as db:
        assert db.execute("select count(*) from sessions").fetchone() == (0,)
    for name, (text, _) in both.tree().items():
        assert (
            Path(place) / os.path.relpath(name, both.jobs.parent)
        ).read_bytes() == text
    assert Path(place).stat().st_mode & 0o777 == 0o700


def test_an_id_that_cannot_be_kept_is_found_all_the_same(agents: Agents) -> None:
    agents.job(ZERO, **turn("Zero."))
    (told,) = agents.json("migrate")["imported"]

    assert told["id"] != ZERO
    assert agents.json("status", ZERO)["job"]["id"] == told["id"]
    assert f"Job: {told['id']}" in agents("status", ZERO)[0]


def test_the_turns_of_a_thread_that_is_on_record_are_not_counted_twice(
    agents: Agents, tmp_path: Path
) -> None:
    rollout(tmp_path, "first", "second")
    assert codex_tasks.main(["import", "--all-originators"]) == 0
    used = codex_total(agents)
    agents.job(DONE, f"session id: {THREAD}\n{END}", **turn("All good."))

    (told,) = agents.json("migrate")["imported"]

    assert codex_total(agents) == used
    assert agents.json("status", DONE)["job"]["id"] == told["id"]
    assert agents.json("status", DONE)["job"]["turns"] == 2


def test_a_job_with_a_rollout_has_its_turns_and_a_later_import_adds_none(
    agents: Agents, tmp_path: Path
) -> None:
    rollout(tmp_path, "first", "second")
    log = f"\x1b[1msession id:\x1b[0m {THREAD}\n{END}"
    agents.job(DONE, log, **turn("All good."))
    agents("migrate")
    used = codex_total(agents)

    assert agents.json("status", DONE)["job"]["turns"] == 2
    assert agents.json("status", DONE)["job"]["session_id"] == THREAD
    assert codex_tasks.main(["import", "--all-originators"]) == 0
    assert codex_total(agents) == used
    assert agents.json("migrate")["imported"] == []


def test_a_thread_of_another_directory_is_not_that_of_the_job(
    agents: Agents, tmp_path: Path
) -> None:
    rollout(tmp_path, "first")
    log = f"session id: {THREAD}\n{END}"
    agents.job(DONE, log, cwd="/srv/other", **turn("All good."))

    agents("migrate")

    assert agents.json("status", DONE)["job"]["session_id"] is None


def rollout(place: Path, *prompts: str) -> None:
    """Write the rollout of a thread that was used in a terminal."""
    at = "2026-03-01T10:00:01.000Z"
    meta = {"id": THREAD, "timestamp": at, "cwd": "/srv/code", "cli_version": "0.145.0"}
    records: list[Json] = [
        {"type": "session_meta", "payload": {**meta, "originator": "codex-tui"}}
    ]
    for number, prompt in enumerate(prompts, 1):
        spent = {"input_tokens": 10 * number, "output_tokens": number}
        usage = {**spent, "cached_input_tokens": 0, "reasoning_output_tokens": 0}
        total = {"total_token_usage": {**usage, "total_tokens": 11 * number}}
        records += [
            {"type": "event_msg", "payload": payload}
            for payload in (
                {"type": "task_started", "turn_id": f"turn-{number}"},
                {"type": "user_message", "message": prompt},
                {"type": "token_count", "info": total},
                {"type": "agent_message", "message": f"answer to {prompt}"},
                {"type": "task_complete", "turn_id": f"turn-{number}"},
            )
        ]
    day = place / "codex-home" / "sessions" / "2026" / "03" / "01"
    day.mkdir(parents=True)
    path = day / f"rollout-2026-03-01T10-00-01-{THREAD}.jsonl"
    path.write_text(lines(*({"timestamp": at, **each} for each in records)))


def test_what_has_no_end_on_record_is_not_completed(agents: Agents) -> None:
    agents.job(DONE, "Script started\nthe screen", result="the screen")
    agents.job(EXEC, exec_log(), exitCode=0)
    agents.job(KILLED, status="running", completedAt=None)
    agents.job(FAILED, status="pending", startedAt=None, completedAt=None)

    agents("migrate")

    rows = {each["id"]: each for each in agents.json("jobs")["jobs"]}
    assert {each["status"] for each in rows.values()} == {"failed"}
    assert {name: each["outcome"] for name, each in rows.items()} == {
        DONE: "lost",
        EXEC: "lost",
        KILLED: "lost",
        FAILED: "not_started",
    }


def test_a_job_whose_context_was_full_is_told_as_one(agents: Agents) -> None:
    error = "Codex ran out of room in the model's context window"
    agents.job(DONE, status="failed", turnState="context_limit", error=error)

    agents("migrate")

    told = agents.json("status", DONE)["job"]
    assert (told["turn_state"], told["error"]) == ("context_limit", error)


def test_of_the_file_and_the_row_the_newer_one_counts(agents: Agents) -> None:
    agents.job(DONE, **turn("the file"))
    row = {
        "id": DONE,
        "status": "failed",
        "error": "the row",
        "created_at": "2026-03-01T10:00:00.000Z",
        "started_at": "2026-03-01T10:00:01.000Z",
        "updated_at": "2036-03-01T10:00:01.000Z",
        "enrichment_json": None,
    }
    other = {**row, "id": EXEC, "updated_at": "2001-01-01T00:00:00.000Z"}
    agents.job(EXEC, **turn("the file"))
    alone = {**row, "id": FAILED, "error": "only a row"}
    agents.rows(row, other, alone)

    agents("migrate")

    rows = {each["id"]: each for each in agents.json("jobs")["jobs"]}
    assert rows[DONE]["error"] == "the row"
    assert rows[EXEC]["summary"] == "the file"
    assert rows[FAILED]["error"] == "only a row"


def test_a_damaged_file_harms_itself_alone_and_is_named(both: Agents) -> None:
    text = (both.jobs / f"{DONE}.json").read_bytes()
    (both.jobs / "index.json").write_text("{")
    (both.jobs / "a1b2c3d4.log").write_text("x")
    (both.jobs / "b1b2c3d4.json").symlink_to("/etc/hostname")
    (both.jobs / "c1b2c3d4.json").write_text(json.dumps({"id": "other"}))
    (both.jobs.parent / "codex-agent.db").write_bytes(b"no database" * 100)

    for size in range(0, len(text), 97):
        (both.jobs / f"{DONE}.json").write_bytes(text[:size])
        told = both.json("migrate", "--dry-run", code=1)

        assert {each["older"] for each in told["imported"]} == {KILLED, EXEC, FAILED}
        named = {Path(each["source"]).name for each in told["unreadable"]}
        assert named == {
            *(f"{DONE}.json", "a1b2c3d4.log", "b1b2c3d4.json", "c1b2c3d4.json"),
            "codex-agent.db",
        }


def test_nothing_of_a_record_chooses_program_sandbox_or_home(both: Agents) -> None:
    both.job(DONE, END, codexBin="/usr/bin/evil", codexHome="/evil", **turn("x"))
    both("migrate")

    records = [*both.state.glob("runs/*/meta.json")]
    assert len(records) == 4
    for path in records:
        text = path.read_text()
        assert "danger-full-access" not in text
        assert "/usr/bin/evil" not in text
        assert json.loads(text).get("codex_home") is None


def test_a_removed_job_is_not_imported_again(both: Agents) -> None:
    both("migrate")
    both("delete", EXEC, KILLED)

    told = both.json("migrate")

    assert {each["older"] for each in told["removed"]} == {EXEC, KILLED}
    assert both.listed().keys() == {DONE, FAILED}


def test_a_job_that_the_older_tool_runs_is_shown_and_imported_after_its_end(
    both: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.job(KILLED, status="running", completedAt=None)
    holder = Holder(process=this_process())
    monkeypatch.setattr(JobProcesses, "holder", lambda *_: holder)

    told = both.json("migrate")

    assert [each["older"] for each in told["running"]] == [KILLED]
    assert both.listed()[KILLED] == "running"
    assert both.json("jobs", "--limit", "1")["jobs"][0]["id"] == KILLED
    assert both.json("status", KILLED[:4])["job"]["status"] == "running"
    assert "pid" in both("diff", KILLED, code=75)[1]
    both.job(KILLED, END, **turn("Now."))
    assert both.listed()[KILLED] == "completed"
    assert both.json("status", KILLED)["job"]["summary"] == "Now."


def test_a_process_that_is_not_certain_gets_no_signal(
    both: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.job(KILLED, status="running", completedAt=None)
    holder = Holder(process=this_process(), doubt="process 7 may be another program's")
    monkeypatch.setattr(JobProcesses, "holder", lambda *_: holder)
    both("migrate")

    said = both("kill", KILLED, code=1)[1]

    assert "is not killed: process 7 may be another program's" in said
    assert "end that process yourself" in said
    assert "process 7 may be" in both("jobs")[1]
    assert both.listed()[KILLED] == "running"


def test_a_directory_that_does_not_exist_is_refused(agents: Agents) -> None:
    assert "not a directory" in agents("migrate", "/nowhere", code=2)[1]
    assert agents("migrate", "--to", "json", "/tmp", code=2)[1]


def test_jobs_that_are_only_in_the_database_are_imported(agents: Agents) -> None:
    agents.rows({"id": DONE, "status": "failed", "error": "a row", "runner": "spawn"})
    agents.jobs.rmdir()

    assert [each["id"] for each in agents.json("migrate")["imported"]] == [DONE]
    assert agents.json("status", DONE)["job"]["error"] == "a row"
