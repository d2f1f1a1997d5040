"""A task works in a git worktree of its own, and is merged or kept."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.commands import Cli, rows_of
from support.processes import wait_until
from support.repository import git, make_repository
from support.sessions import Session, Sessions
from support.tasks import is_refused
from support.terminal import on_screen

HEAD = ("rev-parse", "HEAD")


@pytest.fixture
def sessions(sessions: Sessions) -> Sessions:
    """Let Codex write a file where it works, and add a line to another."""
    sessions.stand_in.plays(
        *script.begin(),
        script.write("new.txt", "new\n"),
        script.write("README.md", "A line of $THREAD\n"),
        script.complete(),
        thread=script.FRESH,
    )
    return sessions


def ended(sessions: Sessions, *more: object) -> Session:
    return sessions.ended("--worktree", *more, "Do it.")


def place_of(session: Session) -> Path:
    return Path(session.status["working_dir"])


def changes_of(session: Session) -> dict[str, Any]:
    found: dict[str, Any] = session.status["changes"]
    return found


def differences(session: Session, *more: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        session.sessions("diff", "--json", *more, session.id).stdout
    )
    return found


def state_of(repo: Path) -> list[str]:
    """Give what must stay as it is of a repository of the user's."""
    words: list[tuple[str, ...]] = [
        ("symbolic-ref", "-q", "HEAD"),
        ("stash", "list"),
        ("status", "--porcelain"),
        ("ls-files", "--stage"),
    ]
    refs = git(repo, "for-each-ref").splitlines()
    return [
        *(each for each in refs if "refs/heads/codex" not in each),
        *(git(repo, *each) for each in words),
    ]


def test_the_files_of_the_user_stay_as_they_are(sessions: Sessions) -> None:
    (sessions.repo / "README.md").write_text("mine\n")
    before = state_of(sessions.repo)

    session = ended(sessions)

    assert state_of(sessions.repo) == before
    place, short_id = place_of(session), session.status["short_id"]
    assert place == sessions.state_home / "worktrees" / short_id / "repo"
    assert (place / "new.txt").read_text() == "new\n"
    assert git(place, "branch", "--show-current").strip() == f"codex/{short_id}"
    assert {each["working_dir"] for each in sessions.listed().values()} == {
        str(sessions.repo)
    }


def test_the_record_has_base_branch_and_what_has_changed(sessions: Sessions) -> None:
    session = ended(sessions)

    head = git(sessions.repo, *HEAD).strip()
    told = changes_of(session)
    assert (told["base"], told["head"]) == (head, head)
    counts = [told[name] for name in ("files", "lines_added", "lines_removed")]
    assert counts == [2, 2, 0]
    assert session.runs[-1].meta["accounts"]["changes"] == told
    assert session.runs[-1].summary["changes"] == told
    shown = sessions("status", session.id).stdout
    assert f"Changes: 2 files changed, +2 -0 lines on {told['branch']}\n" in shown


def test_changes_that_are_not_copied_are_named(sessions: Sessions) -> None:
    (sessions.repo / "README.md").write_text("mine\n")
    (sessions.repo / "untracked").touch()

    said = sessions(*sessions.starting("--worktree", "Do it."))

    assert "uncommitted changes" in said.stderr
    assert "README.md, untracked\n" in said.stderr


def test_later_prompts_work_in_the_same_worktree(sessions: Sessions) -> None:
    session = ended(sessions)
    place = place_of(session)

    session.send("More.")
    session.wait()

    assert place_of(session) == place
    assert (place / "new.txt").read_text() == "new\nnew\n"
    (listed,) = sessions.listed().values()
    assert listed["working_dir"] == str(sessions.repo)
    (repo,) = sessions.rows("select distinct repo from usage") or [(b"",)]
    assert repo[0] in {b"", bytes(sessions.repo)}


