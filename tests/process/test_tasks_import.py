"""`codex-tasks import`: what other tools have left is at hand as if it were ours."""

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.commands import Cli
from support.stand_in import StandIn
from support.tasks import Ended

DATA = Path(__file__).parents[1] / "unit" / "parsers" / "data"
RECORDED = "01a1f87a-1edb-7772-a295-bcdec2d6d2fd"
SHARES = [3090, 1545, 3090]
TWICE = "0199d9c2-0000-7000-8000-000000000001"
DIED = "0199d9c2-0000-7000-8000-000000000002"
PUT_AWAY = "0199d9c2-0000-7000-8000-000000000003"
NAMED = "0199d9c2-0000-7000-8000-00000000000a"
IDLE = "0199d9c2-0000-7000-8000-000000000004"
NAMELESS = "0199d9c2-0000-7000-8000-000000000005"
DAMAGED = "0199d9c2-0000-7000-8000-000000000006"
OF_BASH = "0199d9c2-0000-7000-8000-00000000000b"
BUCKET = "archive/2025/10/21"
TRANSCRIPT = """\
[2025-09-22T19:02:10] codex session {thread}
[2025-09-22T19:02:10] model: gpt-5-codex
[2025-09-22T19:02:11] User instructions:
look around
[2025-09-22T19:02:15] codex
Nothing here.
[2025-09-22T19:03:11] user
and there
[2025-09-22T19:03:15] codex
Neither.
"""
Json = dict[str, Any]


def lines(*events: Json) -> str:
    return "".join(f"{json.dumps(event, separators=(',', ':'))}\n" for event in events)


def asked(prompt: str) -> Json:
    return {"type": "user_message", "message": prompt}


def turn(thread: str, answer: str | None, output: int) -> list[Json]:
    begun: list[Json] = [
        {"type": "thread.started", "thread_id": thread},
        {"type": "turn.started"},
    ]
    if answer is None:
        return [*begun, {"type": "turn.failed", "error": {"message": "no luck"}}]
    item = {"id": "item_0", "type": "agent_message", "text": answer}
    usage = {"input_tokens": 100, "cached_input_tokens": 0, "output_tokens": output}
    said: list[Json] = [
        {"type": "item.completed", "item": item},
        {"type": "turn.completed", "usage": usage},
    ]
    return [*begun, *said]


