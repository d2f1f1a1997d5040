"""`codex-tasks import`: what other tools have left is at hand as if it were ours."""

import hashlib
import json
import os
import sqlite3
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.commands import Cli, rows_of
from support.repository import make_repository
from support.stand_in import StandIn, make_stand_in
from support.tasks import Ended, is_refused

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
class Command:
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

    def told(self, *words: object) -> list[Json]:
        return rows_of(self(*words, "--json").stdout)

    def status(self, thread: str) -> Json:
        (found,) = self.told("status", thread)
        return found

    def shares(self, thread: str) -> list[int | None]:
        paths = sorted((self.state_home / "runs").glob("*/summary.json"))
        told = [json.loads(path.read_text()) for path in paths]
        usages = [each["token_usage"] for each in told if each["session_id"] == thread]
        return [usage["total_tokens"] for usage in usages]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.state_home / "ledger.db")) as db, db:
            return db.execute(sql).fetchall()


@pytest.fixture
def old(repo: Path) -> Old:
    return Old(repo)


@pytest.fixture
def tasks(cli: Cli, state_home: Path, codex: StandIn) -> Command:
    return Command(cli, state_home, codex)


def tree(*roots: Path) -> dict[str, str]:
    """Say what is in every file below."""
    found = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            kind = "file" if path.is_file() else "other"
            data = path.read_bytes() if path.is_file() else b""
            found[str(path)] = f"{kind} {hashlib.sha256(data).hexdigest()}"
    return found