def test_a_task_is_moved_to_a_worktree_by_a_later_prompt(sessions: Sessions) -> None:
    session = sessions.ended("Do it.")

    session.send("More.", "--worktree")
    session.wait()

    assert place_of(session).is_relative_to(sessions.state_home)


def test_on_a_terminal_the_sizes_of_a_diff_end_with_the_whole(
    sessions: Sessions, cli: Cli
) -> None:
    session = ended(sessions)
    base, name = git(sessions.repo, *HEAD)[:7], session.status["short_id"]

    *files, whole = on_screen(cli, 80, "diff", "--stat", session.id)

    assert [line.split() for line in files] == [
        ["README.md", "+1", "+"],
        ["new.txt", "+1", "+"],
    ]
    assert whole == f"2 files +2 \N{MINUS SIGN}0   on codex/{name}   base {base}"


def test_diff_shows_what_is_committed_and_what_is_not(sessions: Sessions) -> None:
    session = ended(sessions)
    place = place_of(session)
    git(place, "add", "new.txt")
    git(place, "commit", "--quiet", "--message=Theirs")

    text = sessions("diff", session.id).stdout
    told = differences(session)

    assert "+++ b/new.txt" in text
    assert "+++ b/README.md" in text
    assert [each["path"] for each in told["files"]] == ["README.md", "new.txt"]
    assert told["head"] != told["base"]
    assert " 2 files changed" in sessions("diff", "--stat", session.id).stdout
    assert git(place, "status", "--porcelain") == " M README.md\n"


def test_merge_commits_the_rest_and_merges(sessions: Sessions) -> None:
    session = ended(sessions, "--title", "A new file")

    said = sessions("merge", session.id)

    assert said.stdout == (
        f"Task {session.id} merged into main: 2 files changed, +2 -0 lines.\n"
    )
    assert (sessions.repo / "new.txt").read_text() == "new\n"
    assert git(sessions.repo, "log", "-1", "--format=%s").strip() == "A new file"
    assert git(sessions.repo, "status", "--porcelain") == ""
    again = sessions("merge", session.id)
    assert (again.code, again.stdout) == (0, f"Task {session.id}: nothing to merge.\n")
    assert sessions("rm", session.id).code == 0
    assert git(sessions.repo, "for-each-ref", "refs/heads/codex").strip() == ""


def test_the_turns_of_a_check_are_merged_as_the_prompt_that_they_are_of(
    sessions: Sessions,
) -> None:
    session = sessions.start("Do it.", "--worktree", "--verify", "false")
    session.wait()
    assert session.status["runs"] == 3

    assert sessions("merge", session.id).code == 0

    assert git(sessions.repo, "log", "-1", "--format=%s").strip() == "Do it."


def test_the_turns_of_a_check_stay_in_the_worktree_and_under_the_users_directory(
    sessions: Sessions,
) -> None:
    check = "sh -c 'pwd >> checked; false'"
    session = sessions.start("Do it.", "--worktree", "--verify", check)
    session.wait()
    place = place_of(session)

    assert (place / "checked").read_text() == f"{place}\n" * 3
    assert {each["repo"] for each in sessions.records} == {str(sessions.repo)}
    assert [run["cwd"] for run in sessions.stand_in.runs] == [str(place)] * 3
    (told,) = rows_of(sessions("ls", "--json").stdout)
    assert told["working_dir"] == str(sessions.repo)


def test_a_conflict_stops_the_merge_with_both_trees_intact(sessions: Sessions) -> None:
    first, second = ended(sessions), ended(sessions)
    assert sessions("merge", first.id).code == 0
    before = state_of(sessions.repo)
    theirs = differences(second)

    said = sessions("merge", second.id)

    told = "conflicts with main in README.md: nothing is merged"
    assert is_refused(said, 1, told, "fix:   git merge "), said
    assert state_of(sessions.repo) == before
    assert differences(second) == theirs