@dataclass
class Old:
    """Makes histories of other tools."""

    repo: Path

    def task(
        self,
        root: Path,
        thread: str,
        log: str | None,
        *,
        where: str = "",
        **more: object,
    ) -> Path:
        directory = root / where / thread
        directory.mkdir(parents=True)
        record = {
            "id": thread,
            "title": f"Task {thread[-1]}",
            "state": "STOPPED",
            "created_at": "2025-10-20T12:00:00.123456789+00:00",
            "updated_at": "2025-10-20T12:01:07.000000001+00:00",
            "last_result": "two",
            "initial_prompt": "first",
            "last_prompt": "second",
            "working_dir": str(self.repo),
        }
        (directory / "task.json").write_text(json.dumps(record | more, indent=2))
        if log is not None:
            (directory / "task.log").write_text(log)
        return directory

    def tasks(self, root: Path) -> Path:
        """Make a task of two prompts, one that died, one put away, damaged ones."""
        twice = [asked("first"), *turn(TWICE, "one", 10)]
        twice += [asked("second"), *turn(TWICE, "two", 30)]
        self.task(root, TWICE, lines(*twice))
        (root / TWICE / "task.result").write_text("two")
        died = [asked("try"), *turn(DIED, None, 0)]
        self.task(root, DIED, lines(*died), state="DIED", last_result="")
        (root / DAMAGED).mkdir()
        (root / DAMAGED / "task.json").write_text("{")
        away = [asked("once"), *turn(PUT_AWAY, "kept", 5)]
        self.task(root, PUT_AWAY, lines(*away), where=BUCKET, state="ARCHIVED")
        return root

    def fifo(self, root: Path) -> Path:
        """Make tasks of the first generation: with a thread's name and without."""
        named, nameless = TRANSCRIPT.format(thread=NAMED), TRANSCRIPT[59:]
        self.task(root, IDLE, named, state="IDLE")
        os.mkfifo(root / IDLE / "task.pipe")
        self.task(root, NAMELESS, nameless, state="IDLE", title=None)
        return root

    def bash(self, log_dir: Path, run_id: str = "R1", thread: str = OF_BASH) -> Path:
        log_dir.mkdir(parents=True, exist_ok=True)
        stem = f"codex-run-{run_id}"
        said = ["OpenAI Codex v0.98.0", "--------", "model: gpt-5.1-codex"]
        said += [f"session id: {thread}", "--------", "user", "do it", "codex"]
        said += ["It is done.", "tokens used", "7,200", f"codex_run_id={run_id}"]
        (log_dir / f"{stem}.log").write_text("\n".join([*said, ""]))
        meta = {
            "run_id": run_id,
            "session_id": thread,
            "repo": str(self.repo),
            "task": "do it",
            "resume_session": "",
            "started_at": "2026-02-01T10:00:00Z",
            "ended_at": "2026-02-01T10:00:30Z",
            "exit_code": 0,
            "model": "gpt-5.1-codex",
        }
        (log_dir / f"{stem}.meta.json").write_text(json.dumps(meta))
        return log_dir

    @staticmethod
    def rollout(home: Path) -> Path:
        day = home / "sessions" / "2026" / "11" / "20"
        day.mkdir(parents=True)
        recorded = (DATA / "rollout-0.169-new+2resumes.jsonl").read_bytes()
        path = day / f"rollout-2026-11-20T10-21-55-{RECORDED}.jsonl"
        path.write_bytes(recorded)
        (day / f"rollout-2026-11-20T10-00-00-{DAMAGED}.jsonl").write_text("{\n")
        return home

    def recorded_task(self, root: Path) -> Path:
        """Make the task of which the recorded rollout is the thread."""
        names = {"run: echo hello > f.txt; cat f.txt": "new", "say hi": "resume1"}
        text = ""
        for prompt, name in {**names, "run: false": "resume2"}.items():
            text += lines(asked(prompt))
            text += (DATA / f"events-0.169-{name}.jsonl").read_text()
        times = {
            "created_at": "2026-11-20T10:21:55.400Z",
            "updated_at": "2026-11-20T10:21:56.500Z",
        }
        self.task(root, RECORDED, text, **times)
        return root


@dataclass
class Context:
    """The command, and the state directory that it works on."""

    cli: Cli
    state_home: Path
    codex: StandIn

    def __call__(self, *words: object, code: int | None = 0) -> Ended:
        path = f"{self.codex.path.parent}{os.pathsep}{os.environ['PATH']}"
        done = self.cli(*words, command="codex_tasks", env={"PATH": path})
        found = Ended(done.returncode, done.stdout, done.stderr)
        assert code in {None, found.code}, (found.stdout, found.stderr)
        return found

    def json(self, *words: object, code: int | None = 0) -> Any:  # noqa: ANN401 # as JSON is
        return json.loads(self(*words, "--json", code=code).stdout)

    def status(self, thread: str) -> Json:
        (found,) = self.json("status", thread)
        status: Json = found
        return status

    def shares(self, thread: str) -> list[int | None]:
        runs = sorted((self.state_home / thread / "runs").glob("*.summary.json"))
        usages = [json.loads(path.read_text())["token_usage"] for path in runs]
        return [usage["total_tokens"] for usage in usages]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.state_home / "runs.db")) as db, db:
            return db.execute(sql).fetchall()


@pytest.fixture
def old(repo: Path) -> Old:
    return Old(repo)


@pytest.fixture
def house(cli: Cli, state_home: Path, codex: StandIn) -> Context:
    return Context(cli, state_home, codex)