@pytest.mark.core
def test_all_kinds_come_in_and_their_sources_stay(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    places = [
        old.fifo(old.tasks(tmp_path / "old")),
        old.bash(tmp_path / "logs"),
        old.rollout(tmp_path / "their-home"),
    ]
    before = tree(*places)

    done = tasks("import", *places, code=1)

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
    assert "imported 8 sessions (12 runs); 0 already on record; 2 not imported" in (
        done.stderr
    )
    listed = {each["id"]: each["state"] for each in tasks.told("ls", "-a")}
    assert len(listed) == 8
    assert (listed[TWICE], listed[DIED]) == ("STOPPED", "DIED")
    assert listed[PUT_AWAY] == "ARCHIVED"
    assert tasks("verify").stdout == ""


def test_an_old_task_is_at_hand_as_our_own(
    tasks: Command, old: Old, tmp_path: Path, repo: Path
) -> None:
    tasks("import", old.tasks(tmp_path / "old"), code=1)

    status = tasks.status(TWICE)

    assert (status["title"], status["runs"]) == ("Task 1", 2)
    assert (status["last_prompt"], status["last_result"]) == ("second", "two")
    assert status["created_at"] == "2025-10-20T12:00:00.123Z"
    assert status["updated_at"] == "2025-10-20T12:01:07.000Z"
    assert status["working_dir"] == str(repo)
    assert tasks("result", TWICE).stdout == "two\n"
    log = tasks("log", TWICE).stdout
    assert log.index("first") < log.index("one") < log.index("second")
    assert tasks("result", DIED, code=None).code != 0
    assert tasks.status(DIED)["error"] == "no luck"
    away = tasks.status(PUT_AWAY)
    assert away["directory"] is None
    assert away["updated_at"] == "2025-10-20T12:01:07.000Z"
    # Of that time Codex told what one process used, not what the thread had.
    assert tasks.shares(TWICE) == [110, 130]


def test_a_run_of_the_bash_runner_keeps_its_figure(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    logs = old.bash(tmp_path / "logs")
    tasks("import", logs)

    # Codex's text leaves cached input out: of the total it is the least.
    assert tasks.shares(OF_BASH) == [None]
    told = tasks.status(OF_BASH)["usage"]
    assert (told["total_tokens"], told["uncounted_runs"]) == (7200, 1)
    assert "≥ 7,200" in tasks("usage").stdout
    assert tasks("result", OF_BASH).stdout.strip() == "It is done."


def test_a_rollout_tells_its_runs_and_what_each_has_used(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    tasks("import", old.rollout(tmp_path / "their-home"), code=1)

    assert tasks.shares(RECORDED) == SHARES
    assert tasks.status(RECORDED)["usage"]["total_tokens"] == sum(SHARES)
    assert tasks("usage").stdout.count("7,725") > 0


def test_a_thread_that_two_sources_know_counts_once(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    home = old.rollout(tmp_path / "their-home")
    root = old.recorded_task(tmp_path / "old")
    logs = old.bash(tmp_path / "logs", thread=RECORDED)

    done = tasks.json("import", home, logs, root, code=1)

    assert [each["kind"] for each in done["imported"]] == ["codex-tasks"]
    present = {each["kind"]: each["left_out"] for each in done["present"]}
    assert present == {"run_codex_task.sh": [], "rollout": []}
    # The rollout is the referee, and tells the times that the task's log does not.
    assert tasks.shares(RECORDED) == SHARES
    rows = tasks.rows("select launched_at from runs order by ordinal")
    assert rows[1] == ("2026-11-20T10:21:55.892Z",)
    assert tasks.rows("select home from sessions") == [(bytes(home),)]


def test_what_an_older_task_was_asked_since_comes_with_the_next_import(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    root = old.tasks(tmp_path / "old")
    tasks("import", root, code=1)
    with (root / TWICE / "task.log").open("a") as log:
        log.write(lines(asked("third"), *turn(TWICE, "three", 50)))

    done = tasks.json("import", root, code=1)

    assert [(each["id"], each["runs"]) for each in done["imported"]] == [(TWICE, 3)]
    assert {each["id"] for each in done["present"]} == {DIED, PUT_AWAY}
    assert tasks("result", TWICE).stdout == "three\n"
    assert tasks.shares(TWICE) == [110, 130, 150]
    assert tasks("verify").stdout == ""


def test_a_rollout_that_is_being_written_is_left_until_it_has_ended(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    home = old.rollout(tmp_path / "their-home")
    (path,) = home.glob(f"sessions/*/*/*/rollout-*{RECORDED}.jsonl")
    whole = path.read_bytes()
    end = whole.rindex(b"\n", 0, whole.rindex(b'"type":"task_complete"')) + 1
    path.write_bytes(whole[:end])

    early = tasks("import", home, code=1)

    assert f"{path}: it seems to be running: import it after its end" in early.stderr
    assert "0 already on record; 2 not imported" in early.stderr
    assert tasks.told("ls", "-a") == []
    # No Codex holds it, and it has been quiet for long: it is taken for dead.
    os.utime(path, (0, 0))
    tasks("import", home, code=1)
    assert tasks.status(RECORDED)["state"] == "DIED"
    path.write_bytes(whole)
    ids = tasks.rows("select run_id from runs order by 1")

    done = tasks("import", home, code=1)

    assert "imported 1 session (3 runs); 0 already on record" in done.stderr
    assert tasks.status(RECORDED)["state"] == "STOPPED"
    assert tasks("result", RECORDED).stdout == "done: run: false\n"
    assert tasks.rows("select run_id from runs order by 1") == ids
    assert tasks.shares(RECORDED) == SHARES
    assert tasks.status(RECORDED)["usage"]["total_tokens"] == sum(SHARES)
    assert tasks("verify").stdout == ""


def test_a_second_import_changes_nothing(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    places = [
        old.fifo(old.tasks(tmp_path / "old")),
        old.bash(tmp_path / "logs"),
        old.rollout(tmp_path / "their-home"),
    ]
    tasks("import", *places, code=1)
    sql = "select * from runs, sessions, usage, imports order by 1, 2, 3"
    before, rows = tree(tasks.state_home), tasks.rows(sql)
    # A run without a thread is known again although nothing tells its time any more.
    os.utime(tmp_path / "old" / NAMELESS / "task.log", (0, 0))

    done = tasks("import", *places, code=1)

    assert done.stdout == ""
    assert "imported 0 sessions (0 runs); 8 already on record; 2 not imported" in (
        done.stderr
    )
    after = tree(tasks.state_home)
    assert {p for p in after if after[p] != before.get(p)} <= {
        f"{tasks.state_home}/ledger.db{suffix}" for suffix in ("", "-wal", "-shm")
    }
    assert tasks.rows(sql) == rows


def test_a_dry_run_writes_nothing(tasks: Command, old: Old, tmp_path: Path) -> None:
    root = old.tasks(tmp_path / "old")

    done = tasks("import", "--dry-run", root, code=1)

    assert not tasks.state_home.exists()
    assert "would import 3 sessions (4 runs)" in done.stderr
    assert tasks("import", root, code=1).stdout == done.stdout
    before = tasks.rows("select * from sessions")
    assert tasks("import", "--dry-run", old.bash(tmp_path / "logs")).lines
    assert tasks.rows("select * from sessions") == before
    assert not (tasks.state_home / OF_BASH).exists()


def test_an_imported_session_is_resumed(
    tasks: Command, old: Old, tmp_path: Path, repo: Path, codex_home: Path
) -> None:
    tasks("import", old.tasks(tmp_path / "old"), old.bash(tmp_path / "logs"), code=1)

    for thread in (TWICE, DIED, OF_BASH):
        tasks("send", thread, "go on")
        tasks("status", "--wait", "--timeout", "30", thread)
        assert tasks("result", thread).stdout.strip() == "answer to go on"
    given = {call["argv"][-2]: call for call in tasks.codex.runs}
    assert set(given) == {TWICE, DIED, OF_BASH}
    argv = given[OF_BASH]["argv"]
    assert argv[argv.index("--cd") + 1] == str(repo)
    assert "--model" not in argv
    assert given[TWICE]["env"]["CODEX_HOME"] == str(codex_home)
    refused = tasks("send", PUT_AWAY, "go on", code=1)
    fix = f"fix:   codex-tasks unarchive {PUT_AWAY}"
    assert is_refused(refused, 1, "is ARCHIVED", fix), refused
    tasks("unarchive", PUT_AWAY)
    tasks("send", PUT_AWAY, "go on")
    tasks("status", "--wait", "--timeout", "30", PUT_AWAY)
    assert tasks("verify").stdout == ""


def test_old_tasks_in_our_own_directory_stay_as_they_are(
    tasks: Command, old: Old
) -> None:
    tasks.state_home.mkdir(mode=0o700)
    old.tasks(tasks.state_home)
    kept = tasks.state_home / TWICE
    before = tree(tasks.state_home)

    tasks("import", code=1)

    after = tree(tasks.state_home)
    assert before.items() <= after.items()
    made = {Path(path) for path in after.keys() - before.keys()}
    places = [kept, tasks.state_home / DIED, tasks.state_home / BUCKET / PUT_AWAY]
    copies = {place / "task.json.imported" for place in places}
    assert copies | {kept / "task.result.imported"} == {
        path for path in made if "imported" in path.name
    }
    assert len(tasks("ls", "-a").lines) == 3
    tasks("send", TWICE, "go on")
    tasks("status", "--wait", "--timeout", "30", TWICE)
    assert (kept / "task.result").read_text() == "answer to go on"
    assert (kept / "task.result.imported").read_text() == "two"
    was = before[str(kept / "task.json")]
    assert tree(kept)[str(kept / "task.json.imported")] == was
    prompts = [*map(json.loads, (kept / "task.log").read_text().splitlines())]
    assert [p["message"] for p in prompts if p["type"] == "user_message"] == [
        "first",
        "second",
        "go on",
    ]
    assert tasks("import", code=1).stdout == ""


def test_a_transcript_in_our_own_directory_is_kept(tasks: Command, old: Old) -> None:
    tasks.state_home.mkdir(mode=0o700)
    text = TRANSCRIPT.format(thread=NAMED)
    directory = old.task(tasks.state_home, NAMED, text, state="IDLE")

    tasks("import")

    assert (directory / "task.log.imported").read_text() == text
    assert (directory / "task.log").read_text() == text
    assert tasks.status(NAMED)["usage"]["unknown_runs"] == 2
    assert "look around" in tasks("log", NAMED).stdout


def test_without_a_word_the_usual_places_are_looked_at(
    tasks: Command, old: Old, tmp_path: Path, codex_home: Path
) -> None:
    old.bash(tmp_path / "runs")
    old.rollout(codex_home)
    old.tasks(Path(tasks.cli.environment["HOME"]) / ".codex" / "tasks")

    done = tasks.json("import", code=1)

    kinds = [each["kind"] for each in done["imported"]]
    assert kinds == [*["codex-tasks"] * 3, "run_codex_task.sh", "rollout"]


def test_without_any_history_nothing_is_wrong(tasks: Command) -> None:
    done = tasks("import")

    assert done.stdout == ""
    assert "imported 0 sessions (0 runs)" in done.stderr


def test_a_directory_that_holds_none_is_named(tasks: Command, tmp_path: Path) -> None:
    done = tasks("import", tmp_path, tmp_path / "nowhere", code=2)

    assert "nowhere: not a directory" in done.stderr
    assert "imported" not in done.stderr


def test_what_a_thread_of_our_own_did_by_hand_is_added_to_it(
    tasks: Command, old: Old, codex_home: Path, repo: Path
) -> None:
    tasks.codex.plays(*script.ordinary(), thread=RECORDED)
    tasks("start", "--working-dir", repo, "Do it.")
    tasks("status", "--wait", "--timeout", "30", RECORDED)
    usage = tasks.status(RECORDED)["usage"]

    done = tasks.json("import", old.rollout(codex_home), code=1)

    # The first turn is the run that is on record.
    assert [(each["id"], each["runs"]) for each in done["imported"]] == [(RECORDED, 2)]
    total = usage["total_tokens"] + sum(SHARES[1:])
    assert tasks.status(RECORDED)["usage"]["total_tokens"] == total
    again = tasks.json("import", codex_home, code=1)
    assert (again["imported"], len(again["present"])) == ([], 1)
    assert tasks("verify").stdout == ""


def test_the_last_line_counts_what_the_lines_before_it_name(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    home = old.rollout(tmp_path / "their-home")
    (path,) = home.glob(f"sessions/*/*/*/rollout-*{RECORDED}.jsonl")
    ours = path.read_text()
    path.write_text(ours.replace('"codex_exec"', '"codex_vscode"'))
    logs = old.bash(tmp_path / "logs")
    tasks("import", logs)
    tasks("rm", OF_BASH)

    done = tasks("import", logs, home, code=1)

    assert "1 thread of codex_vscode not imported (--all-originators" in done.stderr
    assert (
        "imported 0 sessions (0 runs); 0 already on record; 1 removed here;"
        " 1 of other programs; 1 not imported"
    ) in done.stderr
    every = tasks("import", "--all-originators", logs, home, code=1)
    assert "imported 1 session (3 runs); 0 already on record;" in every.stderr
    assert tasks.shares(RECORDED) == SHARES


def test_a_pipe_in_place_of_a_record_costs_that_entry_only(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    root = old.tasks(tmp_path / "old")
    os.mkfifo(root / "task.json")
    (root / NAMED).mkdir()
    os.mkfifo(root / NAMED / "task.json")

    done = tasks.json("import", root, code=1)

    assert {each["id"] for each in done["imported"]} == {TWICE, DIED, PUT_AWAY}
    named = {Path(each["source"]).name for each in done["unreadable"]}
    assert named == {NAMED, DAMAGED}


def test_no_link_out_of_the_directory_is_followed(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    root, hidden = old.tasks(tmp_path / "old"), old.bash(tmp_path / "hidden")
    whole = old.task(tmp_path / "other", NAMED, lines(asked("a")))
    (root / NAMED).symlink_to(whole)
    (root / TWICE / "task.log").rename(tmp_path / "secret.log")
    (root / TWICE / "task.log").symlink_to(tmp_path / "secret.log")
    logs = tmp_path / "logs"
    logs.mkdir()
    for path in hidden.iterdir():
        (logs / path.name).symlink_to(path)

    done = tasks.json("import", root, logs, code=1)

    assert {each["id"] for each in done["imported"]} == {DIED, PUT_AWAY}
    named = {Path(each["source"]).name: each["reason"] for each in done["unreadable"]}
    assert set(named) == {NAMED, TWICE, DAMAGED, "codex-run-R1.meta.json"}
    reason = "task.log: it is a link out of the directory"
    assert named[TWICE] == reason


def test_what_was_removed_here_does_not_come_back(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    logs = old.bash(tmp_path / "logs")
    tasks("import", logs)
    tasks("rm", OF_BASH)

    done = tasks("import", logs)

    assert done.stdout == ""
    assert "it was removed here" in done.stderr


def test_an_import_that_was_killed_is_done_by_the_next(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    root = old.tasks(tmp_path / "old")
    tasks("import", root, code=1)
    whole = tree(tasks.state_home / "runs")
    for table in ("usage", "usage_sums", "records", "runs"):
        tasks.rows(f"delete from {table}")  # noqa: S608 # ours
    tasks.rows("update sessions set imported = null, thread_id = null")
    for table in ("threads", "sessions", "imports"):
        tasks.rows(f"delete from {table}")  # noqa: S608 # ours

    tasks("import", root, code=1)

    assert tree(tasks.state_home / "runs") == whole
    assert tasks("verify").stdout == ""


# No foreign record decides where and what we run


@dataclass
class Trap:
    """A run of this suite that another user has left, and a program that it names."""

    tasks: Command
    meta: Path
    evil: StandIn

    def run_after(self, **changes: object) -> Json:
        """Import the forged record, send a prompt, and show what was started."""
        told = json.loads(self.meta.read_text())
        asked = told["request"]
        for name, value in changes.items():
            (asked if name in asked else told)[name] = value
        self.meta.write_text(json.dumps(told))
        self.tasks.state_home.rename(self.tasks.state_home.with_name("other"))
        self.tasks("import", self.meta.parent, code=None)
        thread = told["session_id"]
        before = len(self.tasks.codex.runs)
        self.tasks("send", thread, "go on")
        self.tasks("status", "--wait", "--timeout", "30", thread)
        assert self.evil.records == []
        (given,) = self.tasks.codex.runs[before:]
        found: Json = given
        return found


@pytest.fixture
def trap(tasks: Command, repo: Path, tmp_path: Path) -> Trap:
    runs = tmp_path / "their" / "runs"
    done = tasks.cli(
        *(
            "--repo",
            repo,
            "--codex-bin",
            tasks.codex.path,
            "--log-dir",
            runs,
            "--task",
            "go",
        )
    )
    assert done.returncode == 0, done.stderr
    (meta,) = runs.glob("*.meta.json")
    return Trap(tasks, meta, make_stand_in(tmp_path / "evil"))


@pytest.mark.core
def test_no_foreign_record_names_the_program(trap: Trap) -> None:
    given = trap.run_after(codex_bin=str(trap.evil.path))

    assert given["argv"][:1] == ["exec"]


def test_no_foreign_record_names_the_home_of_codex(
    trap: Trap, tmp_path: Path, codex_home: Path
) -> None:
    given = trap.run_after(codex_home=str(tmp_path / "evil-home"))

    assert given["env"]["CODEX_HOME"] == str(codex_home)


def test_no_foreign_record_opens_the_sandbox(trap: Trap) -> None:
    given = trap.run_after(sandbox="danger-full-access")

    assert "danger-full-access" not in " ".join(given["argv"])
    assert "--sandbox" not in given["argv"]


def test_no_foreign_record_adds_arguments(trap: Trap) -> None:
    given = trap.run_after(
        extra=["--dangerously-bypass-approvals-and-sandbox"],
        overrides=["notify=['evil']"],
        once=["-i", "/etc/passwd"],
        skip_git_repo_check=True,
        model="evil-model",
    )

    whole = " ".join(given["argv"])
    words = ("dangerously", "notify", "passwd", "skip-git", "evil")
    assert not any(word in whole for word in words)


def test_no_foreign_record_names_a_thread_that_is_an_option(
    trap: Trap, tasks: Command
) -> None:
    told = json.loads(trap.meta.read_text())
    told["session_id"] = "--yolo"
    trap.meta.write_text(json.dumps(told))
    tasks.state_home.rename(tasks.state_home.with_name("other"))

    tasks("import", trap.meta.parent)

    assert tasks.rows("select * from threads") == []
    refused = tasks("send", told["run_id"], "go on", code=1)
    assert "has no thread to resume" in refused.stderr


def test_no_foreign_record_is_told_of_or_ends_anything(
    trap: Trap, tasks: Command, tmp_path: Path
) -> None:
    told = json.loads(trap.meta.read_text())
    told["left_running"] = [{"pid": os.getpid(), "start_time": 1, "name": "pytest"}]
    told["request"]["report"] = {
        "json_out": str(tmp_path / "out.json"),
        "notify_command": f"touch {tmp_path / 'evil.txt'}",
    }
    trap.meta.write_text(json.dumps(told))
    tasks.state_home.rename(tasks.state_home.with_name("other"))

    tasks("import", trap.meta.parent)

    (run,) = tasks.rows("select record from records")
    record = json.loads(zlib.decompress(run[0]))
    assert record["left_running"] == []
    assert set(record["request"]["report"].values()) == {None}
    assert not (tmp_path / "out.json").exists()
    assert tasks("verify").stdout == ""


def test_a_relative_repo_is_never_the_root(
    tasks: Command, old: Old, tmp_path: Path
) -> None:
    app = tmp_path / "app"
    make_repository(app)
    logs = old.bash(app / "runs")
    lost = old.bash(tmp_path / "elsewhere", thread=NAMED)
    for place in (logs, lost):
        (meta,) = place.glob("*.meta.json")
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"repo": "."}))

    tasks("import", logs, lost)

    assert tasks.status(OF_BASH)["working_dir"] == str(app)
    tasks("send", OF_BASH, "go on")
    tasks("status", "--wait", "--timeout", "30", OF_BASH)
    argv = tasks.codex.runs[-1]["argv"]
    assert argv[argv.index("--cd") + 1] == str(app)
    assert tasks.status(NAMED)["working_dir"] is None
    refused = tasks("send", NAMED, "go on", code=1)
    assert "--working-dir" in refused.stderr
    tasks("send", "--working-dir", app, NAMED, "go on")
    tasks("status", "--wait", "--timeout", "30", NAMED)


def test_a_run_of_this_suite_comes_back_once(trap: Trap, tasks: Command) -> None:
    was = tasks("usage").stdout
    tasks.state_home.rename(tasks.state_home.with_name("other"))
    before = tree(trap.meta.parent)

    done = tasks.json("import", trap.meta.parent)

    (told,) = done["imported"]
    assert (told["kind"], told["runs"]) == ("run", 1)
    assert tasks("import", trap.meta.parent).stdout == ""
    assert tasks("usage").stdout == was
    assert tree(trap.meta.parent) == before
    tasks("rm", told["id"])
    assert tasks("import", trap.meta.parent).stdout == ""


def test_a_run_in_the_state_directory_that_the_ledger_has_lost_comes_back(
    tasks: Command, repo: Path
) -> None:
    thread = tasks("start", "--working-dir", repo, "go").stdout.strip()
    tasks("status", "--wait", "--timeout", "30", thread)
    usage = tasks.status(thread)["usage"]
    tasks.rows("delete from prompts")
    for table in ("usage", "usage_sums", "records", "runs"):
        tasks.rows(f"delete from {table}")  # noqa: S608 # ours

    done = tasks("import")

    assert "imported 1 session (1 run)" in done.stderr
    assert tasks.status(thread)["usage"] == usage
    assert tasks("import").stdout == ""
    tasks("send", thread, "and on")


def test_a_run_whose_thread_came_from_a_rollout_is_not_counted_twice(
    tasks: Command, old: Old, tmp_path: Path, repo: Path, codex_home: Path
) -> None:
    tasks.codex.plays(*script.ordinary(), thread=RECORDED)
    runs = tmp_path / "runs"
    tasks.cli(
        "--repo",
        repo,
        "--codex-bin",
        tasks.codex.path,
        "--log-dir",
        runs,
        "--task",
        "go",
    )
    tasks.state_home.rename(tasks.state_home.with_name("other"))
    tasks("import", old.rollout(codex_home), code=1)
    usage = tasks.status(RECORDED)["usage"]

    assert tasks("import", runs).stdout == ""

    assert tasks.status(RECORDED)["usage"] == usage