@pytest.mark.parametrize("name", ["README.md", "new.txt"])
def test_a_file_of_the_user_that_a_merge_would_overwrite_stops_it(
    sessions: Sessions, name: str
) -> None:
    session = ended(sessions)
    (sessions.repo / name).write_text("mine\n")
    before = state_of(sessions.repo)

    said = sessions("merge", session.id)

    told = f"would be overwritten: {name}"
    assert is_refused(said, 1, told, "fix:   git stash -u, or git commit"), said
    assert state_of(sessions.repo) == before
    assert (sessions.repo / name).read_text() == "mine\n"


def test_changes_of_the_user_in_other_files_stay(sessions: Sessions) -> None:
    session = ended(sessions)
    (sessions.repo / "mine").write_text("mine\n")

    assert sessions("merge", session.id).code == 0

    assert git(sessions.repo, "status", "--porcelain") == "?? mine\n"


def test_on_a_detached_head_a_task_begins_there_and_is_merged_nowhere(
    sessions: Sessions,
) -> None:
    git(sessions.repo, "checkout", "--quiet", "--detach")
    before = state_of_detached(sessions.repo)

    session = ended(sessions)
    said = sessions("merge", session.id)

    assert differences(session)["base"] == git(sessions.repo, *HEAD).strip()
    told = "no branch is checked out"
    assert is_refused(said, 1, told, "fix:   git switch BRANCH"), said
    assert state_of_detached(sessions.repo) == before


def state_of_detached(repo: Path) -> list[str]:
    return [git(repo, *HEAD), git(repo, "status", "--porcelain", "--branch")]


@pytest.mark.parametrize("verb", ["merge", "rm"])
def test_a_running_task_is_neither_merged_nor_removed(
    sessions: Sessions, go: Path, verb: str
) -> None:
    new = script.write("new.txt", "new\n")
    sessions.stand_in.plays(
        *script.begin(), new, script.wait_for(go), script.complete()
    )
    session = sessions.start("--worktree", "Do it.")
    wait_until((place_of(session) / "new.txt").exists)

    said = sessions(verb, session.id)

    assert said.code == 75
    assert "is busy" in said.stderr
    go.touch()
    session.wait()


def test_work_that_is_not_merged_is_removed_by_force_only(sessions: Sessions) -> None:
    session = ended(sessions)
    place = place_of(session)

    refused = sessions("rm", session.id)
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=Theirs")
    committed = sessions("rm", session.id)
    pruned = sessions("prune", "--older-than", "0s", "-a")

    assert refused.code == committed.code == 1
    assert "uncommitted changes in its worktree: README.md, new.txt" in refused.stderr
    assert "has commits on codex/" in committed.stderr
    assert pruned.code == 0
    assert "has commits on codex/" in pruned.stderr
    assert place.exists()
    assert sessions("archive", session.id).code == 0
    assert place.exists()
    assert sessions("rm", "--force", session.id).code == 0
    assert not place.parent.exists()
    assert git(sessions.repo, "for-each-ref", "refs/heads/codex").strip() == ""
    assert "codex" not in git(sessions.repo, "worktree", "list")


def test_a_worktree_of_a_repository_that_is_gone_is_removed_by_force(
    sessions: Sessions,
) -> None:
    session = ended(sessions)
    place = place_of(session)
    sessions.repo.rename(sessions.repo.with_name("moved"))

    refused = sessions("rm", session.id)

    assert refused.code == 1
    assert "Traceback" not in refused.stderr
    assert sessions("rm", "--force", session.id).code == 0
    assert not place.exists()


def test_a_branch_of_that_name_is_not_touched(sessions: Sessions) -> None:
    git(sessions.repo, "branch", "codex")

    session = ended(sessions)

    short_id = session.status["short_id"]
    assert changes_of(session)["branch"] == f"codex-{short_id}"
    assert git(sessions.repo, "rev-parse", "codex") == git(sessions.repo, *HEAD)