def tree(*roots: Path) -> dict[str, str]:
    """Say what is in every file below."""
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            kind = "file" if path.is_file() else "other"
            data = path.read_bytes() if path.is_file() else b""
            found[str(path)] = f"{kind} {hashlib.sha256(data).hexdigest()}"
    return found


def test_all_kinds_come_in_and_their_sources_stay(
    house: Context, old: Old, tmp_path: Path
) -> None:
    places = [
        old.fifo(old.tasks(tmp_path / "old")),
        old.bash(tmp_path / "logs"),
        old.rollout(tmp_path / "their-home"),
    ]
    before = tree(*places)

    done = house("import", *places, code=1)

    assert tree(*places) == before
    told = [line.split("  ") for line in done.lines]
    assert {(*each[:3],) for each in told if each[0] > "3"} == set()
    assert {(*each[:3],) for each in told if len(each[0]) == 36} == {
        (TWICE, "codex-tasks", "2 runs"),
        (DIED, "codex-tasks", "1 run"),
        (PUT_AWAY, "codex-tasks", "1 run"),
        (NAMED, "codex-tasks-fifo", "2 runs"),
        (OF_BASH, "run_codex_task.sh", "1 run"),
        (RECORDED, "rollout", "3 runs"),
    }
    assert [each[1:] for each in told if len(each[0]) != 36] == [
        ["codex-tasks-fifo", "1 run", "look around"],
        ["codex-tasks-fifo", "1 run", "and there"],
    ]
    assert done.stderr.count(DAMAGED) == 2
    assert "imported 8 sessions (12 runs); 0 already on record; 2 not taken in" in (
        done.stderr
    )
    listed = {each["id"]: each["state"] for each in house.json("ls", "-a")}
    assert len(listed) == 8
    assert (listed[TWICE], listed[DIED]) == ("STOPPED", "DIED")
    assert listed[PUT_AWAY] == "ARCHIVED"
    assert house("verify").stdout == ""


def test_an_old_task_is_at_hand_as_our_own(
    house: Context, old: Old, tmp_path: Path, repo: Path
) -> None:
    house("import", old.tasks(tmp_path / "old"), code=1)

    status = house.status(TWICE)

    assert (status["title"], status["runs"]) == ("Task 1", 2)
    assert (status["last_prompt"], status["last_result"]) == ("second", "two")
    assert status["created_at"] == "2025-10-20T12:00:00.123Z"
    assert status["updated_at"] == "2025-10-20T12:01:07.000Z"
    assert status["working_dir"] == str(repo)
    assert house("result", TWICE).stdout == "two\n"
    log = house("log", TWICE).stdout
    assert log.index("first") < log.index("one") < log.index("second")
    assert house("result", DIED, code=None).code != 0
    assert house.status(DIED)["error"] == "no luck"
    away = house.status(PUT_AWAY)
    assert away["directory"].endswith(f"{BUCKET[:-3]}/20/{PUT_AWAY}")
    assert away["updated_at"] == "2025-10-20T12:01:07.000Z"
    # Of that time Codex told what one process used, not what the thread had.
    assert house.shares(TWICE) == [110, 130]


def test_a_run_of_the_bash_runner_keeps_its_log_and_figure(
    house: Context, old: Old, tmp_path: Path
) -> None:
    logs = old.bash(tmp_path / "logs")
    house("import", logs)

    (log,) = (house.state_home / OF_BASH / "runs").glob("*.log")

    assert log.read_bytes() == (logs / "codex-run-R1.log").read_bytes()
    assert house.shares(OF_BASH) == [7200]
    assert house("result", OF_BASH).stdout.strip() == "It is done."


def test_a_rollout_tells_its_runs_and_what_each_has_used(
    house: Context, old: Old, tmp_path: Path
) -> None:
    house("import", old.rollout(tmp_path / "their-home"), code=1)

    assert house.shares(RECORDED) == SHARES
    assert house.status(RECORDED)["usage"]["total_tokens"] == sum(SHARES)
    assert house("usage").stdout.count("7,725") > 0


