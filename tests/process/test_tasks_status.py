"""`codex-tasks status`: telling of tasks, waiting for them, and one that is damaged."""

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import rows_of
from support.processes import wait_until
from support.sabotage import TASKS, hold, sabotaged
from support.sessions import Session, Sessions
from support.stand_in import StandIn
from support.tasks import is_refused

FIRST = "01a1f000-aaaa-7000-8000-000000000001"
SECOND = "01a1f000-aabb-7000-8000-000000000002"
UNKNOWN = "99999999-9999-7999-8999-999999999999"


@pytest.mark.core
def test_a_busy_session_refuses_a_prompt_and_names_its_run(
    sessions: Sessions, held: Path
) -> None:
    session = sessions.start()
    (run,) = session.runs

    said = session.send("More.")

    assert is_refused(
        said, 75, f"run {run.run_id} holds it", "fix:   codex-tasks send --queue "
    ), said
    busy = sessions("archive", session.id)
    assert busy.code == 75
    for refused in (said, busy):
        assert session.status["short_id"] in refused.stderr
        assert session.id not in refused.stderr
    assert sessions("rm", session.id).code == 75
    assert session.result().code == 75
    held.touch()
    assert session.wait().code == 0
    assert session.given == ["Begin."]


def test_waiting_has_a_limit(sessions: Sessions, held: Path) -> None:
    session = sessions.start()
    began = time.monotonic()

    said = sessions("status", "--wait", "--timeout", "1", session.id)

    assert said.code == 124
    assert "State: RUNNING" in said.stdout
    assert session.status["short_id"] in said.stderr
    assert 1 <= time.monotonic() - began < 5
    assert session.state == "RUNNING"
    held.touch()
    assert session.wait().code == 0


@pytest.mark.core
def test_a_wait_tells_by_its_exit_code_whether_all_went_well(
    sessions: Sessions, codex: StandIn, held: Path
) -> None:
    good, bad = sessions.start("Do it."), sessions.start("Fail.")
    both = sessions.begin("status", "--json", "--wait", good.id, bad.id)
    held.touch()

    ended = both.wait()

    assert ended.code == 1
    found = {each["id"]: each for each in rows_of(ended.stdout)}
    assert (found[good.id]["state"], found[bad.id]["state"]) == ("STOPPED", "DIED")
    assert found[bad.id]["error"] == "it did not work"
    assert good.wait().code == 0
    assert bad.wait().code == 1
    # Without a wait the exit code is of the question, not of the task.
    assert sessions("status", bad.id).code == 0
    assert len(codex.runs) == 2


def test_a_wait_counts_every_run_of_the_queue_that_it_has_seen(
    sessions: Sessions, held: Path, tmp_path: Path
) -> None:
    session = sessions.start("Fail.")
    session.queue("Do it.")
    point = hold(tmp_path)
    # It has noted the run from which on it waits.
    env = sabotaged(point.at(TASKS, "sqlite3.execute", "pragma data_version"))
    waiting = sessions.begin("status", "--wait", session.id, env=env)
    wait_until(point.reached.exists)
    point.go.touch()
    held.touch()

    assert waiting.wait().code == 1

    assert session.given == ["Fail.", "Do it."]
    assert session.state == "STOPPED"


def lose_directory(session: Session) -> None:
    session.lose(supervisor=True, codex=True)
    Path(session.json["working_dir"]).rmdir()


def damage_record(session: Session) -> None:
    session.lose(supervisor=True, codex=True)
    session.sessions.change(
        "update records set record = x'00' where run_id = ?", session.runs[-1].run_id
    )


