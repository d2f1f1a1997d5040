"""A state directory that cannot be written can be looked at, and says so."""

import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from support.processes import wait_until
from support.sessions import COMMAND, Session, Sessions

from runner.ledger.database import NAME, connect

MOUNTED = """
mount -t tmpfs -o size=4m none "$PLACE" && cp -a "$STATE/." "$PLACE"
"""
READ_ONLY = 'mount -o remount,ro "$PLACE"; exec "$@"'
FULL = 'head -c 9999999 /dev/zero > "$PLACE/x" 2> /dev/null; exec "$@"'
UNSHARE = ["unshare", "-Urm", "--kill-child", "sh", "-c"]

needs_mounts = pytest.mark.skipif(
    subprocess.run(
        [*UNSHARE, "mount -t tmpfs none /mnt"], capture_output=True, check=False
    ).returncode
    != 0,
    reason="nothing can be mounted here",
)


@pytest.fixture
def ended(sessions: Sessions) -> Session:
    """Make a session whose ledger was closed by the last that had it open."""
    session = sessions.ended("-t", "one", "Begin.")
    path = sessions.state_home / NAME

    def is_closed() -> bool:
        with closing(connect(path)) as db:
            db.execute("pragma wal_checkpoint(truncate)")
        return not path.with_name(f"{NAME}-wal").exists()

    wait_until(is_closed, what="the end of the supervisor")
    return session


@needs_mounts
@pytest.mark.parametrize(
    ("how", "why"),
    [(READ_ONLY, "{} cannot be written"), (FULL, "the disk of {} is full")],
    ids=["read-only", "full"],
)
def test_it_is_shown_and_nothing_is_judged(
    sessions: Sessions, ended: Session, tmp_path: Path, how: str, why: str
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    names = {"PLACE": str(place), "STATE": str(sessions.state_home)}
    env = {**names, "CODEX_RUNNER_HOME": str(place)}
    told = f"{why.format(place)}: no run is judged, no prompt delivered"

    for words, shown in (
        (["ls"], "\tdone\t"),
        (["status", "--wait", ended.id], "\nState: STOPPED\n"),
        (["result", ended.id], "answer to Begin.\n"),
    ):
        argv = [
            *UNSHARE,
            MOUNTED + how,
            "sh",
            *sessions.cli.argv(*words, command=COMMAND),
        ]
        process = sessions.cli.launch(argv, env=env)
        out, err = process.communicate(timeout=60)

        assert err.decode() == f"codex_tasks: {told}\n"
        assert shown in out.decode()
        assert process.returncode == 0