def test_a_thread_that_two_sources_know_counts_once(
    house: Context, old: Old, tmp_path: Path
) -> None:
    home = old.rollout(tmp_path / "their-home")
    root = old.recorded_task(tmp_path / "old")
    logs = old.bash(tmp_path / "logs", thread=RECORDED)

    done = house.json("import", home, logs, root, code=1)

    assert [each["kind"] for each in done["imported"]] == ["codex-tasks"]
    present = {each["kind"]: each["left_out"] for each in done["present"]}
    assert present == {"run_codex_task.sh": ["2026-02-01T10:00:00.000Z"], "rollout": []}
    # The rollout is the referee, and tells the times that the task's log does not.
    assert house.shares(RECORDED) == SHARES
    (record,) = house.rows("select record from runs order by run_id limit 1 offset 1")
    assert json.loads(record[0])["started_at"] == "2026-11-20T10:21:55.892Z"
    assert json.loads(record[0])["request"]["codex_home"] == str(home)


def test_what_an_older_task_was_asked_since_is_left_out_and_named(
    house: Context, old: Old, tmp_path: Path
) -> None:
    root = old.tasks(tmp_path / "old")
    house("import", root, code=1)
    with (root / TWICE / "task.log").open("a") as log:
        log.write(lines(asked("third"), *turn(TWICE, "three", 50)))

    left_out = {
        each["id"]: len(each["left_out"])
        for each in house.json("import", root, code=1)["present"]
    }

    assert left_out == {TWICE: 1, DIED: 0, PUT_AWAY: 0}
    assert "is left out" in house("import", root, code=1).stderr


def test_a_rollout_that_is_being_written_is_left_until_it_has_ended(
    house: Context, old: Old, tmp_path: Path
) -> None:
    home = old.rollout(tmp_path / "their-home")
    (path,) = home.glob(f"sessions/*/*/*/rollout-*{RECORDED}.jsonl")
    whole = path.read_bytes()
    end = whole.rindex(b"\n", 0, whole.rindex(b'"type":"task_complete"')) + 1
    path.write_bytes(whole[:end])

    early = house("import", home, code=1)

    assert f"{path}: seems to be at work: import it when it has ended" in early.stderr
    assert "0 already on record; 2 not taken in" in early.stderr
    assert house.json("ls", "-a") == []
    # Nobody has it open, and it has been quiet for long: it is taken for dead.
    os.utime(path, (0, 0))
    house("import", home, code=1)
    assert house.status(RECORDED)["state"] == "DIED"
    path.write_bytes(whole)
    ids = house.rows("select run_id from runs order by 1")

    done = house("import", home, code=1)

    assert "imported 1 session (1 run); 0 already on record" in done.stderr
    assert house.status(RECORDED)["state"] == "STOPPED"
    assert house("result", RECORDED).stdout == "done: run: false\n"
    assert house.rows("select run_id from runs order by 1") == ids
    assert house.shares(RECORDED) == SHARES
    assert house.status(RECORDED)["usage"]["total_tokens"] == sum(SHARES)
    assert house("verify").stdout == ""


def test_a_second_import_changes_nothing(
    house: Context, old: Old, tmp_path: Path
) -> None:
    places = [
        old.fifo(old.tasks(tmp_path / "old")),
        old.bash(tmp_path / "logs"),
        old.rollout(tmp_path / "their-home"),
    ]
    house("import", *places, code=1)
    sql = "select * from runs, sessions, usage order by 1, 2, 3"
    before, rows = tree(house.state_home), house.rows(sql)
    # A nameless run is known again although nothing tells its time any more.
    os.utime(tmp_path / "old" / NAMELESS / "task.log", (0, 0))

    done = house("import", *places, code=1)

    assert done.stdout == ""
    assert "imported 0 sessions (0 runs); 8 already on record; 2 not taken in" in (
        done.stderr
    )
    after = tree(house.state_home)
    assert {p for p in after if after[p] != before.get(p)} <= {
        f"{house.state_home}/runs.db{suffix}" for suffix in ("", "-wal", "-shm")
    }
    assert house.rows(sql) == rows


