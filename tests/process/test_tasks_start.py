"""`start` prints an id and nothing else; one that fails says why and is on record."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.sabotage import SUPERVISOR, TASKS, dies, fails, hold, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import Ended, gone, is_refused

from parsers.text import uuid


def the_one(sessions: Sessions) -> dict[str, Any]:
    (record,) = sessions.records
    return record


def failed(sessions: Sessions, said: Ended, words: str) -> dict[str, Any]:
    """Check that a start has failed with these words and that its record stays."""
    assert (said.code, said.stdout) == (1, "")
    assert words in said.stderr
    record = the_one(sessions)
    assert record["run_id"] in said.stderr
    status = Session(record["run_id"], sessions).status
    assert status["state"] == "DIED"
    assert words in status["error"]
    (listed,) = sessions.listed().values()
    assert (listed["id"], listed["state"]) == (record["run_id"], "DIED")
    return record


@pytest.mark.core
def test_only_the_id_goes_to_standard_output(sessions: Sessions) -> None:
    said = sessions(*sessions.starting("-t", "A title", "Begin."))

    assert (said.code, said.stderr) == (0, "")
    assert uuid(said.stdout.rstrip("\n"))
    assert said.stdout.count("\n") == 1
    session = Session(said.stdout.strip(), sessions)
    assert session.wait().code == 0
    status = session.status
    assert (status["title"], status["state"]) == ("A title", "STOPPED")
    assert status["last_result"] == "answer to Begin."
    assert session.json["title"] == "A title"


def test_what_codex_says_is_stored_once_for_each_who_reads_it(
    sessions: Sessions,
) -> None:
    session = sessions.ended("Begin.")
    (record,) = session.records
    place = sessions.state_home / "runs" / record["run_id"]

    wait_until(lambda: not (session.directory / "task.pid").exists())
    assert {path.name for path in session.directory.iterdir()} == {
        *("task.json", "task.log", "task.result")
    }
    assert {path.name for path in place.iterdir()} == {
        *("owner", "prompt", "events.jsonl", "stderr", "log"),
        *("meta.json", "summary.json", "snapshot", "times"),
    }
    # The transcript in `log` is for `run_codex_task`, whose runs have no `task.log`.
    assert "answer to" in (place / "events.jsonl").read_text()
    assert "answer to" not in (place / "log").read_text()


@pytest.mark.parametrize(("stdout", "code"), [(">/dev/full", 1), (">&-", 141)])
def test_a_session_whose_id_cannot_be_printed_is_named_all_the_same(
    sessions: Sessions, tmp_path: Path, stdout: str, code: int
) -> None:
    words = sessions.cli.argv(*sessions.starting("Begin."), command="codex_tasks")
    said = tmp_path / "said"

    with said.open("wb") as stderr:
        shell = ["sh", "-c", f'exec "$@" {stdout}', "sh", *words]
        ended = sessions.cli.launch(shell, stderr=stderr).wait(30)

    session = Session(the_one(sessions)["session_id"], sessions)
    assert ended == code
    assert f"task {session.id} was started\n" in said.read_text()
    assert session.wait().code == 0


def test_codex_is_found_through_the_path(sessions: Sessions, codex: StandIn) -> None:
    path = f"{codex.path.parent}:{os.environ['PATH']}"

    said = sessions(
        "start", "--working-dir", sessions.repo, "Begin.", env={"PATH": path}
    )

    assert said.code == 0, said.stderr
    session = Session(said.stdout.strip(), sessions)
    assert session.wait().code == 0
    assert session.given == ["Begin."]


def test_words_of_codex_before_it_names_a_thread_are_told(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(script.err("Error: the config is no good\n"), script.leave(1))

    said = sessions(*sessions.starting("Begin."))

    record = failed(sessions, said, "Error: the config is no good")
    assert record["outcome"] == "failed"
    assert len(said.stderr.splitlines()) == 1


def test_a_directory_that_codex_does_not_trust_is_told(
    sessions: Sessions, codex: StandIn
) -> None:
    words = "Not inside a trusted directory and --skip-git-repo-check was not specified"
    codex.plays(script.err(f"{words}.\n"), script.leave(1))

    said = sessions(*sessions.starting("Begin."))

    failed(sessions, said, words)


@pytest.mark.core
def test_a_binary_that_is_missing_is_told(sessions: Sessions, tmp_path: Path) -> None:
    missing = tmp_path / "no-codex"

    said = sessions(*sessions.starting("--codex-bin", missing, "Begin."))

    record = failed(sessions, said, f"codex binary not found: {missing}")
    assert record["outcome"] == "not_started"


def test_a_supervisor_that_cannot_be_started_is_told(sessions: Sessions) -> None:
    env = sabotaged(fails(TASKS, "os.fork", ""))

    said = sessions(*sessions.starting("Begin."), env=env)

    told = "cannot start a supervisor: No space left on device"
    assert is_refused(said, 1, told), said
    assert sessions.listed("-a") == {}
    assert sessions.records == []
    assert not list(sessions.state_home.glob("runs/*"))
    assert sessions.ended().state == "STOPPED"


BEFORE_THE_RECORD = {
    "with no file": ("os.mkdir", "/runs/"),
    "with its files": ("sqlite3.execute", "begin immediate"),
    "before the row is there for all": ("sqlite3.execute", "commit"),
}


@pytest.mark.parametrize("when", BEFORE_THE_RECORD)
def test_a_supervisor_that_is_killed_before_the_record_is_told_and_leaves_no_task(
    sessions: Sessions, codex: StandIn, when: str
) -> None:
    env = sabotaged(dies(SUPERVISOR, *BEFORE_THE_RECORD[when]))

    said = sessions(*sessions.starting("Begin."), env=env)

    told = "cannot start a supervisor: it was killed before it recorded the run"
    assert is_refused(said, 1, told), said
    assert sessions.listed("-a") == {}
    assert codex.runs == []
    assert sessions("verify", "--full").code == 0
    assert sessions.ended().state == "STOPPED"


def test_what_failed_to_start_can_be_looked_at_archived_and_removed(
    sessions: Sessions, tmp_path: Path
) -> None:
    sessions(*sessions.starting("--codex-bin", tmp_path / "no", "-t", "Bad", "Begin."))
    run_id = the_one(sessions)["run_id"]

    sent = sessions("send", run_id, "More.")
    assert sent.code == 1
    assert "no thread" in sent.stderr
    assert sessions("send", "--queue", run_id, "More.").code == 1
    assert sessions("stop", run_id).code == 0
    assert sessions("result", run_id).code == 1
    assert sessions("archive", "Bad").code == 0
    assert sessions.listed() == {}
    assert sessions.listed("-a")[run_id]["state"] == "ARCHIVED"
    assert sessions("unarchive", run_id).code == 0
    assert sessions("rm", run_id).code == 0
    assert sessions.listed("-a") == {}
    assert list((sessions.state_home / "runs").iterdir()) == []


def test_a_codex_that_says_nothing_is_ended_in_time(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(script.spawn(), script.hang())

    said = sessions(*sessions.starting("--start-timeout", "1", "Begin."), timeout=20)

    assert (said.code, said.stdout) == (124, "")
    assert "has not named a thread within 1 s" in said.stderr
    record = the_one(sessions)
    assert record["outcome"] == "timed_out"
    assert gone(*codex.children, codex.runs[0]["pid"])
    assert Session(record["run_id"], sessions).state == "DIED"


@pytest.mark.core
def test_the_time_to_name_a_thread_is_no_limit_once_it_has_one(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(
        *script.begin(), script.wait(1.5), script.complete(), thread=script.FRESH
    )

    session = sessions.start("--start-timeout", "1", "Begin.")

    assert session.wait().code == 0


@pytest.mark.core
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_id_is_known_ends_the_run(
    sessions: Sessions, codex: StandIn, number: int
) -> None:
    codex.plays(script.spawn(), script.hang())
    begun = sessions.begin(*sessions.starting("Begin."))
    wait_until(lambda: codex.children)

    begun.send(number)
    ended = begun.wait()

    assert (ended.code, ended.stdout) == (128 + number, "")
    assert gone(*codex.children, codex.runs[0]["pid"])
    record = the_one(sessions)
    assert record["outcome"] == "interrupted"
    assert record["run_id"] in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_before_the_supervisor_listens_is_not_lost(
    sessions: Sessions, codex: StandIn, tmp_path: Path, number: int
) -> None:
    codex.plays(*script.begin(), script.hang(), thread=script.FRESH)
    held = hold(tmp_path)
    env = sabotaged(
        held.at(SUPERVISOR, "sqlite3.execute", "set state = :state, supervisor")
    )
    begun = sessions.begin(*sessions.starting("Begin."), env=env)
    wait_until(held.reached.exists)
    wait_until(lambda: sessions.records)

    begun.send(number)
    wait_until(lambda: "ending run" in begun.stderr)
    held.go.touch()
    ended = begun.wait()

    assert (ended.code, ended.stdout) == (128 + number, "")
    wait_until(lambda: the_one(sessions)["outcome"] == "interrupted")


def test_a_session_that_gets_its_name_while_it_is_ended_is_not_said_to_have_ended(
    sessions: Sessions, codex: StandIn, tmp_path: Path, go: Path
) -> None:
    listens = tmp_path / "listens"
    codex.plays(
        script.ignore("TERM"),
        script.on_signal("INT", *script.begin(), script.wait_for(go), script.leave(1)),
        script.write(listens, "now"),
        script.hang(),
        thread=script.FRESH,
    )
    begun = sessions.begin(*sessions.starting("Begin."))
    wait_until(listens.exists)

    begun.send(signal.SIGINT)
    ended = begun.wait()

    (session,) = sessions.listed().values()
    assert (ended.code, ended.stdout) == (130, "")
    assert session["state"] == "RUNNING"
    assert f"task {session['id']} is being ended" in ended.stderr
    go.touch()
    wait_until(lambda: the_one(sessions)["outcome"] == "interrupted")


def test_a_signal_after_the_id_is_out_does_not_disturb_the_session(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(), script.wait_for(go), script.complete(), thread=script.FRESH
    )
    shell = ["sh", "-c", '"$@"; kill -INT 0; exit 0', "sh"]
    words = sessions.cli.argv(*sessions.starting("Begin."), command="codex_tasks")
    caller = sessions.cli.launch([*shell, *words], start_new_session=True)
    out, _ = caller.communicate(timeout=20)

    session = Session(out.decode().strip(), sessions)
    assert session.state == "RUNNING"
    go.touch()
    assert session.wait().code == 0


def test_a_reader_of_the_id_that_is_gone_leaves_the_session_running(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(), script.wait_for(go), script.complete(), thread=script.FRESH
    )
    reader, writer = os.pipe()
    os.close(reader)
    process = sessions.cli.start(
        *sessions.starting("Begin."), command="codex_tasks", stdout=writer
    )
    os.close(writer)

    assert process.wait(20) == 141

    (key,) = sessions.running
    go.touch()
    assert Session(key, sessions).wait().code == 0


def test_what_codex_says_before_it_is_watched_is_heard(
    sessions: Sessions, tmp_path: Path
) -> None:
    thread = "01a1f000-0000-7000-8000-000000000009"
    said = f'{{"type":"thread.started","thread_id":"{thread}"}}'
    silent = tmp_path / "silent"
    # One process, so that no end of a child wakes its supervisor.
    silent.write_text(f"#!/bin/sh\necho '{said}'\nexec sleep 30\n")
    silent.chmod(0o755)
    held = hold(tmp_path)
    point = held.at(SUPERVISOR, "import", "runner.supervisor.loop")
    begun = sessions.begin(
        *sessions.starting("--codex-bin", silent, "Begin."), env=sabotaged(point)
    )
    wait_until(held.reached.exists)
    (events,) = sessions.state_home.glob("runs/*/events.jsonl")
    wait_until(lambda: events.stat().st_size)

    held.go.touch()

    assert begun.wait(10).code == 0
    assert begun.stdout == f"{thread}\n"
    assert sessions("stop", thread).code == 0


WRONG = {
    "no prompt": ["start"],
    "an empty prompt": ["start", " \n"],
    "an unknown option": ["start", "--no-such", "Begin."],
    "/quit": ["start", "/quit"],
    "an empty standard input": ["start", "-"],
    "an image that is missing": ["start", "--image", "no.png", "Begin."],
    "a schema that is missing": ["start", "--output-schema", "no.json", "Begin."],
    "a configuration of another name": [
        "start",
        "--config-file",
        "README.md",
        "Begin.",
    ],
    "a timeout that is no number": ["start", "--timeout", "soon", "Begin."],
    "a ref without a repository": ["start", "--repo-ref", "main", "Begin."],
    "a repository without a directory": ["start", "--repo", "url", "Begin."],
    "an empty directory": ["start", "--working-dir", "", "Begin."],
    "an unknown command": ["begin"],
    "nothing to stop": ["stop"],
    "a task and all": ["stop", "-a", "x"],
    "nothing to tell of": ["status"],
    "both ways to wait": ["status", "-a", "--wait", "--wait-any"],
    "a timeout without a wait": ["status", "-a", "--timeout", "3"],
    "one of many": ["status", "-a", "--json", "--one"],
    "an unknown state": ["ls", "--state", "ASLEEP"],
    "a limit that is no number": ["ls", "--limit", "few"],
    "an age that is none": ["prune", "--older-than", "old"],
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_command_line_is_refused_and_leaves_nothing(
    sessions: Sessions, codex: StandIn, repo: Path, what: str
) -> None:
    said = sessions(*WRONG[what], cwd=repo)

    error, *fix = said.stderr.splitlines()
    assert (said.code, error[:7]) == (2, "error: ")
    assert [line[:7] for line in fix] in ([], ["fix:   "])
    told = json.loads(said.stdout)["error"]["message"] if said.stdout else None
    assert told == (error[7:] if "--json" in WRONG[what] else None)
    assert codex.runs == []
    assert not sessions.state_home.exists() or not sessions.records


def test_a_prompt_of_a_megabyte_comes_whole_from_standard_input(
    sessions: Sessions,
) -> None:
    prompt = "ünïcode $HOME `id` \\ \n" * 50_000

    said = sessions(*sessions.starting("-"), stdin=prompt)

    assert said.code == 0, said.stderr
    session = Session(said.stdout.strip(), sessions)
    session.wait()
    assert session.send("-", stdin=prompt[::-1]).code == 0
    session.wait()
    assert session.queue("-", stdin=f"third {prompt}").code == 0
    session.wait()
    assert session.given == [prompt, prompt[::-1], f"third {prompt}"]
    assert session.prompts == [each.rstrip("\n") for each in session.given]


def test_a_working_directory_that_is_missing_is_made(
    sessions: Sessions, codex: StandIn, tmp_path: Path
) -> None:
    place = tmp_path / "a" / "b"

    session = sessions.ended("--working-dir", place, "Begin.")

    assert codex.runs[0]["cwd"] == str(place)
    assert session.status["working_dir"] == str(place)


CONTAINED = """
import sys
from runner.cli import codex_tasks, run_codex_task
from runner.service import containment
containment.look = lambda _: containment.Containment("a job", "with the job", "wait")
sys.argv.pop(0)
module = {"run_codex_task": run_codex_task}.get(sys.argv[0], codex_tasks)
sys.exit(module.main())
"""


def test_whatever_starts_a_run_in_the_background_notes_what_will_end_it(
    sessions: Sessions,
) -> None:
    def said(command: str, *words: object) -> str:
        argv = [sys.executable, "-P", "-c", CONTAINED, command, *map(str, words)]
        env: dict[str, str | None] = {"CODEX_RUNNER_CONTAINED": None}
        process = sessions.cli.launch(argv, env=env)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.endswith(b"\n") or command == "send"
        return err.decode()

    note = ": the run will be ended with the job: wait\n"
    session = sessions.ended()
    usual = ("--repo", sessions.repo, "--codex-bin", sessions.stand_in.path)

    assert note in said("codex-tasks", *sessions.starting("Begin."))
    assert note in said("send", "send", session.id, "More.")
    assert note in said("run_codex_task", *usual, "--task", "x", "--detach")
    assert note not in said("run_codex_task", *usual, "--task", "x")
    assert session.wait().code == 0