def test_a_task_begins_at_the_commit_that_it_is_given(sessions: Sessions) -> None:
    git(sessions.repo, "tag", "v1")
    (sessions.repo / "later").touch()
    git(sessions.repo, "add", "later")
    git(sessions.repo, "commit", "--quiet", "--message=Later")

    session = ended(sessions, "--base", "v1")

    place = place_of(session)
    assert not (place / "later").exists()
    refused = session.send("More.", "--worktree", "--base", "main")
    assert refused.code == 2


def test_codex_works_in_the_same_subdirectory(sessions: Sessions) -> None:
    inside = sessions.repo / "new" / "deep"
    inside.mkdir(parents=True)

    session = ended(sessions, "--working-dir", inside)

    place = place_of(session)
    assert place.parts[-3:] == ("repo", "new", "deep")
    assert (place / "new.txt").exists()


def test_submodules_are_left_as_they_are(sessions: Sessions, tmp_path: Path) -> None:
    part = make_repository(tmp_path / "part")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(sessions.repo, *add, str(part), "part")
    git(sessions.repo, "commit", "--quiet", "--message=Part")
    before = state_of(sessions.repo)

    session = ended(sessions)

    assert [each["path"] for each in differences(session)["files"]] == [
        *("README.md", "new.txt")
    ]
    assert state_of(sessions.repo) == before
    assert sessions("merge", session.id).code == 0
    assert sessions("rm", session.id).code == 0


def test_an_unfinished_merge_of_the_user_is_not_disturbed(sessions: Sessions) -> None:
    git(sessions.repo, "checkout", "--quiet", "-b", "side")
    git(sessions.repo, "commit", "--quiet", "--allow-empty", "--message=Side")
    git(sessions.repo, "checkout", "--quiet", "main")
    session = ended(sessions)
    git(sessions.repo, "merge", "--quiet", "--no-ff", "--no-commit", "side")

    said = sessions("merge", session.id)

    fix = "fix:   git merge --abort, or git commit"
    assert is_refused(said, 1, "a merge is not finished", fix), said
    assert (sessions.repo / ".git" / "MERGE_HEAD").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--base", "nowhere"), "nowhere is no commit of"),
        (("--base=-x",), "the name of a branch, tag or commit is required"),
    ],
)
def test_a_base_that_is_none_is_refused_before_anything_is_recorded(
    sessions: Sessions, words: tuple[str, ...], why: str
) -> None:
    said = sessions(*sessions.starting("--worktree", *words, "Do it."))

    assert said.code == 2
    assert why in said.stderr
    assert sessions.listed() == {}


def test_without_a_repository_or_a_commit_there_is_no_worktree(
    sessions: Sessions, tmp_path: Path
) -> None:
    empty, none = tmp_path / "empty", tmp_path / "none"
    for place in (empty, none):
        place.mkdir()
    git(empty, "init", "--quiet")
    words = sessions.starting("--worktree")

    in_empty = sessions(*words, "--working-dir", empty, "Do it.")
    in_none = sessions(*words, "--working-dir", none, "Do it.")

    assert in_empty.code == in_none.code == 2
    assert "has no commit yet" in in_empty.stderr
    assert "not a git repository" in in_none.stderr
    assert sessions.listed() == {}


def test_a_run_of_a_hook_works_in_the_repository_that_it_names(
    sessions: Sessions, tmp_path: Path
) -> None:
    other = make_repository(tmp_path / "other")
    hook = {"GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": ".git/index"}

    session = sessions.start("--worktree", "Do it.", env=hook)
    session.wait()

    assert place_of(session).name == "repo"
    assert not {*hook} & {*sessions.stand_in.runs[-1]["env"]}
    assert git(other, "worktree", "list").count("\n") == 1


