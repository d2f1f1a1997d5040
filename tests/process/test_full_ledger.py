"""A ledger that takes no verdict does not keep a command from telling it."""

import json
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.sabotage import SUPERVISOR, TASKS, fails, sabotaged
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import CLOSING, Tasks, gone

UPDATE = ("sqlite3.execute", "update runs set")
# The hook command keeps the supervisor after it has told of the end.
LINGERING = ("--notify-cmd", "sleep 0.5")


def full_from(update: int, who: str = SUPERVISOR) -> dict[str, str]:
    """Let the ledger refuse all that a supervisor has to say, from one update on."""
    return sabotaged(*(fails(who, *UPDATE, n) for n in range(60, update - 1, -1)))


def test_the_verdict_in_the_meta_file_is_told_once_the_supervisor_is_gone(
    task: Tasks,
) -> None:
    ended = task(*LINGERING, env=full_from(3))

    assert ended.code == 0
    assert ended.block == CLOSING
    assert ended.fields["outcome"] == "succeeded"
    assert "database or disk is full" in ended.stderr
    assert task.on_record(ended.files).has_succeeded


def test_the_verdict_in_the_meta_file_is_taken_over_by_the_next_reader(
    task: Tasks,
) -> None:
    ended = task("--detach", env=full_from(3))
    files = ended.files
    wait_until(lambda: files.is_finished, what="the verdict in the meta file")
    verdict, supervisor = files.meta, task.on_record(files).supervisor
    assert supervisor is not None
    wait_until(lambda: gone(supervisor.pid))
    assert not task.on_record(files).is_finished

    found = task.parse(files.run_id)

    assert '"outcome":"succeeded"' in found.stdout
    run = task.on_record(files)
    assert run.has_succeeded
    assert run.thread == verdict["session_id"] == script.THREAD
    assert run.accounts["token_usage"] == verdict["token_usage"]
    assert files.meta["process_exit_code"] == verdict["process_exit_code"] == 0
    assert task.cli("verify", command="codex_tasks").returncode == 0
    assert task("--resume", script.THREAD).code == 0


@pytest.mark.parametrize("words", [["--detach"], []])
def test_a_codex_that_could_not_be_started_is_told_too(
    task: Tasks, stand_in: StandIn, words: list[str]
) -> None:
    stand_in.path.chmod(0o600)

    ended = task(*LINGERING, *words, env=full_from(2))

    assert ended.code == 126
    assert ended.fields["outcome"] == "not_started"
    assert ended.block == CLOSING


def test_a_run_that_goes_wrong_keeps_its_exit_code(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), *script.fail("It is no good."))

    ended = task(*LINGERING, env=full_from(3))

    assert ended.code == 1
    assert ended.fields["outcome"] == "failed"
    assert "failed: It is no good." in ended.stderr


def test_an_end_that_cannot_be_recorded_is_told_and_not_waited_for(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(*script.begin(), script.wait_for(go), script.complete())
    # The updates before it are the claim, the launch, the thread and its turn.
    session = sessions.start(env=full_from(5))
    supervisor = session.wait_for_run(1).supervisor()
    go.touch()
    wait_until(lambda: gone(supervisor), what="the end of the supervisor")
    full = full_from(1, who=TASKS)

    waited = sessions("status", "--wait", "--json", "--one", session.id, env=full)
    stopped = sessions("stop", session.id, env=full)

    why = "the run has ended; its end cannot be recorded: database or disk is full"
    assert (waited.code, waited.stderr) == (1, f"codex_tasks: {session.id}: {why}\n")
    told = json.loads(waited.stdout)
    assert (told["state"], told["pid"]) == ("RUNNING", None)
    assert told["note"] == "Codex has ended; this is not recorded yet"
    assert (stopped.code, why in stopped.stderr) == (1, True)
    assert session.status["outcome"] == "succeeded"
    assert session.status["note"] is None
