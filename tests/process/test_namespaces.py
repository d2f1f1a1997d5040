"""A run in another PID namespace, as in a container: its locks tell, not its pids."""

import json
import subprocess
from pathlib import Path

import pytest
from support.commands import rows_of
from support.processes import wait_until
from support.sessions import COMMAND, Session, Sessions
from support.tasks import Begun, gone, is_refused

# What commands and supervisors deliver, without the timer.
pytestmark = pytest.mark.usefixtures("without_timer")

INSIDE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
ELSEWHERE = "11111111111111111111111111111111"
ELSEWHEN = "00000000-0000-4000-8000-000000000000"
# The first process of a namespace takes all others with it when it ends.
STAYS = ["sh", "-c", '"$@"; exec sleep 300', "sh"]

needs_namespaces = pytest.mark.skipif(
    subprocess.run([*INSIDE, "true"], capture_output=True, check=False).returncode != 0,
    reason="needs the right to make a PID namespace",
)


def inside(sessions: Sessions, *words: object) -> tuple[int, str, str]:
    """Run `codex-tasks` to its end in a PID namespace of its own."""
    argv = [*INSIDE, *sessions.cli.argv(*words, command=COMMAND)]
    process = sessions.cli.launch(argv)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def contained(sessions: Sessions, held: Path, tmp_path: Path) -> tuple[Session, Begun]:
    """Start a session in a namespace that lives as long as the test lets it."""
    del held
    out, err = tmp_path / "contained.out", tmp_path / "contained.err"
    argv = sessions.cli.argv(*sessions.starting("Begin."), command=COMMAND)
    with out.open("wb") as stdout, err.open("wb") as stderr:
        argv = [*INSIDE, *STAYS, *argv]
        process = sessions.cli.launch(argv, stdout=stdout, stderr=stderr)
    begun = Begun(process, out, err)
    wait_until(lambda: begun.stdout.endswith("\n"), 20, "the id of the session")
    session = Session(begun.stdout.strip(), sessions)
    session.wait_for_run(1)
    return session, begun


def end(container: Begun) -> None:
    """End a namespace with everything in it."""
    below = container.below
    container.kill()
    wait_until(lambda: gone(*below), what="the end of the namespace")


@needs_namespaces
@pytest.mark.parametrize("words", [["status", "--json", "-a"], ["ls", "--json"]])
def test_a_reader_in_another_namespace_never_takes_a_living_run_for_lost(
    sessions: Sessions, held: Path, words: list[str]
) -> None:
    session = sessions.start()
    session.wait_for_run(1)

    code, out, err = inside(sessions, *words)

    assert (code, err) == (0, "")
    assert [each["state"] for each in rows_of(out)] == ["RUNNING"]
    assert session.state == "RUNNING"
    held.touch()
    assert session.wait().code == 0
    assert session.records[0]["outcome"] == "succeeded"


@needs_namespaces
@pytest.mark.parametrize("words", [["--fork"], []])
def test_no_run_is_started_where_proc_shows_another_namespace(
    sessions: Sessions, held: Path, words: list[str]
) -> None:
    held.touch()
    session = sessions.start()
    session.wait()
    argv = sessions.cli.argv("send", session.id, "Now.", command=COMMAND)

    process = sessions.cli.launch(["unshare", "--pid", *words, *argv])
    _, err = process.communicate(timeout=60)

    assert process.returncode == 1
    assert b"/proc is not of this PID namespace" in err
    assert len(session.records) == 1, "a supervisor there would not see its Codex"


@needs_namespaces
def test_a_pid_of_another_namespace_is_not_shown(
    contained: tuple[Session, Begun],
) -> None:
    session, container = contained

    status = session.status

    assert (status["state"], status["pid"]) == ("RUNNING", None)
    assert "another PID namespace" in status["note"]
    end(container)


@needs_namespaces
def test_codex_alone_is_not_taken_for_lost_from_another_namespace(
    sessions: Sessions, held: Path
) -> None:
    session = sessions.start()
    codex = session.wait_for_run(1).codex()
    session.lose(supervisor=True)

    _, out, _ = inside(sessions, "status", "--json", "--one", session.id)

    assert json.loads(out)["state"] == "RUNNING"
    assert session.state == "RUNNING"
    held.touch()
    wait_until(lambda: gone(codex))
    assert session.wait().code == 0
    assert session.records[0]["outcome"] == "succeeded"


@needs_namespaces
def test_a_run_in_a_container_is_running_for_the_host_and_stopped_there_alone(
    contained: tuple[Session, Begun],
) -> None:
    session, container = contained

    assert session.state == "RUNNING"
    for words in (["stop"], ["stop", "--gone"]):
        refused = session.sessions(*words, session.id)
        assert refused.code == 1
        assert "another PID namespace" in refused.stderr
    assert session.state == "RUNNING"
    assert session.records[0]["outcome"] is None
    end(container)


@needs_namespaces
def test_a_run_whose_container_is_gone_is_lost_and_its_queue_goes_on(
    contained: tuple[Session, Begun], held: Path
) -> None:
    session, container = contained
    session.queue("Next.")

    end(container)

    status = session.status
    assert session.records[0]["outcome"] == "lost"
    assert (status["state"], status["queue"]) == ("RUNNING", 0)
    held.touch()
    assert session.wait().code == 0
    assert session.given == ["Begin.", "Next."]


@needs_namespaces
def test_a_stop_says_nothing_runs_when_the_container_is_gone(
    contained: tuple[Session, Begun],
) -> None:
    session, container = contained
    end(container)

    said = session.sessions("stop", "--gone", session.id)

    assert said.code == 0
    assert session.records[0]["outcome"] == "lost"
    assert session.state == "DIED"


@pytest.fixture
def elsewhere(sessions: Sessions, held: Path) -> Session:
    """Give a session whose run was started on another machine, as the ledger says."""
    session = sessions.start()
    session.wait_for_run(1)
    session.queue("Next.")
    session.lose(supervisor=True, codex=True)
    held.touch()
    place = f"{ELSEWHERE} {ELSEWHEN} pid:[1]"
    sessions.change("update runs set place = ?", place)
    return session


def test_a_run_on_another_machine_is_unknown_here_and_keeps_its_state(
    elsewhere: Session,
) -> None:
    said = elsewhere.sessions("status", elsewhere.id)

    status = elsewhere.status
    assert (status["state"], status["queue"]) == ("RUNNING", 1)
    assert ELSEWHERE in status["unknown"]
    assert f"Unknown Here: it was started on machine {ELSEWHERE}" in said.stdout
    assert elsewhere.records[0]["outcome"] is None
    assert elsewhere.send("More.").code == 75


def test_a_run_on_another_machine_is_ended_by_a_persons_word_alone(
    elsewhere: Session,
) -> None:
    refused = elsewhere.stop()
    fix = "fix:   stop it there; if that is gone: codex-tasks stop --gone"
    assert is_refused(refused, 1, "cannot be ended here", fix), refused
    assert elsewhere.state == "RUNNING"

    said = elsewhere.sessions("stop", "--gone", elsewhere.id)

    assert said.code == 0
    assert elsewhere.records[0]["outcome"] == "lost"
    assert elsewhere.state == "DIED"
    assert elsewhere.given == ["Begin."]
    assert elsewhere.send("More.").code == 0
    assert elsewhere.wait().code == 0


def test_all_tasks_are_not_given_up_with_one_word(sessions: Sessions) -> None:
    said = sessions("stop", "--gone", "-a")

    assert said.code == 2
    assert "--gone" in said.stderr