def test_a_dry_run_writes_nothing(house: Context, old: Old, tmp_path: Path) -> None:
    root = old.tasks(tmp_path / "old")

    done = house("import", "--dry-run", root, code=1)

    assert not house.state_home.exists()
    assert "would import 3 sessions (4 runs)" in done.stderr
    assert house("import", root, code=1).stdout == done.stdout
    before = house.rows("select * from sessions")
    assert house("import", "--dry-run", old.bash(tmp_path / "logs")).lines
    assert house.rows("select * from sessions") == before
    assert not (house.state_home / OF_BASH).exists()


def test_an_imported_session_is_carried_on(
    house: Context, old: Old, tmp_path: Path, repo: Path, codex_home: Path
) -> None:
    house("import", old.tasks(tmp_path / "old"), old.bash(tmp_path / "logs"), code=1)

    for thread in (TWICE, DIED, OF_BASH):
        house("send", thread, "go on")
        house("status", "--wait", "--timeout", "30", thread)
        assert house("result", thread).stdout.strip() == "answer to go on"
    given = {call["argv"][-2]: call for call in house.codex.runs}
    assert set(given) == {TWICE, DIED, OF_BASH}
    argv = given[OF_BASH]["argv"]
    assert argv[argv.index("-C") + 1] == str(repo)
    assert argv[argv.index("-m") + 1] == "gpt-5.1-codex"
    assert given[TWICE]["env"]["CODEX_HOME"] == str(codex_home)
    refused = house("send", PUT_AWAY, "go on", code=1)
    assert "unarchive" in refused.stderr
    house("unarchive", PUT_AWAY)
    house("send", PUT_AWAY, "go on")
    house("status", "--wait", "--timeout", "30", PUT_AWAY)
    assert house("verify").stdout == ""


def test_old_tasks_in_our_own_directory_stay_where_they_are(
    house: Context, old: Old
) -> None:
    house.state_home.mkdir(mode=0o700)
    old.tasks(house.state_home)
    kept = house.state_home / TWICE
    before = tree(house.state_home)

    house("import", code=1)

    after = tree(house.state_home)
    changed = {path for path in before if before[path] != after[path]}
    records = [kept, house.state_home / DIED, house.state_home / BUCKET / PUT_AWAY]
    assert changed == {str(each / "task.json") for each in records}
    for each in records:
        was = before[str(each / "task.json")]
        assert after[str(each / "task.json.imported")] == was
    # One that was killed before it came to the record is completed.
    (kept / "task.json.imported").rename(kept / "task.json")
    assert house("import", code=1).stdout == ""
    assert tree(kept).items() <= after.items()
    listed = house("ls", "-a")
    assert "damaged" not in listed.stderr
    assert len(listed.lines) == 4
    house("send", TWICE, "go on")
    house("status", "--wait", "--timeout", "30", TWICE)
    assert (kept / "task.result").read_text() == "answer to go on"
    prompts = [*map(json.loads, (kept / "task.log").read_text().splitlines())]
    assert [p["message"] for p in prompts if p["type"] == "user_message"] == [
        "first",
        "second",
        "go on",
    ]
    assert house("import", code=1).stdout == ""


def test_what_was_taken_in_where_it_lies_is_private(house: Context, old: Old) -> None:
    house.state_home.mkdir(mode=0o700)
    old.tasks(house.state_home)
    stranger = house.state_home / TWICE / "notes"
    stranger.touch()
    stranger.chmod(0o644)

    house("import", code=1)

    kinds = {line.split()[0] for line in house("verify", code=1).lines}
    assert kinds == {"foreign"}
    assert stranger.stat().st_mode & 0o777 == 0o644


