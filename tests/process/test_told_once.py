"""A hook and an event stream are told once of the end of a run, whoever judges it."""

import json
import shlex
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import kill, wait_until
from support.sabotage import SUPERVISOR, dies, sabotaged
from support.stand_in import StandIn
from support.tasks import Begun, Files, Tasks, gone


@pytest.fixture
def hook(tmp_path: Path) -> list[object]:
    """Build the options that append what is told to `heard` and to `stream`."""
    code = f"import sys; open({str(tmp_path / 'heard')!r}, 'a').write(sys.stdin.read())"
    command = shlex.join([sys.executable, "-IS", "-c", code])
    return ["--notify-cmd", command, "--event-stream", tmp_path / "stream"]


def told(path: Path) -> list[str]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(line)["event"] for line in text.splitlines()]


def ledger_of(task: Tasks) -> Path:
    return Path(task.cli.environment["CODEX_RUNNER_HOME"]) / "ledger.db"


def everything_is_told(task: Tasks) -> bool:
    with closing(sqlite3.connect(ledger_of(task))) as db:
        done = db.execute("select count(*), count(done_at) from outbox").fetchone()
    return bool(done[0] == done[1] == 4)


def list_tasks(task: Tasks) -> int:
    return task.cli("ls", "-a", command="codex_tasks").returncode


def has_been_told_once(task: Tasks) -> bool:
    """Wait for the telling, let others look, and say whether all was told once."""
    wait_until(lambda: everything_is_told(task), what="the telling")
    wait_until(lambda: told(task.place / "heard").count("run_completed"))
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(list_tasks, [task] * 3)) == [0, 0, 0]
    each_once = ["run_completed", "run_started"]
    return all(sorted(told(task.place / n)) == each_once for n in ("heard", "stream"))


def stays_with_it(_: Tasks, begun: Begun, files: Files) -> None:
    kill(files.codex())
    assert begun.wait().fields["outcome"] == "lost"


def reads_it(task: Tasks, begun: Begun, files: Files) -> None:
    begun.kill()
    codex = files.codex()
    kill(codex)
    wait_until(lambda: gone(codex))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(task.parse, [files.run_id] * 3))
    # One that has waited for five seconds for another to judge tells of it as it is.
    assert any('"outcome":"lost"' in each.stdout for each in found), found
    assert '"outcome":"lost"' in task.parse(files.run_id).stdout


def lists_it(task: Tasks, begun: Begun, files: Files) -> None:
    begun.kill()
    codex = files.codex()
    kill(codex)
    wait_until(lambda: gone(codex))
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(list_tasks, [task] * 3)) == [0, 0, 0]


def stops_it(task: Tasks, begun: Begun, files: Files) -> None:
    begun.kill()
    done = task.cli("stop", files.run_id, command="codex_tasks")
    assert done.returncode == 0, done.stderr


JUDGES = [stays_with_it, reads_it, lists_it, stops_it]


@pytest.mark.parametrize("judge", JUDGES)
def test_the_end_of_a_run_whose_supervisor_was_killed_is_told_once(
    task: Tasks,
    stand_in: StandIn,
    hook: list[object],
    judge: Callable[[Tasks, Begun, Files], None],
) -> None:
    stand_in.plays(*script.begin(), script.hang())
    begun = task.start(*hook)
    files = begun.wait_running()
    wait_until(lambda: told(task.place / "heard"), what="that the start was told")
    supervisor = files.supervisor()
    kill(supervisor)
    wait_until(lambda: gone(supervisor))

    judge(task, begun, files)

    assert has_been_told_once(task)


@pytest.mark.core
def test_the_end_that_a_killed_supervisor_had_on_record_is_told_once(
    task: Tasks, hook: list[object]
) -> None:
    point = dies(SUPERVISOR, "open", ".summary.json.")
    ended = task(*hook, env=sabotaged(point))
    assert ended.fields["outcome"] == "succeeded"
    with closing(sqlite3.connect(ledger_of(task))) as db, db:
        db.execute("update outbox set due_at = '2026-01-01' where done_at is null")

    wait_until(lambda: list_tasks(task) or everything_is_told(task), 30)

    assert has_been_told_once(task)
