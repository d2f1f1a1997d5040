"""Whoever dies, Codex goes on, no byte is lost, the next reader tells the truth."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.processes import is_alive, kill, wait_until
from support.sabotage import FOREGROUND, SUPERVISOR, dies, fails, sabotaged
from support.stand_in import StandIn, make_native
from support.tasks import CLOSING, Begun, Files, Tasks, gone, is_refused

from runner.locks import Lock, look
from runner.run_files import owner_of


def lose_supervisor(begun: Begun) -> Files:
    files = begun.wait_running()
    wait_until(lambda: files.text(".events.jsonl"), what="the first event")
    supervisor = files.supervisor()
    kill(supervisor)
    wait_until(lambda: gone(supervisor))
    return files


@pytest.mark.core
@pytest.mark.usefixtures("waiting")
def test_a_killed_supervisor_costs_no_byte_and_the_command_follows_on(
    task: Tasks, go: Path
) -> None:
    begun = task.start()
    files = lose_supervisor(begun)
    wait_until(lambda: "is gone, Codex goes on" in begun.stderr)
    assert not files.is_finished

    go.touch()
    ended = begun.wait()

    assert ended.code == 0
    assert ended.block == CLOSING
    assert ended.fields["outcome"] == "succeeded"
    assert "It is done." in ended.stdout
    assert "It is done." in files.log
    assert "outcome=succeeded" in files.log
    assert files.text(".events.jsonl").count("\n") == 4
    assert files.summary["final_message"] == "It is done."
    assert files.meta["outcome"] == "succeeded"


@pytest.mark.usefixtures("waiting")
def test_a_reader_sees_a_run_without_supervisor_as_running_then_as_it_ended(
    task: Tasks, go: Path
) -> None:
    begun = task.start()
    files = lose_supervisor(begun)
    begun.kill()

    while_it_runs = task.parse(files.run_id)
    codex = files.codex()
    go.touch()
    wait_until(lambda: gone(codex))
    after_it = task.parse(files.run_id)

    assert while_it_runs.code == 0
    assert '"outcome":null' in while_it_runs.stdout
    assert after_it.code == 0
    assert '"outcome":"succeeded"' in after_it.stdout
    assert files.meta["outcome"] == "succeeded"
    assert files.meta["session_id"] == script.THREAD
    assert files.meta["process_exit_code"] is None
    assert "It is done." in files.log


@pytest.mark.core
def test_killed_with_its_supervisor_a_run_is_lost(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), script.message("half of it"), script.hang())
    begun = task.start()
    files = lose_supervisor(begun)
    kill(files.codex())
    ended = begun.wait()

    assert ended.code == 1
    assert ended.fields["outcome"] == "lost"
    assert files.meta["outcome"] == "lost"
    assert "without a terminal event" in files.meta["error"]
    assert files.meta["ended_at"] is not None
    assert "half of it" in files.log


@pytest.mark.parametrize("by", ["id", "log"])
def test_a_reader_with_another_state_directory_tells_the_truth_and_writes_nothing(
    task: Tasks, stand_in: StandIn, tmp_path: Path, by: str
) -> None:
    stand_in.plays(*script.begin(), script.message("half of it"), script.hang())
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: "half of it" in files.text(".events.jsonl"))
    log = ["--log", files.path(".events.jsonl")]
    words = log if by == "log" else [files.run_id, "--log-dir", files.directory]
    env = {"CODEX_RUNNER_HOME": str(tmp_path / "another")}

    def found() -> dict[str, object]:
        done = task.cli(*words, command="parse_codex_run", env=env)
        assert done.returncode == 0, done.stderr
        summary: dict[str, object] = json.loads(done.stdout)
        assert summary["run_id"] == files.run_id
        assert summary["final_message"] == "half of it"
        return summary

    supervisor, codex, calls = files.supervisor(), files.codex(), len(stand_in.records)
    assert found()["outcome"] is None
    begun.kill()
    kill(supervisor)
    wait_until(lambda: gone(supervisor))
    assert found()["outcome"] is None
    kill(codex)
    wait_until(lambda: gone(codex))

    assert found()["outcome"] == "lost"
    assert files.meta["state"] == "running"
    assert not task.on_record(files).is_finished
    # What is run comes from the reader's own settings, not from the record.
    assert len(stand_in.records) == calls
    assert '"outcome":"lost"' in task.parse(files.run_id).stdout


@pytest.mark.core
def test_killed_after_the_turn_had_ended_the_log_decides(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.ordinary("All done."), script.hang())
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: "turn.completed" in files.text(".events.jsonl"))
    supervisor, codex = files.supervisor(), files.codex()
    for pid in (begun.process.pid, supervisor, codex):
        kill(pid)
    begun.process.wait(10)
    # Codex holds its lock until the kernel has ended it.
    wait_until(lambda: gone(supervisor, codex))

    done = task.parse(files.run_id)

    assert '"outcome":"succeeded"' in done.stdout
    assert files.meta["outcome"] == "succeeded"


def test_readers_that_come_at_once_agree(task: Tasks, stand_in: StandIn) -> None:
    stand_in.plays(*script.begin(), script.message("half of it"), script.hang())
    begun = task.start()
    files = lose_supervisor(begun)
    begun.kill()
    codex = files.codex()
    kill(codex)
    wait_until(lambda: gone(codex))

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(task.parse, [files.run_id] * 6))

    assert [each.code for each in done] == [0] * 6
    assert len({each.stdout for each in done}) == 1
    assert '"outcome":"lost"' in done[0].stdout
    assert files.log.count("half of it") == 1


@pytest.mark.usefixtures("waiting")
def test_killing_the_command_does_not_disturb_the_run(task: Tasks, go: Path) -> None:
    begun = task.start()
    files = begun.wait_running()
    begun.kill()
    assert is_alive(files.codex())

    go.touch()
    files.wait_for_end()

    assert files.meta["outcome"] == "succeeded"
    assert files.summary["final_message"] == "It is done."
    assert "outcome=succeeded" in files.log


def test_a_command_killed_before_it_has_a_supervisor_leaves_nothing(
    task: Tasks, stand_in: StandIn, state_home: Path
) -> None:
    ended = task.start(env=sabotaged(dies(FOREGROUND, "os.fork", ""))).wait()

    assert (ended.code, ended.stdout) == (-signal.SIGKILL, "")
    assert not task.log_dir.exists()
    assert not state_home.exists()
    assert stand_in.runs == []


@pytest.mark.core
def test_with_both_killed_between_record_and_launch_a_run_is_not_started(
    task: Tasks, stand_in: StandIn, state_home: Path
) -> None:
    follows = dies(FOREGROUND, "import", "runner.cli.follow_run")
    begun = task.start(env=sabotaged(follows, dies(SUPERVISOR, *CLAIMED)))
    files = begun.wait_announced()
    assert begun.wait().code == -signal.SIGKILL
    owner = owner_of(state_home, files.run_id)
    wait_until(lambda: look(owner) is Lock.FREE, what="the end of the supervisor")
    assert files.meta["state"] == "prepared"

    done = task.parse(files.run_id)

    assert '"outcome":"not_started"' in done.stdout
    assert files.meta["outcome"] == "not_started"
    assert files.meta["error"]
    assert stand_in.runs == []


def test_a_command_killed_right_after_the_launch_loses_nothing(
    task: Tasks,
) -> None:
    point = dies(FOREGROUND, "import", "runner.cli.follow_run")
    begun = task.start(env=sabotaged(point))
    files = begun.wait_announced()
    assert begun.wait().code == -signal.SIGKILL

    files.wait_for_end()

    assert files.meta["outcome"] == "succeeded"


BEFORE_THE_RECORD = {
    "before it has a ledger": ("sqlite3.connect", "ledger.db"),
    "before it has made a file": ("open", ".prompt"),
    "before it has a lock": ("open", "/owner"),
    "before its transaction": ("sqlite3.execute", "begin immediate"),
    "within its transaction": ("sqlite3.execute", "insert into runs"),
    "before its commit": ("sqlite3.execute", "commit"),
}


@pytest.mark.parametrize("when", BEFORE_THE_RECORD)
@pytest.mark.parametrize("detach", [False, True])
def test_a_supervisor_that_dies_before_its_record_is_told_and_leaves_no_run(
    task: Tasks, stand_in: StandIn, state_home: Path, when: str, *, detach: bool
) -> None:
    point = dies(SUPERVISOR, *BEFORE_THE_RECORD[when])
    ended = task(*(["--detach"] if detach else []), env=sabotaged(point))

    told = "cannot start a supervisor: it was killed before it recorded the run"
    assert is_refused(ended, 1, told), ended
    assert stand_in.runs == []
    assert task.cli("ls", "-a", command="codex_tasks").stdout == ""
    verified = task.cli("verify", "--full", command="codex_tasks")
    assert verified.returncode == 0, verified.stdout
    # At most files without a run stay, which others cannot read.
    for left in (*state_home.glob("runs/**/*"), *task.log_dir.glob("*")):
        assert not left.stat().st_mode & 0o077
    for events in task.log_dir.glob("*.events.jsonl"):
        assert look(events) is Lock.FREE
    assert task().code == 0


# What the supervisor writes into the ledger when it takes the run over, and when it has
# started Codex.
CLAIMED = ("sqlite3.execute", "set state = :state, supervisor")
LAUNCHED = ("sqlite3.execute", "set state = 'running'")
BEFORE_THE_CLAIM = {
    "before it has loaded all": ("import", "runner.supervisor.start_codex"),
    "once it has told the command": ("os.chdir", "'/'"),
    "before it has claimed the run": CLAIMED,
}


@pytest.mark.parametrize("when", BEFORE_THE_CLAIM)
@pytest.mark.parametrize("detach", [False, True])
def test_a_supervisor_that_dies_before_its_claim_is_a_run_not_started(
    task: Tasks, stand_in: StandIn, when: str, *, detach: bool
) -> None:
    point = dies(SUPERVISOR, *BEFORE_THE_CLAIM[when])
    begun = task.start(*(["--detach"] if detach else []), env=sabotaged(point))
    ended = begun.wait(10)

    assert ended.code == 1
    assert ended.fields["outcome"] == "not_started"
    assert ended.block == CLOSING
    assert ended.meta["outcome"] == "not_started"
    assert "supervisor" in ended.meta["error"]
    assert stand_in.runs == []


BEFORE_AN_EVENT = {
    "before it has started Codex": dies(SUPERVISOR, "os.posix_spawn", "exec"),
    "once Codex is started": dies(SUPERVISOR, *LAUNCHED),
}


@pytest.mark.parametrize("when", BEFORE_AN_EVENT)
@pytest.mark.parametrize("detach", [False, True])
def test_killed_between_the_claim_and_the_first_event_a_run_is_lost(
    task: Tasks, stand_in: StandIn, when: str, *, detach: bool
) -> None:
    is_started = when == "once Codex is started"
    stand_in.plays(script.hang())
    point = BEFORE_AN_EVENT[when]
    begun = task.start(*(["--detach"] if detach else []), env=sabotaged(point))
    if is_started:
        wait_until(lambda: stand_in.runs, what="Codex, which has read its prompt")
        kill(stand_in.runs[0]["pid"])
    files = begun.wait(10).files

    assert '"outcome":"lost"' in task.parse(files.run_id).stdout
    assert "perhaps before it started Codex" in files.meta["error"]
    assert len(stand_in.runs) == is_started


def test_a_supervisor_that_cannot_claim_its_run_is_a_run_not_started(
    task: Tasks, stand_in: StandIn
) -> None:
    point = fails(SUPERVISOR, *CLAIMED)
    ended = task.start(env=sabotaged(point)).wait(10)

    assert ended.code == 1
    assert ended.fields["outcome"] == "not_started"
    assert stand_in.runs == []


AFTER_CODEX: dict[str, tuple[Any, ...]] = {
    "before it has put that on record": LAUNCHED,
    "before it has said so": ("import", "runner.supervisor.loop"),
    # It has made the file, and opened it for Codex.
    "before it has read an event": ("open", ".events.jsonl", 3),
}


@pytest.mark.parametrize("when", AFTER_CODEX)
def test_a_supervisor_that_dies_once_codex_is_started_is_made_up_for(
    task: Tasks, stand_in: StandIn, tmp_path: Path, go: Path, when: str
) -> None:
    wait = f"until [ -e {go} ]; do sleep 0.02; done"
    said = r'{"type":"turn.completed","usage":null}'
    begin = '{"type":"thread.started","thread_id":"$THREAD"}'
    stand_in.plays(
        script.native(
            make_native(tmp_path / "native"),
            f"echo '{begin}'; {wait}; echo '{said}'",
        )
    )
    begun = task.start(env=sabotaged(dies(SUPERVISOR, *AFTER_CODEX[when])))
    wait_until(lambda: stand_in.natives)
    files = begun.wait_announced()
    wait_until(lambda: "is gone, Codex goes on" in begun.stderr)
    assert '"outcome":null' in task.parse(files.run_id).stdout

    go.touch()
    ended = begun.wait(10)

    assert ended.fields["outcome"] == "succeeded"
    assert ended.fields["codex_session_id"] == script.THREAD


@pytest.mark.usefixtures("waiting")
def test_a_launcher_that_was_not_put_on_record_is_known_by_what_it_writes_to(
    task: Tasks, go: Path
) -> None:
    begun = task.start(env=sabotaged(dies(SUPERVISOR, *LAUNCHED)))
    files = begun.wait_announced()
    wait_until(lambda: "is gone, Codex goes on" in begun.stderr)
    assert task.on_record(files).launched_at is None
    assert '"outcome":null' in task.parse(files.run_id).stdout

    go.touch()

    assert begun.wait().fields["outcome"] == "succeeded"


def test_a_supervisor_that_dies_before_its_verdict_is_made_up_for(
    task: Tasks,
) -> None:
    point = dies(SUPERVISOR, "sqlite3.execute", "update runs set state = 'finished'")
    ended = task.start(env=sabotaged(point)).wait(10)

    assert ended.code == 0
    assert ended.fields["outcome"] == "succeeded"
    assert ended.files.summary["outcome"] == "succeeded"
    assert ended.files.log.count("All done.") == 1


# The fourth meta file is the last one: one comes with the record, one with the launch,
# one with the thread.
BETWEEN_COMMIT_AND_EXPORTS: dict[str, tuple[Any, ...]] = {
    "before its summary": ("open", ".summary.json."),
    "within its summary": ("os.rename", ".summary.json"),
    "before its meta file": ("open", ".meta.json.", 4),
    "within its meta file": ("os.rename", ".meta.json", 4),
}


@pytest.mark.parametrize("when", BETWEEN_COMMIT_AND_EXPORTS)
@pytest.mark.parametrize("is_watched", [True, False])
def test_whoever_asks_next_writes_the_files_that_a_killed_supervisor_has_not(
    task: Tasks, when: str, *, is_watched: bool
) -> None:
    point = dies(SUPERVISOR, *BETWEEN_COMMIT_AND_EXPORTS[when])
    ended = task(*([] if is_watched else ["--detach"]), env=sabotaged(point))
    assert ended.code == 0
    wait_until(lambda: ended.files.is_finished or gone(ended.files.supervisor()))
    found = task.parse(ended.files.run_id)

    assert '"outcome":"succeeded"' in found.stdout
    assert ended.meta["outcome"] == "succeeded"
    assert ended.files.summary == json.loads(found.stdout)
    assert ended.files.log.count("All done.") == 1
    assert ended.files.log.count("outcome=succeeded") == 1


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_completed_log_keeps_what_a_hook_wrote_and_has_one_end(
    task: Tasks, stand_in: StandIn, *, is_silent: bool
) -> None:
    stand_in.plays(script.leave(3)) if is_silent else None
    point = dies(SUPERVISOR, "os.rename", ".meta.json", 3 if is_silent else 4)
    task("--notify-cmd", "echo heard", env=sabotaged(point))
    (run,) = task.all
    wait_until(lambda: "heard\n" in run.log, what="the first hook")
    # The verdict is in the ledger; a sweep completes the files.
    task.parse(run.run_id)
    wait_until(lambda: run.is_finished)

    assert run.log.count("heard\n") == 1
    assert run.log.count("codex_exit_code=") == 1


def test_readers_that_come_at_once_write_the_missing_files_once(task: Tasks) -> None:
    ended = task("--detach", env=sabotaged(dies(SUPERVISOR, "open", ".summary.json.")))
    wait_until(lambda: gone(ended.files.supervisor()))

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(task.parse, [ended.files.run_id] * 6))

    assert len({each.stdout for each in done}) == 1
    assert ended.meta["outcome"] == "succeeded"
    assert ended.files.log.count("outcome=succeeded") == 1


def test_a_launcher_may_die_while_codex_itself_goes_on(
    task: Tasks, stand_in: StandIn, tmp_path: Path, go: Path
) -> None:
    wait = f"until [ -e {go} ]; do sleep 0.02; done"
    begin = '{"type":"thread.started","thread_id":"$THREAD"}'
    said = '{"type":"turn.completed","usage":null}'
    stand_in.plays(
        script.native(
            make_native(tmp_path / "native"),
            f"echo '{begin}'; {wait}; echo '{said}'",
        )
    )
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: stand_in.natives)
    launcher = files.codex()
    kill(launcher)
    wait_until(lambda: gone(launcher))
    assert is_alive(stand_in.natives[0])
    assert not files.is_finished

    go.touch()
    ended = begun.wait()

    assert ended.code == 0
    assert ended.fields["outcome"] == "succeeded"


def test_a_native_codex_that_is_killed_with_its_launcher_has_ended(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.plays(
        *script.begin(),
        script.native(make_native(tmp_path / "native"), "kill -STOP $$"),
    )
    begun = task.start()
    files = begun.wait_running()
    wait_until(lambda: stand_in.natives)
    for pid in (files.codex(), *stand_in.natives):
        kill(pid)

    ended = begun.wait()

    assert ended.code == 137
    assert ended.fields["outcome"] == "interrupted"
    assert "SIGKILL" in ended.meta["error"]
