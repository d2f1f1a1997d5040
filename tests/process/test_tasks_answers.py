"""The last answer is the last run's, and an older one is never shown in its place."""

from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import Cli
from support.processes import wait_until
from support.sabotage import SUPERVISOR, hold, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import Ended, Tasks
from support.terminal import on_screen, terminal


@pytest.fixture
def session(sessions: Sessions, codex: StandIn) -> Session:
    """Start a session that has answered once; what says `fail` fails from then on."""
    session = sessions.ended()
    codex.plays(
        *script.begin(),
        script.when("fail halfway", script.message("half"), *script.fail("no more")),
        script.when("fail", *script.fail("it did not work")),
        script.when("be silent", script.complete()),
        script.when("hang", script.hang()),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    return session


def test_an_answer_is_printed_whole(sessions: Sessions, codex: StandIn) -> None:
    text = "ünï \x1b[31m\n\n" + "long " * 50_000
    codex.plays(
        *script.begin(), script.message(text), script.complete(), thread=script.FRESH
    )

    session = sessions.ended()

    assert session.result() == Ended(0, f"{text}\n", "")
    assert session.text("task.result") == text
    assert session.status["last_result"] == text


def test_a_terminal_shows_the_control_characters_of_an_answer(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(
        *script.begin(),
        script.message("one\x1b[2J\u202e\ntwo"),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.ended()

    with terminal() as screen:
        argv = sessions.cli.argv("result", session.id, command="codex_tasks")
        process = screen.start(argv, sessions.cli.env())
        assert process.wait(20) == 0
        assert screen.shown() == "one\\x1b[2J\\u202e\r\ntwo\r\n"


@pytest.mark.core
def test_a_run_that_failed_shows_no_older_answer_as_if_it_were_its_own(
    session: Session,
) -> None:
    first = session.runs[0].run_id
    session.send("fail")
    assert session.wait().code == 1

    said = session.result()

    assert (said.code, said.stdout) == (1, "")
    assert "failed: it did not work" in said.stderr
    assert f"run {first} has one" in said.stderr
    earlier = session.result("--run", first)
    assert (earlier.code, earlier.stdout) == (0, "answer to Begin.\n")
    assert session.sessions("result", first).stdout == "answer to Begin.\n"
    assert session.text("task.result") == "answer to Begin."
    status = session.status
    assert status["last_result"] is None
    assert status["previous_result"] == {"run": first, "text": "answer to Begin."}
    assert session.json["last_result"] == "answer to Begin."
    shown = session.sessions("status", session.id).stdout
    assert "Last Result: <none>" in shown
    assert f"Previous Result (run {first}):\nanswer to Begin.\n" in shown


def test_while_a_follow_up_runs_the_old_answer_is_the_previous_one(
    session: Session, codex: StandIn, go: Path, cli: Cli
) -> None:
    first = session.runs[0].run_id
    codex.plays(
        *script.begin(),
        script.wait_for(go),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    session.send("Go on.")

    status = session.status
    shown = session.sessions("status", session.id).stdout
    drawn = on_screen(cli, 80, "status", session.id)

    assert status["state"] == "RUNNING"
    assert status["last_result"] is None
    assert status["previous_result"] == {"run": first, "text": "answer to Begin."}
    assert "Last Result: <none>" in shown
    assert f"Previous Result (run {first}):\nanswer to Begin.\n" in shown
    assert ["before", "answer", "to", "Begin."] in [line.split() for line in drawn]
    go.touch()
    assert session.wait().code == 0
    assert session.status["last_result"] == "answer to Go on."


def test_what_a_failed_run_has_said_is_its_own_answer(session: Session) -> None:
    session.send("fail halfway")
    session.wait()

    said = session.result()

    assert (said.code, said.stdout) == (1, "half\n")
    assert "failed: no more" in said.stderr
    status = session.status
    assert (status["last_result"], status["previous_result"]) == ("half", None)


def test_a_run_that_did_well_without_a_word_has_no_answer(session: Session) -> None:
    session.send("be silent")
    assert session.wait().code == 0

    said = session.result()

    assert (said.code, said.stdout) == (0, "")
    assert "it has no answer" in said.stderr
    assert session.status["last_result"] is None


def test_the_answer_of_a_run_that_is_not_over_is_not_there_yet(
    session: Session,
) -> None:
    session.send("hang")
    session.wait_for_run(2)

    said = session.result()

    assert (said.code, said.stdout) == (75, "")
    assert session.status["last_result"] is None
    assert session.status["previous_result"]["text"] == "answer to Begin."
    session.stop()
    said = session.result()
    assert (said.code, said.stdout) == (1, "")
    assert session.text("task.result") == "answer to Begin."


def test_a_run_of_another_session_is_refused(
    session: Session, sessions: Sessions
) -> None:
    other = sessions.ended()

    said = session.result("--run", other.runs[0].run_id)

    assert (said.code, said.stdout) == (2, "")
    assert "no such run" in said.stderr


def test_a_session_that_is_stopped_has_its_answer(session: Session) -> None:
    for number in range(5):
        session.send(f"Number {number}.")
        while session.sessions.listed()[session.id]["state"] == "RUNNING":
            pass
        assert session.result().stdout == f"answer to Number {number}.\n"
        assert session.text("task.result") == f"answer to Number {number}."
        assert session.json["last_result"] == f"answer to Number {number}."
        assert session.json["state"] == "STOPPED"


@pytest.mark.core
def test_an_archived_session_shows_its_answer_and_its_place(session: Session) -> None:
    sessions = session.sessions
    said = sessions("archive", session.id)
    assert said.code == 0

    status = session.status

    assert status["state"] == "ARCHIVED"
    place = Path(status["directory"])
    assert place.parts[-5] == "archive"
    assert place.name == session.id
    assert not session.directory.exists()
    assert session.result().stdout == "answer to Begin.\n"
    assert status["last_result"] == "answer to Begin."
    assert (place / "task.result").read_text() == "answer to Begin."
    assert not (place / "task.pid").exists()
    assert sessions("archive", session.id).stdout.endswith("is already archived.\n")
    assert session.send("More.").code == 1
    assert sessions("unarchive", session.id).code == 0
    assert session.json["state"] == "STOPPED"
    assert session.send("More.").code == 0
    assert session.wait().code == 0
    assert session.result().stdout == "answer to More.\n"
    assert session.result("--run", session.runs[0].run_id).code == 0


@pytest.fixture
def run_codex_task(sessions: Sessions, task: Tasks, tmp_path: Path) -> Tasks:
    """Start runs of the sessions' stand-in with `run_codex_task`."""
    return Tasks(task.cli, sessions.repo, sessions.stand_in, tmp_path)


@pytest.mark.core
def test_a_session_that_run_codex_task_began_is_there(
    sessions: Sessions, run_codex_task: Tasks
) -> None:
    ended = run_codex_task("--task", "First.")
    session = Session(ended.fields["codex_session_id"], sessions)

    status = session.status
    assert (status["state"], status["last_result"]) == ("STOPPED", "answer to First.")
    assert sessions.listed()[session.id]["state"] == "STOPPED"
    assert session.result().stdout == "answer to First.\n"
    assert sessions("status", ended.files.run_id).code == 0
    assert session.send("Second.").code == 0
    assert session.wait().code == 0
    assert session.given == ["First.", "Second."]
    assert session.prompts == ["First.", "Second."]
    assert session.json["runs"] == [run["run_id"] for run in session.records]
    assert session.json["initial_prompt"] == "First."
    assert session.result("--run", ended.files.run_id).stdout == "answer to First.\n"
    assert sessions("archive", session.id).code == 0
    assert session.state == "ARCHIVED"
    assert ended.files.meta["outcome"] == "succeeded"
    assert sessions("rm", session.id).code == 0
    assert sessions.listed("-a") == {}
    assert ended.files.log


def test_a_session_that_run_codex_task_began_is_archived_at_once(
    sessions: Sessions, run_codex_task: Tasks
) -> None:
    ended = run_codex_task("--task", "First.")
    session = Session(ended.fields["codex_session_id"], sessions)

    assert sessions("archive", session.id).code == 0

    assert session.state == "ARCHIVED"
    assert session.result().stdout == "answer to First.\n"
    listed = sessions("ls", "-a")
    assert (listed.code, listed.stderr) == (0, "")
    assert sessions("unarchive", session.id).code == 0
    assert session.state == "STOPPED"
    assert run_codex_task("--resume", session.id).code == 0


def test_run_codex_task_resumes_a_session_and_is_seen(
    session: Session, run_codex_task: Tasks, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.alone(),
        script.wait_for(go),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    begun = run_codex_task.start(
        "--resume", session.id, "--task", "By the other command."
    )
    begun.wait_running()

    assert session.state == "RUNNING"
    assert session.send("Meanwhile.").code == 75
    assert session.queue("Afterwards.").code == 0
    go.touch()
    ended = begun.wait()
    assert ended.code == 0
    assert session.wait().code == 0

    assert session.given == ["Begin.", "By the other command.", "Afterwards."]
    assert session.prompts == session.given
    assert session.json["runs"] == [run["run_id"] for run in session.records]
    assert session.json["runs"][1] == ended.files.run_id
    assert session.result().stdout == "answer to Afterwards.\n"
    assert codex.together == []


def test_what_is_queued_behind_a_run_of_run_codex_task_is_delivered_at_its_end(
    sessions: Sessions, run_codex_task: Tasks, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.alone(),
        script.wait_for(go),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    begun = run_codex_task.start("--task", "First.")
    begun.wait_running()
    wait_until(lambda: sessions.records[0]["session_id"], what="a thread")
    session = Session(sessions.records[0]["session_id"], sessions)

    assert session.queue("Second.").code == 0
    listed = sessions("ls")
    assert (listed.code, listed.stderr) == (0, "")
    go.touch()
    begun.wait()

    assert session.wait().code == 0
    assert session.given == ["First.", "Second."]
    assert session.prompts == session.given
    assert session.text("task.result") == "answer to Second."


@pytest.mark.core
def test_codex_tasks_stops_a_run_of_run_codex_task(
    sessions: Sessions, run_codex_task: Tasks, codex: StandIn
) -> None:
    codex.plays(*script.begin(), script.hang(), thread=script.FRESH)
    begun = run_codex_task.start("--task", "First.")
    files = begun.wait_running()

    assert sessions("stop", files.run_id).code == 0

    assert begun.wait().fields["outcome"] == "stopped"


def test_verify_leaves_out_the_files_that_a_supervisor_has_yet_to_write(
    sessions: Sessions, tmp_path: Path
) -> None:
    held = hold(tmp_path)
    late = held.at(SUPERVISOR, "os.rename", "summary.json")
    session = sessions.start("Begin.", env=sabotaged(late))
    wait_until(held.reached.exists, what="the verdict")

    assert session.wait().code == 0
    early = sessions("verify")
    held.go.touch()

    assert early == Ended(0, "", early.stderr)
