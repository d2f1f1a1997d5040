"""Whatever is killed, the repository of the user stays as it is, and sound."""

import json
import os
import random
import subprocess
from pathlib import Path

from support import stand_in as script
from support.commands import rows_of
from support.guard import MARKER
from support.processes import command_line, kill, processes_with
from support.repository import git, state_of
from support.sessions import Sessions
from support.tasks import Begun

# By hand a hundred.
TASKS = int(os.environ.get("CODEX_TESTS_TASKS", "40"))
AT_ONCE = 4
SEED = 11
# How often a process is killed, of the times at which one is looked for.
SHARE = 0.3
VICTIMS = ("git", "runner.supervisor", "runner.cli.codex_tasks")


def is_victim(pid: int) -> bool:
    words = command_line(pid).split()
    return any(Path(word).name in VICTIMS for word in words[:4])


def kill_some(sessions: Sessions, begun: list[Begun], chance: random.Random) -> int:
    """Kill processes of the suite and git until some commands have ended."""
    marker, kills = sessions.cli.environment[MARKER], 0
    while any(each.process.poll() is None for each in begun):
        found = [pid for pid in processes_with(MARKER, marker) if is_victim(pid)]
        if found and chance.random() < SHARE:
            kill(chance.choice(found))
            kills += 1
    return kills


def test_tasks_with_kills_leave_the_repository_of_the_user_sound(
    sessions: Sessions,
) -> None:
    sessions.stand_in.plays(
        *script.begin(),
        script.write("new.txt", "new\n"),
        script.write("README.md", "A line of $THREAD\n"),
        script.message("Done."),
        script.complete(),
        thread=script.FRESH,
    )
    git(sessions.repo, "config", "user.name", "Test")
    git(sessions.repo, "config", "user.email", "test@example.invalid")
    (sessions.repo / "README.md").write_text("Stashed.\n")
    git(sessions.repo, "stash", "--quiet")
    (sessions.repo / "staged").touch()
    git(sessions.repo, "add", "staged")
    before, kills = state_of(sessions.repo), 0
    chance = random.Random(SEED)  # noqa: S311  # no secret

    for _ in range(TASKS // AT_ONCE):
        how = [["--worktree"] * (chance.random() < 0.7) for _ in range(AT_ONCE)]
        begun = [sessions.begin(*sessions.starting(*each, "Do it.")) for each in how]
        kills += kill_some(sessions, begun, chance)

    sessions("status", "--wait", "--all", "--timeout", 60)
    assert kills > TASKS // AT_ONCE
    assert state_of(sessions.repo) == before
    fsck = ["git", "-C", str(sessions.repo), "fsck", "--full", "--no-dangling"]
    checked = subprocess.run(fsck, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr
    assert "Traceback" not in "".join(p.read_text() for p in places(sessions, "err"))
    tasks = "select short_id from worktrees join sessions on session = id"
    for each in sessions.rows(tasks):
        assert_it_goes_on(sessions, *each)
    assert state_of(sessions.repo) == before
    assert git(sessions.repo, "for-each-ref", "refs/heads/codex/") == ""


def assert_it_goes_on(sessions: Sessions, short_id: str) -> None:
    """Check that what a task has in its worktree is shown, and can be removed."""
    (task,) = rows_of(sessions("status", "--json", short_id).stdout)
    if task["outcome"] == "succeeded":
        shown = json.loads(sessions("diff", "--json", short_id).stdout)
        assert [e["path"] for e in shown["files"]] == ["README.md", "new.txt"]
    removed = sessions("rm", "--force", short_id)
    assert removed.code == 0, removed.stderr


def places(sessions: Sessions, name: str) -> list[Path]:
    return [*sessions.place.glob(f"begun-*.{name}")]