def test_run_codex_task_works_in_a_worktree_and_resumes_there(
    sessions: Sessions, tmp_path: Path
) -> None:
    usual = ("--repo", sessions.repo, "--log-dir", tmp_path / "logs")
    words = (*usual, "--codex-bin", sessions.stand_in.path)

    here = sessions.repo
    first = sessions.cli(*words, "--worktree", "--task", "Do it.", cwd=here)
    (session,) = (Session(name, sessions) for name in sessions.listed())
    again = sessions.cli(*words, "--resume", session.id, "--task", "More.", cwd=here)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert (place_of(session) / "new.txt").read_text() == "new\nnew\n"
    assert not (sessions.repo / "new.txt").exists()


def test_a_prompt_that_waits_begins_with_what_is_merged_meanwhile(
    sessions: Sessions,
) -> None:
    first = ended(sessions)
    sessions("slots", "0")
    queued = sessions(*sessions.starting("--worktree", "--queue", "Do it."))
    assert sessions("merge", first.id).code == 0

    sessions("slots", "4")
    short_id = queued.stdout.strip()
    sessions("status", "--wait", short_id)

    shown = json.loads(sessions("diff", "--json", short_id).stdout)
    assert shown["base"] == git(sessions.repo, *HEAD).strip()


def test_a_lost_ledger_is_rebuilt_with_its_worktrees(sessions: Sessions) -> None:
    session = ended(sessions)
    told = differences(session)
    for path in sessions.state_home.glob("ledger.db*"):
        path.unlink()

    assert sessions("verify", "--repair").code == 0

    assert differences(session) == told
    assert sessions("merge", session.id).code == 0


def test_du_counts_worktrees(sessions: Sessions) -> None:
    session = ended(sessions)

    told = json.loads(sessions("du", "--json").stdout)

    assert told["kinds"]["worktrees"]["files"] >= 2
    assert sessions("verify").code == 0, session


def test_a_run_whose_supervisor_was_killed_has_its_changes_too(
    sessions: Sessions, go: Path
) -> None:
    sessions.stand_in.plays(
        *script.begin(),
        script.write("new.txt", "new\n"),
        script.wait_for(go),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.start("--worktree", "Do it.")
    wait_until((place_of(session) / "new.txt").exists, what="the new file")
    session.lose(codex=True)

    told = changes_of(session)

    assert session.status["outcome"] == "lost"
    assert told["files"] == 1


def test_a_worktree_that_git_was_killed_in_is_made_again(
    sessions: Sessions, tmp_path: Path
) -> None:
    real = shutil.which("git")
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *"worktree add"*) {real} "$@" & kill -9 $$ ;; esac\n'
        f'exec {real} "$@"\n'
    )
    (fake / "git").chmod(0o755)
    path = f"{fake}:{sessions.cli.environment['PATH']}"
    words = sessions.starting("--worktree", "--queue", "Do it.")
    short_id = sessions(*words, env={"PATH": path}).stdout.strip()
    failed = (
        "select 1 from runs where outcome = 'not_started' and exit_code = 1",
        "select 1 from prompts where state = 'queued'",
    )
    wait_until(lambda: all(map(sessions.rows, failed)), what="the failed run")

    git(sessions.repo, "fsck")
    sessions.let_time_pass()
    (fake / "git").unlink()
    (fake / "git").symlink_to(real or "git")
    said = sessions("status", "--wait", "--timeout", 30, short_id)

    assert said.code == 0
    assert "Changes: 2 files" in said.stdout


def test_a_worktree_behind_a_task_begins_with_what_was_merged_of_it(
    sessions: Sessions,
) -> None:
    first = ended(sessions)
    sessions("pause")
    words = ("--queue", "--worktree", "--after", first.id, "Go on.")
    second = sessions(*sessions.starting(*words)).stdout.strip()

    assert sessions("merge", first.id).code == 0
    merged = git(sessions.repo, *HEAD).strip()
    sessions("resume")
    assert sessions("wait", "--timeout", 30, second).code == 0

    (task,) = rows_of(sessions("status", "--json", second).stdout)
    assert task["changes"]["base"] == merged
