"""What `rm` leaves, and says of it."""

import re
import signal
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import fields
from support.processes import wait_until
from support.sabotage import TASKS, dies, fails, sabotaged
from support.sessions import Sessions
from support.tasks import gone


def test_files_of_runs_in_a_log_directory_stay_and_are_named(
    sessions: Sessions, tmp_path: Path
) -> None:
    usual = ("--repo", sessions.repo, "--log-dir", tmp_path / "logs")
    binary = ("--codex-bin", sessions.stand_in.path)
    sessions("config", "snapshot", "false")
    block = fields(sessions.cli(*usual, *binary, "--task", "Do it.").stdout)

    said = sessions("rm", block["codex_session_id"])

    assert said.code == 0
    # The times of its lines are always in the state directory.
    assert re.search(r"removed; (\d+ bytes|4\.\d kB) freed\.", said.stdout)
    assert f"files of removed runs stay in {tmp_path / 'logs'}" in said.stderr
    assert Path(block["log_file"]).exists()


@pytest.mark.parametrize("both", [True, False])
def test_what_a_killed_supervisor_has_left_running_is_named_and_keeps_its_task(
    sessions: Sessions, go: Path, *, both: bool
) -> None:
    stand_in = sessions.stand_in
    stand_in.plays(
        *script.begin(),
        script.spawn(),
        script.wait_for(go),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.start()
    session.wait_for_run(1)
    wait_until(lambda: stand_in.children)
    session.lose(supervisor=True, codex=both)
    go.touch()
    session.wait()

    left = session.status["left_running"]
    refused = sessions("rm", session.id)
    pruned = sessions("prune", "--older-than", "0s", "-a")

    assert pruned.code == 75
    short = session.status["short_id"]
    assert f"codex-tasks stop {short}" in pruned.stderr
    assert "has left running: " in pruned.stderr
    assert "holds it" not in pruned.stderr
    assert {each["pid"] for each in left} == {*stand_in.children}
    assert refused.code == 75
    assert session.stop().code == 0
    assert gone(*stand_in.children)
    assert sessions("rm", session.id).code == 0


def test_what_cannot_be_removed_is_named_and_not_counted(sessions: Sessions) -> None:
    session = sessions.ended()
    stays = session.directory / "task.log"
    stays.write_bytes(bytes(5_000_000))
    # It tries twice: with the task, and after it.
    once = fails(TASKS, "os.remove", "task.log")
    refused = sabotaged(once, once)

    said = sessions("rm", session.id, env=refused)

    assert said.code == 1
    assert f"not removed: {stays}: No space left" in said.stderr
    assert " kB freed" in said.stdout
    assert session.id not in sessions.listed("-a")


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize(
    ("event", "text"),
    [
        ("sqlite3.execute", "update imports set kind = 'removed'"),
        ("os.remove", "events"),
    ],
)
def test_a_removal_that_is_killed_leaves_no_exports_without_a_task(
    sessions: Sessions, event: str, text: str, *, archived: bool
) -> None:
    session = sessions.ended()
    if archived:
        assert sessions("archive", session.id).code == 0

    killed = sessions("rm", session.id, env=sabotaged(dies(TASKS, event, text)))

    assert killed.code == -signal.SIGKILL
    is_removed = sessions("status", session.id).code == 3
    assert is_removed is (event == "os.remove")
    assert sessions("verify", "--repair").code == 0
    exports = list(sessions.state_home.rglob("task.*"))
    assert bool(exports) is not is_removed
    assert sessions("verify").code == 0
