"""What sessions leave on the disk can be read by their user alone."""

import stat
from contextlib import suppress
from pathlib import Path

import pytest
from support import stand_in as script
from support.sessions import Sessions
from support.stand_in import StandIn

from runner.lifecycle.timer import FIFO


def modes(directory: Path) -> dict[Path, str]:
    found = {}
    for path in (directory, *directory.rglob("*")):
        # A supervisor that has given its verdict still renames its last files.
        with suppress(FileNotFoundError):
            found[path] = stat.filemode(path.lstat().st_mode)
    return found


@pytest.mark.parametrize("umask", ["000", "077"])
def test_all_in_the_state_directory_is_private_whatever_the_umask(
    sessions: Sessions, codex: StandIn, go: Path, umask: str
) -> None:
    codex.plays(
        *script.begin(),
        script.wait_for(go),
        script.message("answer"),
        script.complete(),
        thread=script.FRESH,
    )

    def run(*words: object) -> str:
        argv = sessions.cli.argv(*words, command="codex_tasks")
        shell = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *argv]
        process = sessions.cli.launch(shell)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        return out.decode().strip()

    key = run(*sessions.starting("-t", "Title", "Begin."))
    run("send", "--queue", key, "Next.")
    while_running = modes(sessions.state_home)
    go.touch()
    run("status", "--wait", key)
    when_done = modes(sessions.state_home)
    run("archive", key)

    home = sessions.state_home
    assert {"queue", "runs", key} <= {path.parent.name for path in while_running}
    assert not [*home.glob("queue/*")]
    for found in (while_running, when_done, modes(sessions.state_home)):
        assert len(found) > 8
        bell = {home / FIFO}
        assert {found[path] for path in found.keys() & bell} <= {"prw-------"}
        others = {found[path] for path in found.keys() - bell}
        assert others == {"drwx------", "-rw-------"}
    assert {run["umask"] for run in codex.runs} == {int(umask, 8)}


def test_no_prompt_is_on_a_command_line_or_in_an_environment(
    sessions: Sessions, codex: StandIn
) -> None:
    session = sessions.ended("The secret prompt.")
    session.send("Another secret prompt.")
    session.wait()

    for run in codex.runs:
        assert "secret" not in " ".join(run["argv"])
        assert not any("secret" in value for value in run["env"].values())
        assert "secret" in run["stdin"]