def test_a_process_that_is_gone_is_not_named_any_more_where_it_was_taken_in(
    house: Context, old: Old
) -> None:
    house.state_home.mkdir(mode=0o700)
    begun = lines(asked("try"), *turn(DIED, None, 0))
    directory = old.task(house.state_home, DIED, begun, state="RUNNING")
    (directory / "task.pid").write_text("2147483647")

    house("import")

    assert not (directory / "task.pid").exists()
    assert house("verify").stdout == ""


def test_a_transcript_in_our_own_directory_becomes_a_log_of_events(
    house: Context, old: Old
) -> None:
    house.state_home.mkdir(mode=0o700)
    text = TRANSCRIPT.format(thread=NAMED)
    directory = old.task(house.state_home, NAMED, text, state="IDLE")

    house("import")

    assert (directory / "task.log.imported").read_text() == text
    assert '"type": "user_message"' in (directory / "task.log").read_text()
    assert house.status(NAMED)["usage"]["unknown_runs"] == 2


def test_without_a_word_the_usual_places_are_looked_at(
    house: Context, old: Old, tmp_path: Path, codex_home: Path
) -> None:
    old.bash(tmp_path / "runs")
    old.rollout(codex_home)
    old.tasks(Path(house.cli.environment["HOME"]) / ".codex" / "tasks")

    done = house.json("import", code=1)

    kinds = [each["kind"] for each in done["imported"]]
    assert kinds == [*["codex-tasks"] * 3, "run_codex_task.sh", "rollout"]


def test_without_any_history_nothing_is_wrong(house: Context) -> None:
    done = house("import")

    assert done.stdout == ""
    assert "imported 0 sessions (0 runs)" in done.stderr


def test_a_directory_that_holds_none_is_named(house: Context, tmp_path: Path) -> None:
    done = house("import", tmp_path / "nowhere", code=1)

    assert "nowhere: No such file or directory" in done.stderr


def test_a_session_of_our_own_is_not_taken_from_its_rollout(
    house: Context, old: Old, codex_home: Path, repo: Path
) -> None:
    house.codex.plays(*script.ordinary(), thread=RECORDED)
    house("start", "--working-dir", repo, "Do it.")
    house("status", "--wait", "--timeout", "30", RECORDED)
    usage = house.status(RECORDED)["usage"]

    done = house.json("import", old.rollout(codex_home), code=1)

    assert done["imported"] == []
    assert len(done["present"][0]["left_out"]) == 3
    assert house.status(RECORDED)["usage"] == usage


def test_what_was_removed_here_does_not_come_back(
    house: Context, old: Old, tmp_path: Path
) -> None:
    logs = old.bash(tmp_path / "logs")
    house("import", logs)
    house("rm", OF_BASH)

    done = house("import", logs)

    assert done.stdout == ""
    assert "it was removed here" in done.stderr


ROW = f"(select max(run_id) from runs where session_id = '{TWICE}')"  # noqa: S608 # ours
WRECKS = {
    "no row": ["delete from runs", "delete from sessions", "delete from usage"],
    "not all rows": [
        f"delete from usage where run_id = {ROW}",  # noqa: S608 # ours
        f"delete from runs where run_id = {ROW}",  # noqa: S608 # ours
    ],
    "nothing": [],
}


@pytest.mark.parametrize("wreck", WRECKS)
def test_an_import_that_was_killed_is_completed_by_the_next(
    house: Context, old: Old, tmp_path: Path, wreck: str
) -> None:
    root = old.tasks(tmp_path / "old")
    house("import", root, code=1)
    sql = "select * from runs, sessions, usage order by 1, 2, 3"
    whole = house.rows(sql)
    for statement in WRECKS[wreck]:
        house.rows(statement)
    (house.state_home / ".import-x.tmp" / "runs").mkdir(parents=True)

    house("import", root, code=1)

    assert house.rows(sql) == whole
    assert not list(house.state_home.glob(".import-*"))
    assert house("verify").stdout == ""