@pytest.mark.parametrize("words", [["--wait"], ["--wait-any"]])
@pytest.mark.parametrize("damage", [lose_directory, damage_record])
def test_a_wait_for_several_tells_of_all_when_one_is_damaged(
    sessions: Sessions,
    held: Path,
    damage: Callable[[Session], None],
    words: list[str],
    tmp_path: Path,
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    bad = sessions.start("--working-dir", place, "Begin.")
    bad.wait_for_run(1)
    bad.queue("More.")
    damage(bad)
    held.touch()
    good = sessions.ended()

    said = sessions("status", "--json", *words, bad.id, good.id)

    found = {each["id"]: each for each in rows_of(said.stdout)}
    assert found.keys() == {bad.id, good.id}
    assert found[good.id]["state"] == "STOPPED"
    assert said.stderr == ""
    # A damaged record costs what it alone held: the session goes on without it.
    assert said.code == (damage is lose_directory)
    if damage is lose_directory:
        assert "is gone" in found[bad.id]["queue_held"]


def test_a_wait_for_any_ends_with_the_first(
    sessions: Sessions, codex: StandIn, held: Path
) -> None:
    slow = sessions.start()
    codex.plays(*script.ordinary(), thread=script.FRESH)
    quick = sessions.start()

    said = sessions("status", "--json", "--wait-any", slow.id, quick.id)

    assert said.code == 0
    states = {each["id"]: each["state"] for each in rows_of(said.stdout)}
    assert states == {slow.id: "RUNNING", quick.id: "STOPPED"}
    held.touch()
    assert slow.wait().code == 0


def test_all_and_all_running_select_tasks(
    sessions: Sessions, codex: StandIn, held: Path
) -> None:
    assert rows_of(sessions("status", "--json", "-a").stdout) == []
    assert sessions("status", "-A", "--wait").code == 0
    running = sessions.start()
    codex.plays(*script.ordinary(), thread=script.FRESH)
    stopped, archived = sessions.ended(), sessions.ended()
    assert sessions("archive", archived.id).code == 0

    def of(option: str) -> set[str]:
        said = sessions("status", "--json", option)
        return {each["id"] for each in rows_of(said.stdout)}

    assert of("-A") == {running.id}
    assert of("-a") == {running.id, stopped.id, archived.id}
    held.touch()
    assert running.wait().code == 0
    assert of("-A") == set()


def damage_json(session: Session) -> Path:
    path = session.directory / "task.json"
    path.write_text('{"id": ')
    return path


def remove_json(session: Session) -> Path:
    path = session.directory / "task.json"
    path.unlink()
    return path


def swap_json(session: Session) -> Path:
    path = session.directory / "task.json"
    path.write_text(json.dumps({**session.json, "id": UNKNOWN}))
    return path


def bare_json(session: Session) -> Path:
    path = session.directory / "task.json"
    path.write_text("[]")
    return path


def add_stranger(session: Session) -> Path:
    path = session.directory.with_name("holiday-pictures")
    path.mkdir()
    (path / "task.json").write_text("no JSON")
    return path


DAMAGES = [damage_json, remove_json, swap_json, bare_json, add_stranger]


def test_what_is_wrong_with_some_tasks_concerns_no_other(sessions: Sessions) -> None:
    whole, *others = (sessions.ended() for _ in ("whole", *DAMAGES))
    damaged = list(zip(DAMAGES, others, strict=True))
    paths = {damage: damage(bad) for damage, bad in damaged}

    listed = sessions("ls", "--json")
    status = sessions("status", "--json", "-a")

    for said in (listed, status):
        assert (said.code, said.stderr) == (0, "")
        states = {each["id"]: each["state"] for each in rows_of(said.stdout)}
        ids = {each.id for each in (whole, *others)}
        assert states == dict.fromkeys(ids, "STOPPED")
    verified = sessions("verify")
    assert verified.code == 1
    assert whole.id not in verified.stdout
    del paths[add_stranger]
    assert all(str(path) in verified.stdout for path in paths.values())
    for bad in others:
        assert bad.result().stdout == "answer to Begin.\n"
        assert bad.send("More.").code == 0
        assert bad.wait().code == 0
        assert bad.json["last_prompt"] == "More."


def test_a_log_of_a_session_that_is_gone_is_made_anew(sessions: Sessions) -> None:
    session = sessions.ended()
    for name in ("task.log", "task.result"):
        (session.directory / name).unlink()

    assert session.result().stdout == "answer to Begin.\n"
    assert session.status["last_result"] == "answer to Begin."
    session.send("More.")
    session.wait()
    assert session.prompts == ["Begin.", "More."]


def test_nothing_is_said_to_be_wrong_with_a_session_that_begins(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(script.wait_for(go), *script.ordinary(), thread=script.FRESH)
    begun = sessions.begin(*sessions.starting("Begin."))
    said = []

    def is_at_work() -> bool:
        said.append(sessions("ls", "--json"))
        return bool(codex.runs)

    wait_until(is_at_work)

    assert {(each.code, each.stderr) for each in said} == {(0, "")}
    go.touch()
    assert begun.wait().code == 0
    Session(begun.stdout.strip(), sessions).wait()


def test_parts_that_nobody_knows_are_not_told_as_nothing(sessions: Sessions) -> None:
    session = sessions.ended()
    sessions.change("update usage_sums set unknown_parts = runs, input = 0, output = 0")

    usage = session.status["usage"]

    assert usage["total_tokens"] > 0
    assert usage["input_tokens"] is usage["output_tokens"] is None
    assert (usage["unknown_runs"], usage["unknown_parts"]) == (0, 1)


def test_what_rests_is_not_waited_for_among_all(sessions: Sessions, held: Path) -> None:
    died = sessions.start("Fail")
    held.touch()
    assert died.wait().code == 1
    held.unlink()
    begun = sessions.start("Go on.")

    assert sessions("status", "--wait", "-a", "--timeout", "0.2").code == 124
    held.touch()
    assert sessions("status", "--wait", "-a").code == 0

    begun.wait()
    for words in ("--wait", "-a"), ("--wait-any", "-a"), ("-a",):
        assert sessions("status", *words).code == 0
    assert sessions("status", "--wait", died.id).code == 1


def test_a_codex_that_reconnects_is_shown_so(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        script.reconnecting(1),
        script.wait_for(go),
        script.message("back"),
        script.complete(),
        thread=script.FRESH,
    )
    session = sessions.start()
    why = "Reconnecting... waiting for network (os error 101)"

    wait_until(lambda: session.status["note"] is not None)

    assert session.status["note"] == f"Codex has no connection: {why}"
    shown = sessions("status", session.id).stdout
    assert f"Note: Codex has no connection: {why}\n" in shown
    go.touch()
    session.wait()
    assert session.status["note"] is None


def test_an_interrupt_ends_the_waiting_and_says_how_to_stop_the_runs(
    sessions: Sessions, held: Path, tmp_path: Path
) -> None:
    first, second, done = (sessions.start() for _ in range(3))
    done.stop()
    pause = hold(tmp_path)
    points = sabotaged(pause.at(TASKS, "sqlite3.execute", "data_version", 2))
    ids = [each.id for each in (first, second, done)]
    waiting = sessions.begin("status", "--wait", *ids, env=points)
    wait_until(pause.reached.exists)

    waiting.send(signal.SIGINT)

    ended = waiting.wait()
    names = " ".join(each.status["short_id"] for each in (first, second))
    why = f"still running: {names} (codex-tasks stop {names} ends it)"
    assert (ended.code, ended.stdout) == (130, "")
    assert ended.stderr == f"codex_tasks: {why}\n"
    held.touch()
    assert first.wait().code == second.wait().code == 0
