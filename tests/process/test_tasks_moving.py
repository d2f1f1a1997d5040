"""A session lies in one place, whatever happens to whoever moves or removes it."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import Cli, fields
from support.processes import wait_until
from support.sabotage import SUPERVISOR, TASKS, Hold, dies, fails, hold, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import Begun

from runner import files, session_files
from runner.ledger.runs import Ledger

COMMIT = ("sqlite3.execute", "commit")
BEGIN = ("sqlite3.execute", "begin immediate")


@pytest.fixture
def session(sessions: Sessions, codex: StandIn) -> Session:
    """Start a session that answers with its prompt, and has done so once."""
    codex.plays(
        *script.begin(),
        script.alone(),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    return sessions.ended("Begin.")


def places(session: Session) -> list[str]:
    """Name the directories of a session, wherever they are."""
    home = session.sessions.state_home
    return [str(each.relative_to(home)) for each in home.rglob(f"*{session.id}*/")]


@pytest.mark.parametrize("verb", ["archive", "rm"])
def test_a_session_is_back_where_it_was_when_the_index_refuses_the_move(
    session: Session, verb: str
) -> None:
    full = sabotaged(fails(TASKS, *COMMIT))

    said = session.sessions(verb, session.id, env=full)

    assert (said.code, places(session)) == (1, [session.id])
    assert session.result().stdout == "answer to Begin.\n"
    assert session.state == "STOPPED"
    assert session.sessions("verify").code == 0


def test_a_session_that_was_archived_by_somebody_who_died_is_archived_to_all(
    session: Session,
) -> None:
    killed = sabotaged(dies(TASKS, *COMMIT))
    assert session.sessions("archive", session.id, env=killed).code == -signal.SIGKILL

    for words in (["send"], ["send", "--queue"]):
        said = session.sessions(*words, session.id, "More.")
        assert said.code != 0
        assert "ARCHIVED" in said.stderr

    assert len(places(session)) == 1
    assert session.sessions("unarchive", session.id).code == 0
    assert session.send("More.").code == 0
    session.wait()
    assert session.prompts == ["Begin.", "More."]


def test_on_a_full_disk_a_session_that_was_archived_halfway_is_told_as_archived(
    session: Session,
) -> None:
    killed = sabotaged(dies(TASKS, *COMMIT))
    session.sessions("archive", session.id, env=killed)
    full = sabotaged(fails(TASKS, *BEGIN))

    status = session.sessions("status", session.id, env=full)

    assert "State: ARCHIVED" in status.lines
    answer = session.sessions("result", session.id, env=full)
    assert (answer.code, answer.stdout) == (0, "answer to Begin.\n")


def test_a_session_whose_remover_has_died_is_back_at_the_next_look(
    session: Session,
) -> None:
    killed = sabotaged(dies(TASKS, *COMMIT))
    assert session.sessions("rm", session.id, env=killed).code == -signal.SIGKILL
    assert not session.directory.exists()

    answer = session.result()

    assert (answer.code, answer.stdout) == (0, "answer to Begin.\n")
    assert places(session) == [session.id]


def test_verify_brings_back_what_was_removed_halfway_and_takes_nothing_away(
    session: Session,
) -> None:
    killed = sabotaged(dies(TASKS, *COMMIT))
    session.sessions("rm", session.id, env=killed)
    (aside,) = session.sessions.state_home.glob(".removed-*")
    os.utime(aside, (0, 0))

    told = session.sessions("verify")
    mended = session.sessions("verify", "--repair")

    assert told.code == 1
    (line,) = told.lines
    assert line.startswith(f"misplaced {session.id}: it lies in {aside.name}")
    assert mended.code == 0
    assert session.sessions("verify").code == 0
    assert session.result().stdout == "answer to Begin.\n"


def test_a_slow_reader_writes_no_old_place_over_a_newer_one(
    session: Session, tmp_path: Path
) -> None:
    at_commit, at_write = (hold(tmp_path / name) for name in ("mover", "reader"))
    mover = begin_held(session, "archive", at_commit, COMMIT)
    reader = begin_held(session, "status", at_write, BEGIN)
    at_commit.go.touch()
    assert mover.wait().code == 0
    assert session.sessions("unarchive", session.id).code == 0

    at_write.go.touch()

    assert "State: STOPPED" in reader.wait().lines
    assert session.sessions.rows("select archived_in from sessions") == [(None,)]
    assert session.send("More.").code == 0


def begin_held(session: Session, verb: str, held: Hold, at: tuple[str, str]) -> Begun:
    """Begin a command on a session, and wait until it is held."""
    held.reached.parent.mkdir()
    point = held.at(TASKS, *at)
    begun = session.sessions.begin(verb, session.id, env=sabotaged(point))
    wait_until(held.reached.exists, what=f"the {verb} that is held")
    return begun


def test_what_cannot_be_removed_is_named_and_gives_nothing_back(
    session: Session,
) -> None:
    stays = session.directory / "task.log"
    stays.write_bytes(bytes(5_000_000))
    refused = sabotaged(fails(TASKS, "os.remove", "task.log"))

    said = session.sessions("rm", session.id, env=refused)

    (aside,) = session.sessions.state_home.glob(".removed-*")
    assert said.code == 1
    assert f"not removed: {aside / stays.name}: No space left" in said.stderr
    assert " kB given back" in said.stdout
    assert session.id not in session.sessions.listed("-a")


def test_removing_a_session_of_the_other_door_says_where_its_files_stay(
    session: Session, cli: Cli, tmp_path: Path
) -> None:
    usual = ("--repo", session.sessions.repo, "--log-dir", tmp_path / "logs")
    binary = ("--codex-bin", session.sessions.stand_in.path)
    done = fields(cli(*usual, *binary, "--task", "Do it.").stdout)

    said = session.sessions("rm", done["codex_session_id"])

    assert said.code == 0
    assert "removed; 0 bytes given back." in said.stdout
    assert f"the files of its runs stay in {tmp_path / 'logs'}" in said.stderr
    assert Path(done["log_file"]).exists()


def test_an_id_that_the_index_refuses_is_told_when_it_can_be_asked_for(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.wait_for(go),
        script.message("An answer."),
        script.complete(),
        thread=script.FRESH,
    )
    # The third is the one by which the thread gets its name.
    refused = sabotaged(*(fails(SUPERVISOR, *BEGIN, n) for n in (4, 3)))

    session = sessions.start("Begin.", env=refused)

    assert session.state == "RUNNING"
    assert places(session) == [session.id]
    go.touch()
    session.wait()
    assert session.result().stdout == "An answer.\n"
    assert sessions("verify").code == 0


def test_a_run_whose_thread_never_got_on_record_keeps_its_verdict(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(*script.begin(), script.hang(), thread=script.FRESH)
    refused = sabotaged(*(fails(SUPERVISOR, *BEGIN, n) for n in range(60, 2, -1)))
    begun = sessions.begin(*sessions.starting("Begin."), env=refused)
    wait_until(lambda: bool(codex.runs), what="the thread")
    (run_id,) = sessions.running
    (events,) = sessions.state_home.glob(".pending/*/runs/*.events.jsonl")
    wait_until(lambda: b"thread.started" in events.read_bytes(), what="its name")

    sessions("stop", run_id)

    said = begun.wait()
    assert said.code == 0
    session = Session(said.stdout.strip(), sessions)
    status = session.status
    assert (status["state"], status["outcome"]) == ("STOPPED", "stopped")
    assert places(session) == [session.id]
    assert sessions("verify").code == 0


def test_a_removed_session_takes_along_what_never_got_its_name(
    session: Session,
) -> None:
    home = session.sessions.state_home
    unnamed = session_files.pending(home, session.records[0]["run_id"])
    session.directory.rename(unnamed.directory)
    ledger = Ledger(home)
    (run,) = ledger.of_session(session.id)
    ledger.relocate([session_files.moved(run, unnamed)])
    ledger.close()
    session.send("More.")
    session.wait()

    said = session.sessions("rm", session.id)

    assert said.code == 0
    assert list(home.rglob("*.prompt")) == []
    assert session.sessions("verify", "--repair").code == 0
    assert session.sessions.listed("-a") == {}


def test_the_two_halves_of_a_session_are_put_together(session: Session) -> None:
    session.send("More.")
    session.wait()
    first = session.runs[0]
    half = session.sessions.state_home / "archive" / "2026" / "01" / "02" / session.id
    files.make_directory(half / "runs")
    for path in first.directory.glob(f"*{first.run_id}*"):
        path.rename(half / "runs" / path.name)
    for name in ("task.json", "task.log"):
        shutil.copy(session.directory / name, half / name)

    mended = session.sessions("verify", "--repair")

    assert mended.code == 0
    assert session.sessions("verify").code == 0
    assert places(session) == [session.id]
    assert session.prompts == ["Begin.", "More."]
    answer = session.result("--run", first.run_id)
    assert (answer.code, answer.stdout) == (0, "answer to Begin.\n")


def test_halves_with_a_file_of_the_same_name_stay_for_their_user(
    session: Session,
) -> None:
    half = session.sessions.state_home / "archive" / "2026" / "01" / "02" / session.id
    files.make_directory(half.parent)
    shutil.copytree(session.directory, half)

    assert session.sessions("verify", "--repair").code == 1

    assert len(places(session)) == 2
