"""What reviews have found: each of these was wrong once."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import Cli, fields, rows_of
from support.processes import wait_until
from support.sabotage import SUPERVISOR, fails, hold, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import gone, is_refused

# What commands and supervisors deliver, without the timer.
pytestmark = pytest.mark.usefixtures("without_timer")

OTHER = "01a1f000-0000-7000-8000-00000000000f"
COMMAND = "runner.cli.codex_tasks"


@pytest.fixture
def busy(sessions: Sessions, held: Path) -> Session:  # noqa: ARG001 - its Codex waits
    """Start a session whose runs wait for the test."""
    return sessions.start("-t", "mine", "Begin.")


def by_the_other_door(cli: Cli, session: Session, *words: object) -> dict[str, str]:
    """Carry a session on with `run_codex_task`, to the end."""
    usual = ("--repo", session.sessions.repo, "--resume", session.id)
    done = cli(*usual, "--codex-bin", session.sessions.stand_in.path, *words)
    assert done.returncode == 0, done.stderr
    return fields(done.stdout)


def test_a_run_in_which_codex_works_on_another_thread_stays_with_its_session(
    busy: Session, codex: StandIn, go: Path
) -> None:
    go.touch()
    busy.wait()
    codex.plays(*script.begin(OTHER), script.complete())

    busy.send("Next.")
    busy.wait()

    status = busy.status
    assert (status["title"], status["state"], status["runs"]) == ("mine", "DIED", 2)
    assert "worked on" in status["error"]
    assert set(busy.sessions.listed("-a")) == {busy.id}
    assert busy.sessions("verify").code == 0


def test_stop_ends_a_run_whose_thread_is_named_meanwhile(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(
        script.on_signal("INT", *script.begin()),
        script.ignore("TERM"),
        script.hang(),
        thread=script.FRESH,
    )
    sessions.cli.environment["CODEX_RUNNER_GRACE_SECONDS"] = "2"
    begun = sessions.begin(*sessions.starting("Begin."))
    wait_until(lambda: bool(sessions.running), what="a run without a thread")
    (run_id,) = sessions.running
    record = sessions.records[0]
    wait_until(lambda: sessions.records[0]["state"] == "running", what="the launch")

    said = sessions("stop", "-a")

    begun.wait()
    record = sessions.records[0]
    assert record["state"] == "finished"
    assert "stopped." in said.stdout
    assert run_id == record["run_id"]


def test_stop_all_goes_on_when_nobody_reads_what_it_says(
    busy: Session, sessions: Sessions
) -> None:
    others = [sessions.start() for _ in range(2)]

    argv = sessions.cli.argv("stop", "-a", command="codex_tasks")
    quoted = " ".join(map(str, ("exec", *(f"'{word}'" for word in argv), ">&-")))
    subprocess.run(["/bin/sh", "-c", quoted], env=sessions.cli.env(), check=False)

    assert [each.state for each in (busy, *others)] == ["STOPPED"] * 3


def test_stop_does_not_start_what_waits(busy: Session, go: Path) -> None:
    busy.queue("Never.")
    busy.lose(codex=True)

    said = busy.sessions("stop", "-a")

    assert "1 waiting prompt skipped" in said.stdout
    go.touch()
    busy.wait()
    assert busy.given == ["Begin."]


def test_stop_ends_a_run_although_the_disk_refuses_to_cancel_what_waits(
    busy: Session,
) -> None:
    busy.queue("Never.")
    files = busy.runs[0]
    codex = files.codex()
    canceling = "update prompts set state = :state, reason"

    said = busy.sessions(
        "stop", busy.id, env=sabotaged(fails(COMMAND, "sqlite3.execute", canceling))
    )

    assert gone(codex)
    assert "Traceback" not in said.stderr
    assert said.code == 0


# Each point fails the first one that no point before it has failed.
NO_TRANSACTION = [fails(COMMAND, "sqlite3.execute", "begin immediate")] * 9


def test_stop_tells_of_what_still_waits_when_the_ledger_takes_nothing(
    busy: Session, go: Path
) -> None:
    for _ in range(2):
        busy.queue("Later.")
    busy.wait_for_run(1)
    busy.lose(supervisor=True, codex=True)

    said = busy.sessions("stop", busy.id, env=sabotaged(*NO_TRANSACTION))

    assert is_refused(said, 1, "prompts (2) are not canceled")
    go.touch()
    busy.wait()
    assert len(busy.given) == 1 + 2


@pytest.mark.parametrize("waiting", [0, 2])
def test_the_verdict_cancels_what_a_stop_that_can_only_signal_could_not(
    waiting: int, busy: Session, go: Path
) -> None:
    for _ in range(waiting):
        busy.queue("Never.")
    codex = busy.wait_for_run(1).codex()

    said = busy.sessions("stop", busy.id, env=sabotaged(*NO_TRANSACTION))

    assert gone(codex)
    skipped = " 2 waiting prompts skipped." if waiting else ""
    assert (said.code, said.stdout) == (0, f"Task {busy.id} stopped.{skipped}\n")
    go.touch()
    busy.wait()
    assert len(busy.given) == 1
    assert busy.sessions("verify").stdout == ""


def test_stop_ends_a_run_although_a_sender_was_suspended_with_the_ledger(
    busy: Session, go: Path, tmp_path: Path
) -> None:
    codex = busy.wait_for_run(1).codex()
    suspended = hold(tmp_path / "suspended")
    suspended.reached.parent.mkdir()
    env = sabotaged(suspended.at(COMMAND, "sqlite3.execute", "commit"))
    sender = busy.sessions.begin("send", "--queue", busy.id, "Meanwhile.", env=env)
    wait_until(suspended.reached.exists, what="a transaction that is held open")

    stopping = busy.sessions.begin("stop", busy.id)
    wait_until(lambda: gone(codex), 20, "the end of Codex")
    suspended.go.touch()

    assert sender.wait().code == 0
    # The sender was first, so its prompt is canceled, and the caller of stop is told.
    assert "stopped. 1 waiting prompt skipped." in stopping.wait().stdout
    go.touch()
    busy.wait()
    assert busy.given == ["Begin."]
    assert [record["outcome"] for record in busy.records] == ["stopped"]


def test_a_prompt_that_is_queued_but_cannot_be_delivered_is_queued(
    busy: Session, codex: StandIn, go: Path
) -> None:
    go.touch()
    busy.wait()
    away = codex.path.with_name("away")
    codex.path.rename(away)

    said = busy.queue("Once.")

    assert said.code == 0
    assert "not delivered yet" in said.stderr
    away.rename(codex.path)
    busy.sessions.let_time_pass()
    busy.wait()
    assert busy.given == ["Begin.", "Once."]


def test_archives_at_once_leave_one_directory(sessions: Sessions) -> None:
    for _ in range(4):
        session = sessions.ended()

        begun = [sessions.begin("archive", session.id) for _ in range(6)]
        codes = [each.wait().code for each in begun]

        assert set(codes) <= {0, 75}
        assert 0 in codes
        assert not session.directory.exists()
        assert sessions("unarchive", session.id).code == 0
        assert session.send("Next.").code == 0
        session.wait()
    assert sessions("verify").code == 0


def test_the_answer_of_an_archived_session_is_that_of_its_last_run(
    cli: Cli, sessions: Sessions
) -> None:
    session = sessions.ended()
    sessions("archive", session.id)

    by_the_other_door(cli, session, "--task", "Second.")

    status = session.status
    assert (status["state"], status["last_prompt"]) == ("ARCHIVED", "Second.")
    assert status["last_result"] == "answer to Second."
    assert session.result().stdout == "answer to Second.\n"
    assert sessions("verify").code == 0


def test_an_answer_outlives_the_files_of_its_run(sessions: Sessions) -> None:
    short, long = sessions.ended(), sessions.ended("long " * 3000)
    for session in (short, long):
        session.runs[0].path(".events.jsonl").unlink()

    kept = [session.result() for session in (short, long)]
    for session in (short, long):
        (session.directory / "task.result").unlink()
    lost = long.result()

    assert [each.code for each in kept] == [0, 0]
    assert kept[0].stdout == "answer to Begin.\n"
    assert kept[1].stdout.count("long") == 3000
    # A short one is in the ledger too.
    assert short.result().stdout == "answer to Begin.\n"
    assert (lost.code, lost.stdout) == (1, "")
    assert "cannot be read" in lost.stderr


def test_a_prompt_whose_file_is_gone_is_delivered_all_the_same(
    busy: Session, sessions: Sessions, go: Path
) -> None:
    busy.queue("Next.")
    (file,) = (sessions.state_home / "queue").iterdir()
    file.unlink()
    go.touch()

    assert busy.wait().code == 0

    assert busy.given == ["Begin.", "Next."]
    assert sessions("verify").code == 0


@pytest.mark.parametrize("option", ["-t", "-m"])
def test_stray_bytes_in_an_option_break_nothing(
    sessions: Sessions, option: str
) -> None:
    words = sessions.starting(option, os.fsdecode(b"x\xff"), "Begin.")

    said = sessions(*words)

    assert said.code == 0, said.stderr
    assert sessions("status", "--wait", said.stdout.strip()).code == 0
    listed = sessions("ls")
    assert (listed.code, listed.stderr) == (0, "")
    assert sessions("usage").code == 0


@pytest.mark.parametrize("command", ["ls", "usage", "status"])
def test_a_closed_standard_output_is_a_reader_that_is_gone(
    sessions: Sessions, command: str
) -> None:
    session = sessions.ended()
    words = [session.id] if command == "status" else []
    argv = sessions.cli.argv(command, *words, command="codex_tasks")
    quoted = " ".join(("exec", *(f"'{word}'" for word in argv), ">&-"))

    done = subprocess.run(
        ["/bin/sh", "-c", quoted],
        env=sessions.cli.env(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", [["start"], ["send", "mine"]])
def test_a_prompt_that_codex_would_refuse_is_refused_before(
    busy: Session, go: Path, words: list[str]
) -> None:
    go.touch()
    busy.wait()

    said = busy.sessions(*words, os.fsdecode(b"bad \xff"))

    assert said.code == 2
    assert "not UTF-8" in said.stderr
    assert len(busy.sessions.records) == 1


def test_nothing_is_started_for_whoever_looks_from_inside_a_run(
    busy: Session, go: Path
) -> None:
    busy.queue("Next.")
    busy.lose(codex=True)
    inside = {"CODEX_RUNNER_RUN": "20261120-101201-512345-9f3a1c07"}

    seen = busy.sessions("status", "--json", "--one", busy.id, env=inside)

    assert json.loads(seen.stdout)["queue"] == 1
    assert busy.given == ["Begin."]
    go.touch()
    assert busy.wait().code in {0, 1}
    assert busy.given == ["Begin.", "Next."]


def test_a_start_that_the_disk_refuses_leaves_nothing_behind(
    sessions: Sessions,
) -> None:
    said = sessions(
        *sessions.starting("Begin."),
        env=sabotaged(fails(SUPERVISOR, "open", "events.jsonl")),
    )

    assert said.code == 1
    assert "No space left" in said.stderr
    assert sessions.listed("-a") == {}
    assert list(sessions.state_home.glob("runs/*")) == []


@pytest.mark.parametrize("age", ["800000d", "9" * 5000 + "w"])
def test_an_age_before_all_time_is_refused(sessions: Sessions, age: str) -> None:
    said = sessions("prune", "--older-than", age)

    assert (said.code, said.stdout) == (2, "")
    error, fix = said.stderr.splitlines()
    assert "--older-than" in error
    assert fix.startswith("fix:   codex-tasks prune --dry-run ")


@pytest.mark.parametrize("limit", ["9223372036854775808", "9" * 5000])
def test_a_limit_above_all_numbers_is_none(sessions: Sessions, limit: str) -> None:
    session = sessions.ended("Begin.")

    said = sessions("ls", "--json", "--limit", limit)

    assert [each["id"] for each in rows_of(said.stdout)] == [session.id]


def test_an_older_answer_of_the_same_length_is_not_taken_for_the_new_one(
    sessions: Sessions,
) -> None:
    session = sessions.ended("one")
    unwritten = fails(SUPERVISOR, "os.rename", "task.result")

    assert session.send("two", env=sabotaged(unwritten)).code == 0
    session.wait()

    assert session.text("task.result") == "answer to one"
    assert session.status["last_result"] == "answer to two"
    assert session.sessions("result", session.id).stdout == "answer to two\n"
