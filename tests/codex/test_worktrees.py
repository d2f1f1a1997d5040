"""The real Codex works in git worktrees of its own."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.real_sessions import RealSession, RealSessions
from support.repository import git, state_of
from support.tasks import is_refused

TASKS = 8


def test_eight_tasks_at_once_work_in_eight_worktrees(sessions: RealSessions) -> None:
    before = state_of(sessions.repo)

    def start(number: int) -> RealSession:
        prompt = f"run: echo {number} > file-{number}.txt; echo {number} > same.txt"
        return sessions.start("--worktree", prompt)

    with ThreadPoolExecutor(TASKS) as pool:
        started = [*pool.map(start, range(TASKS))]
    assert sessions("status", "--wait", "--all").code == 0

    assert state_of(sessions.repo) == before
    branches = git(sessions.repo, "for-each-ref", "refs/heads/codex/").splitlines()
    assert len(branches) == TASKS
    for number, session in enumerate(started):
        told = json.loads(sessions("diff", "--json", session.id).stdout)
        assert [each["path"] for each in told["files"]] == [
            *(f"file-{number}.txt", "same.txt")
        ]
        assert session.status["changes"]["lines_added"] == 2
    merges = [sessions("merge", session.id).code for session in started]
    assert merges == [0] + [1] * (TASKS - 1)
    assert git(sessions.repo, "status", "--porcelain") == ""


def test_the_second_of_two_that_touch_one_line_is_not_merged(
    sessions: RealSessions,
) -> None:
    first, second = (
        sessions.start("--worktree", f"run: echo {word} > README.md")
        for word in ("first", "second")
    )
    assert sessions("status", "--wait", first.id, second.id).code == 0
    assert sessions("merge", first.id).code == 0
    before, place = state_of(sessions.repo), Path(second.status["working_dir"])

    said = sessions("merge", second.id)

    told, fix = "conflicts with main in README.md", "fix:   git merge "
    assert is_refused(said, 1, told, fix), said
    assert state_of(sessions.repo) == before
    assert (place / "README.md").read_text() == "second\n"
    assert (sessions.repo / "README.md").read_text() == "first\n"


def test_a_task_is_resumed_in_its_worktree(sessions: RealSessions) -> None:
    session = sessions.start("--worktree", "run: pwd > place")
    session.wait()
    place = Path(session.status["working_dir"])

    session.send("run: pwd >> place")
    session.wait()

    assert (place / "place").read_text().split() == [str(place)] * 2
    (cwd,) = {
        each["cwd"] for each in sessions.codex.records(session.id, "turn_context")
    }
    assert cwd == str(place)
    assert git(sessions.repo, "status", "--porcelain") == ""


def test_what_a_run_without_a_worktree_has_changed_is_shown(
    sessions: RealSessions,
) -> None:
    session = sessions.start("run: echo more >> README.md; touch new")
    session.wait()

    said = sessions("diff", session.id)

    assert "+more\n" in said.stdout
    assert "untracked, new: new\n" in said.stdout
