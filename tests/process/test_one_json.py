"""Every command has --json: one object, as docs/schemas describe it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support import schemas
from support.commands import Cli
from support.sessions import Session, Sessions
from support.stand_in import StandIn

from runner.cli.agent import COMMANDS as AGENT
from runner.cli.tasks import COMMANDS

Env = Mapping[str, str | None] | None
# What is no object: the events as Codex has written them.
_JSON_LINES = ("log",)
# It prints what grows: an error of it is an object.
_GROWS = ("watch",)


def _told(said: Any) -> dict[str, Any]:  # noqa: ANN401  # of Sessions or of Cli
    """Give the one object that a command has printed."""
    schemas.check(said.stdout)
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def test_every_command_prints_one_object(
    sessions: Sessions,
) -> None:
    kinds: dict[str, str] = {}

    def say(command: str, *words: object, env: Env = None) -> dict[str, Any]:
        told = _told(sessions(command, "--json", *words, env=env))
        assert "errors" not in told, told
        kinds[command] = schemas.kind_of(told)
        return told

    started = say("start", *sessions.starting("Begin.")[1:])
    task = Session(started["id"], sessions)
    assert (started["session_id"], started["waiting"]) == (task.id, [])
    (waited,) = say("wait", task.id)["tasks"]
    assert waited["shown"]["state"] == "done"
    (listed,) = say("ls")["tasks"]
    assert len(say("top")["tasks"]) == 1
    (shown,) = say("status", task.id)["tasks"]
    same = listed.keys() & shown.keys() - {"seconds", "usage", "cost", "shown"}
    assert {k: listed[k] for k in same} == {k: shown[k] for k in same}
    assert shown["final_message"] == shown["last_result"] == "answer to Begin."
    assert say("result", task.id)["final_message"] == "answer to Begin."
    assert say("attach", task.id)["argv"][-1] == task.id

    _queue(say, task)
    _keep(say, task)
    rest = {"diff", "merge", "restore", *_JSON_LINES}
    assert kinds.keys() == COMMANDS.keys() - rest
    known = {path.stem for path in schemas.SCHEMAS.iterdir()}
    assert set(kinds.values()) <= known


def test_every_command_of_jobs_prints_one_object(
    sessions: Sessions, cli: Cli, repo: Path, codex: StandIn, tmp_path: Path
) -> None:
    kinds: dict[str, str] = {}
    options = ("-d", repo, "--codex-bin", codex.path)

    def say(command: str, *words: object) -> dict[str, Any]:
        said = cli(command, "--json", *words, command="codex_agent")
        told = _told(said)
        assert "errors" not in told, told
        kinds[command] = schemas.kind_of(told)
        return told

    shown = say("start", *options, "--dry-run", "Begin.")
    assert (schemas.kind_of(shown), shown["files"]) == ("preview", [])
    job = say("start", *options, "--confirm", "--worktree", "Begin.")["short_id"]
    (turn,) = say("await-turn", job)["turns"]
    assert turn["final_message"].startswith("answer to Begin.")
    (listed,) = say("jobs")["jobs"]
    more = say("status", job)["job"]
    assert {name: more[name] for name in listed} == listed
    assert more["last_turn"]["turn"] == turn["turn"]
    for command in ("output", "capture"):
        assert "answer to Begin." in say(command, job)["text"]
    assert say("attach", job)["argv"][-1] == listed["session_id"]
    assert say("diff", job)["files"] == []
    assert say("merge", job)["branch"] is None
    assert say("send", job, "Next.")["run_id"]
    assert say("await-turn", job, "--after", turn["turn"])["turns"][0]["id"] == job
    (killed,) = say("kill", job)["tasks"]
    assert killed == {"id": job, "stopped": False, "canceled": 0}
    _set_up(say, codex, repo, tmp_path)
    assert say("clean")["tasks"] == []
    assert say("delete", job)["tasks"][0]["id"] == job
    waited = _told(cli("start", "-w", "--json", *options, "x", command="codex_agent"))
    assert (schemas.kind_of(waited), waited["outcome"]) == ("turn", "succeeded")
    assert kinds.keys() == AGENT.keys() - {*_GROWS}
    refused = cli("watch", "--json", waited["id"], command="codex_agent")
    assert (refused.returncode, schemas.kind_of(_told(refused))) == (2, "error")
    sessions.listed()


def _set_up(
    say: Callable[..., dict[str, Any]], codex: StandIn, repo: Path, tmp_path: Path
) -> None:
    """Use what looks at the machine and its files."""
    assert say("health", "--codex-bin", codex.path)["ok"]
    assert say("sessions")["sessions"] == []
    assert say("map", "-d", repo)["path"] == str(repo / "docs" / "CODEBASE_MAP.md")
    skill = say("install-skill", "--dir", tmp_path)["path"]
    assert skill == str(tmp_path / "codex-runner" / "SKILL.md")
    say("migrate", "--dry-run")
    say("verify-storage")


def _queue(say: Callable[..., dict[str, Any]], task: Session) -> None:
    """Use what changes the queue."""
    short_id = task.status["short_id"]
    say("slots", 0)
    (queue,) = say("slots")["queues"]
    assert (queue["slots"], queue["running"]) == (0, 0)
    (number,) = say("send", "--queue", task.id, "Next.")["waiting"]
    (prompt,) = say("queue", task.id)["prompts"]
    assert (prompt["id"], prompt["why"]) == (number, "pause")
    assert say("pause", task.id) == {
        "schema": "codex-runner/pause/1",
        "is_whole_queue": False,
        "tasks": [{"id": task.id, "short_id": short_id}],
    }
    assert say("queue", "rm", number)["prompts"] == []
    assert say("retry", task.id)["waiting"] == [number]
    assert say("resume")["is_whole_queue"]
    (stopped,) = say("stop", task.id)["tasks"]
    assert (stopped["canceled"], stopped["stopped"]) == (1, False)

    key = {"SOME_API_KEY": "of the sender"}
    task.queue("With a key.", env=key)
    say("slots", "none")
    say("resume", task.id)
    assert say("deliver", task.id, env=key)["run_id"] is not None
    task.wait()


def _keep(say: Callable[..., dict[str, Any]], task: Session) -> None:
    """Use what counts, checks and keeps."""

    assert say("usage")["total"]["runs"] == 2
    say("reprice", "--dry-run")
    assert say("budget", "5")["usd_per_day"] == 5
    assert say("du")["sessions"][0]["id"] == task.id
    assert say("config", "retries", "2")["settings"][0]["value"] == 2
    say("doctor", "--codex-bin", task.sessions.stand_in.path)
    assert say("verify")["ok"]
    assert say("import", "--dry-run")["unreadable"] == []
    assert not say("migrate")["is_new"]
    assert say("notify", "--notify", "true")["notifications"][0]["error"] is None
    assert "queue" in say("install-timer", "--print")["text"]
    assert "complete" in say("completion", "bash")["script"]

    assert say("archive", task.id)["tasks"][0]["changed"]
    assert say("unarchive", task.id)["tasks"][0]["changed"]
    assert say("prune", "--older-than", "30d")["tasks"] == []
    assert say("rm", task.id)["tasks"][0]["id"] == task.id
    assert say("uninstall")["is_purged"] is False


def test_what_a_task_has_changed_is_an_object(
    sessions: Sessions,
) -> None:
    task = sessions.ended("--worktree", "Begin.")

    diff = _told(sessions("diff", "--json", task.id))
    assert (diff["id"], diff["files"]) == (task.id, [])
    merge = _told(sessions("merge", "--json", task.id))
    assert merge["branch"] is None


def test_a_wait_for_the_answer_is_an_object(sessions: Sessions) -> None:
    words = sessions.starting("--wait", "--json", "Begin.")
    told = _told(sessions(*words))

    assert schemas.kind_of(told) == "result"
    assert (told["outcome"], told["final_message"]) == ("succeeded", "answer to Begin.")
    more = _told(sessions("send", "--wait", "--json", told["id"], "Next."))
    assert more["final_message"] == "answer to Next."


def test_a_late_wait_is_in_the_object_of_the_tasks(
    sessions: Sessions, held: Path, go: Path
) -> None:
    task = sessions.start()

    said = sessions("status", "--json", "--wait", "--timeout", "0.1", task.id)
    assert said.code == 124
    told = _told(said)
    assert [each["id"] for each in told["tasks"]] == [task.id]
    assert [each["code"] for each in told["errors"]] == ["timeout"]
    late = sessions("wait", "--json", "--timeout", "0.1", task.id)
    assert late.code == 124
    assert _told(late)["errors"][0]["code"] == "timeout"
    held.touch()
    go.touch()


def test_without_a_thread_no_command_names_one(sessions: Sessions) -> None:
    run = ("--repo", sessions.repo, "--task", "x", "--codex-bin", "/nowhere")
    sessions.cli(*run, command="run_codex_task")

    (listed,) = _told(sessions("ls", "--json"))["tasks"]
    (shown,) = _told(sessions("status", "--json", listed["short_id"]))["tasks"]
    assert listed["session_id"] is shown["session_id"] is None


def test_of_several_tasks_each_error_is_named(sessions: Sessions) -> None:
    task = sessions.ended()

    said = sessions("rm", "--json", task.id, "0a1b2c3d")
    told = _told(said)
    assert said.code == 3
    assert [each["id"] for each in told["tasks"]] == [task.id]
    (error,) = told["errors"]
    assert (error["code"], error["task"]) == ("no_such_task", "0a1b2c3d")


def test_the_lists_of_the_previous_version_can_be_had(sessions: Sessions) -> None:
    task = sessions.ended()
    old = {"CODEX_RUNNER_JSON": "0.2"}

    for words in (["ls", "--json"], ["status", "--json", "-a"]):
        (row,) = json.loads(sessions(*words, env=old).stdout)
        assert row["id"] == task.id
    one = json.loads(sessions("status", "--json", "--one", task.id).stdout)
    assert "schema" not in one


@pytest.mark.parametrize("more", [(), ("--detach",)])
def test_a_run_is_an_object_at_its_end(
    cli: Cli, repo: Path, codex: StandIn, more: tuple[str, ...]
) -> None:
    words = ("--repo", repo, "--codex-bin", codex.path, "--task", "Begin.")
    told = _told(cli("--json", *words, *more))

    (run,) = told["runs"]
    assert schemas.kind_of(told) == "run"
    assert run["repo"] == str(repo)
    if not more:
        assert run["final_message"] == "answer to Begin."
    parsed = _told(cli(run["run_id"], "--json", command="parse_codex_run"))
    assert [each["run_id"] for each in parsed["runs"]] == [run["run_id"]]


def test_a_run_that_is_refused_is_an_object(cli: Cli, repo: Path) -> None:
    said = cli("--json", "--repo", repo / "none", "--task", "x")
    assert said.returncode == 2
    assert _told(said)["error"]["code"] == "usage"
    said = cli("--json", "no-such-run", command="parse_codex_run")
    assert _told(said)["errors"][0]["code"] == "no_such_run"
