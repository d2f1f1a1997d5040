"""`--verify`: a turn is checked; while the check fails, the session goes on."""

import json
import signal
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import kill, wait_until
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import ANNOUNCED, CLOSING, Tasks, gone

HOLDS = "echo $$ > pid; sleep 300"


@pytest.fixture
def check(tmp_path: Path) -> Path:
    """Make a check that passes once the file `fixed` is where it runs."""
    return program(tmp_path, "echo one; echo two >&2; test -e fixed")


def program(place: Path, text: str) -> Path:
    path = place / "check.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def fixes(codex: StandIn, repo: Path, *, in_turn: str) -> None:
    """Let Codex make the file when its prompt has this text."""
    fix = (script.write(repo / "fixed", "x"), script.complete())
    codex.plays(*script.begin(), script.when(in_turn, *fix), script.complete())


def runs_of(sessions: Sessions) -> list[tuple[object, object, object]]:
    return [(r["outcome"], r["error_class"], r["exit_code"]) for r in sessions.records]


def wait_for_check(repo: Path) -> int:
    """Wait until the check has said its pid."""
    wait_until(lambda: (repo / "pid").exists() and (repo / "pid").read_text(), 15)
    return int((repo / "pid").read_text())


def prompts_of(sessions: Sessions) -> list[tuple[str, str]]:
    return [tuple(row) for row in sessions.rows("select state, reason from prompts")]


@pytest.mark.core
def test_a_turn_whose_check_passes_has_succeeded(
    task: Tasks, repo: Path, check: Path
) -> None:
    (repo / "fixed").touch()

    ended = task("--verify", check)

    assert (ended.code, ended.fields["outcome"]) == (0, "succeeded")
    assert f"check passed in turn 1 of 3: {check}\n" in ended.stdout
    assert f"check passed in turn 1 of 3: {check}\n" in ended.files.log
    assert ended.files.text(".verify") == "one\ntwo\n"
    found = ended.meta["accounts"]["verify"]
    assert 0 <= found.pop("seconds") < 10
    assert found == {
        "command": str(check),
        "exit_code": 0,
        "fault": None,
        "iteration": 1,
        "of": 3,
        "output_file": str(ended.files.path(".verify")),
    }


@pytest.mark.core
def test_the_session_goes_on_with_what_the_check_said_until_it_passes(
    task: Tasks, stand_in: StandIn, repo: Path, check: Path
) -> None:
    fixes(stand_in, repo, in_turn="has failed")

    ended = task("--verify", check, "--task", "Do it.")

    assert ended.code == 0
    assert [line.partition("=")[0] for line in ended.lines[:4]] == ANNOUNCED
    assert ended.block == CLOSING
    assert "check failed in turn 1 of 3: check.sh exited 1\n" in ended.stdout
    assert ended.stdout.count("codex_run_id=") == 3
    first, second = task.all
    assert ended.fields["codex_run_id"] == second.run_id
    assert first.meta["session_id"] == second.meta["session_id"]
    assert (first.meta["outcome"], first.meta["exit_code"]) == ("succeeded", 1)
    assert first.meta["error"] == "the check failed: check.sh exited 1"
    assert first.summary["success"] is False
    assert first.summary["error_class"] == "verify_failed"
    assert second.summary["success"] is True
    assert second.summary["verify"] == second.meta["accounts"]["verify"]
    assert stand_in.runs[1]["stdin"] == (
        "The check of your work has failed: check.sh exited 1.\n"
        f"Its command: {check}\n"
        "The end of its output:\n\none\ntwo\n\n"
        "Fix the cause, and finish the task. The same check runs after your turn."
    )


def test_a_prompt_whose_check_has_failed_is_retried_from_its_beginning(
    sessions: Sessions,
) -> None:
    session = sessions.start("Do it.", "--verify", "false", "--max-iterations", "2")
    session.wait()

    assert sessions("retry", session.id).code == 0
    session.wait()

    began, told = "Do it.", "The check of your work"
    sent = [run["stdin"] for run in sessions.stand_in.runs]
    assert [text[: len(told)] for text in sent] == [began, told, began, told]
    assert prompts_of(sessions) == [("failed", "verify_failed")]


@pytest.mark.core
def test_after_its_turns_the_prompt_has_failed_and_the_run_has_succeeded(
    task: Tasks, check: Path, sessions: Sessions
) -> None:
    ended = task("--verify", check, "--max-iterations", 2)

    assert (ended.code, ended.fields["outcome"]) == (1, "succeeded")
    assert "check failed in turn 2 of 2" in ended.stdout
    assert ended.fields["summary_line"].startswith("FAIL ")
    assert "verify_failed" in ended.fields["summary_line"]
    assert ended.stderr == ("run_codex_task: the check failed: check.sh exited 1\n")
    assert runs_of(sessions) == [("succeeded", "verify_failed", 1)] * 2
    assert prompts_of(sessions) == [("failed", "verify_failed")]


def test_a_session_says_that_its_check_has_failed(
    sessions: Sessions, check: Path
) -> None:
    session = sessions.start("--verify", check, "--max-iterations", 2, "Begin.")

    assert session.wait().code == 1

    status, text = session.status, sessions("status", session.id).stdout
    assert (status["state"], status["error_class"]) == ("DIED", "verify_failed")
    assert (status["verify"]["iteration"], status["verifying"]) == (2, False)
    assert "Check: failed in turn 2 of 2: check.sh exited 1\n" in text
    assert session.json["state"] == "DIED"
    assert session.result().code == 1
    assert sessions("verify").code == 0


def test_a_prompt_that_needs_one_whose_check_has_failed_is_not_delivered(
    sessions: Sessions, check: Path
) -> None:
    first = sessions.start("--verify", check, "--max-iterations", 1, "Begin.")
    sessions("send", "--queue", "--after", first.id, first.id, "Next.")

    assert first.wait().code == 1

    assert prompts_of(sessions) == [
        ("failed", "verify_failed"),
        ("failed", "dependency_failed"),
    ]


def test_queued_prompts_are_checked_too_before_what_is_behind_them(
    sessions: Sessions, codex: StandIn, repo: Path, check: Path
) -> None:
    session = sessions.ended()
    fixes(codex, repo, in_turn="has failed")
    session.send("One.", "--queue", "--verify", check)
    session.queue("Two.")

    assert session.wait().code == 0

    given = [text.partition("\n")[0] for text in session.given]
    checked = "The check of your work has failed: check.sh exited 1."
    assert given == ["Begin.", "One.", checked, "Two."]
    assert runs_of(sessions)[1:] == [
        ("succeeded", "verify_failed", 1),
        ("succeeded", None, 0),
        ("succeeded", None, 0),
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--verify", "nowhere-to-be-found"], "cannot be run: No such file"),
        (["--verify", "sh -c 'kill -9 $$'"], "sh was ended by SIGKILL"),
        (["--verify", "sleep 60", "--verify-timeout", "0.3"], "longer than 0.3 s"),
    ],
)
def test_a_check_that_does_not_end_well_says_why(
    task: Tasks, words: list[str], why: str
) -> None:
    ended = task(*words, "--max-iterations", 1)

    assert ended.code == 1
    assert why in ended.meta["error"]


def test_the_limit_of_a_check_spares_what_codex_has_left_running(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(*script.begin(), script.spawn(seconds=30), script.complete())

    ended = task(
        *("--verify", "sh -c 'sleep 60 & sleep 60'", "--verify-timeout", "0.3"),
        *("--max-iterations", 1),
    )

    (left,) = ended.meta["left_running"]
    assert left["pid"] == stand_in.children[0]
    assert "longer than 0.3 s" in ended.meta["error"]
    kill(left["pid"])


def test_a_check_runs_where_codex_has_worked_with_its_environment_and_no_input(
    task: Tasks, repo: Path, tmp_path: Path
) -> None:
    told = program(tmp_path, "pwd; echo $MARK $CODEX_RUNNER_RUN; cat; umask")

    ended = task("--verify", told, env={"MARK": "x"})

    assert ended.files.text(".verify").split() == [
        *(str(repo), "x", ended.files.run_id, "0022")
    ]


@pytest.mark.core
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_the_check_and_no_turn_follows(
    task: Tasks, repo: Path, tmp_path: Path, number: int, code: int
) -> None:
    begun = task.start("--verify", program(tmp_path, HOLDS))
    pid = wait_for_check(repo)

    begun.send(number)
    ended = begun.wait()

    assert (ended.code, ended.fields["outcome"]) == (code, "interrupted")
    assert len(task.all) == 1
    assert gone(pid)


def test_stop_ends_the_check_and_the_prompt(
    sessions: Sessions, repo: Path, tmp_path: Path
) -> None:
    session = sessions.start("--verify", program(tmp_path, HOLDS), "Begin.")
    pid = wait_for_check(repo)
    status = session.status
    assert (status["state"], status["verifying"]) == ("RUNNING", True)
    assert status["shown"]["reason"] == status["now"]["doing"] == "verifying"
    assert "\tverifying\t" in sessions("ls").stdout
    assert "State: RUNNING (verifying)\n" in sessions("status", session.id).stdout
    assert status["note"] is None

    assert session.stop().code == 0

    assert gone(pid)
    assert session.status["outcome"] == "stopped"
    assert prompts_of(sessions) == [("canceled", "stopped")]
    assert session.status["last_result"] == "answer to Begin."


@pytest.mark.core
def test_a_supervisor_that_is_killed_in_the_check_costs_no_turn(
    sessions: Sessions, codex: StandIn, repo: Path, tmp_path: Path
) -> None:
    once = program(tmp_path, f"test -e fixed || {{ {HOLDS}; }}")
    session = sessions.start("--verify", once, "Begin.")
    pid = wait_for_check(repo)
    fixes(codex, repo, in_turn="it was interrupted")

    session.lose()
    assert session.wait().code == 0

    assert gone(pid)
    first, second = session.records
    assert (first["error_class"], second["error_class"]) == ("verify_failed", None)
    assert first["error"] == "the check failed: it was interrupted"
    assert second["accounts"]["verify"]["iteration"] == 2
    assert len(codex.begun(session.id)) == 2
    assert sessions("verify").code == 0


def test_the_command_goes_on_after_a_supervisor_that_was_killed_in_the_check(
    task: Tasks, stand_in: StandIn, repo: Path, tmp_path: Path
) -> None:
    once = program(tmp_path, f"test -e fixed || {{ {HOLDS}; }}")
    begun = task.start("--verify", once)
    wait_for_check(repo)
    fixes(stand_in, repo, in_turn="it was interrupted")

    kill(task.all[0].supervisor())
    ended = begun.wait()

    assert ended.code == 0
    assert "check failed in turn 1 of 3: it was interrupted\n" in ended.stdout
    assert ended.fields["codex_run_id"] == task.all[1].run_id
    assert ended.block == CLOSING


def test_a_killed_supervisor_and_a_stop_leave_no_check_and_no_prompt(
    sessions: Sessions, repo: Path, tmp_path: Path
) -> None:
    session = sessions.start("--verify", program(tmp_path, HOLDS), "Begin.")
    pid = wait_for_check(repo)
    session.lose()

    session.stop()

    assert gone(pid)
    assert [state for state, _ in prompts_of(sessions)] == ["canceled"]
    assert len(session.records) == 1


def test_the_command_waits_for_a_slot_for_the_next_turn_and_a_signal_ends_that(
    task: Tasks, sessions: Sessions, repo: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    waits = program(
        tmp_path, f"touch here; until test -e {go}; do sleep 0.02; done; false"
    )
    begun = task.start("--verify", waits)
    wait_until((repo / "here").exists, 15)
    sessions("slots", "0")
    go.touch()
    wait_until(lambda: "waiting for the next turn" in begun.stderr, 15)

    begun.send(signal.SIGTERM)

    assert begun.wait().code == 143
    assert prompts_of(sessions) == [("canceled", "interrupted")]


def test_the_command_follows_the_turns_with_their_own_files_and_options(
    task: Tasks, stand_in: StandIn, check: Path, tmp_path: Path
) -> None:
    copy, stream = tmp_path / "copy.json", tmp_path / "stream"

    ended = task(
        *("--verify", check, "--max-iterations", 3, "--model", "some-model"),
        *("--json-out", copy, "--event-stream", stream, "--timeout", 20),
    )

    assert len(task.all) == 3
    for each in task.all:
        request = each.meta["request"]
        assert request["limits"]["timeout"] == 20
        assert request["report"]["json_out"] == str(copy)
        assert each.meta["model"] == "some-model"
    assert json.loads(copy.read_text())["run_id"] == ended.fields["codex_run_id"]
    assert stream.read_text().count("run_completed") == 3
    assert all("some-model" in " ".join(run["argv"]) for run in stand_in.runs)


def test_the_next_turn_has_the_whole_environment_of_the_command(
    task: Tasks, stand_in: StandIn, check: Path
) -> None:
    task("--verify", check, "--max-iterations", 2, env={"SSH_AUTH_SOCK": "/a/socket"})

    given = [run["env"].get("SSH_AUTH_SOCK") for run in stand_in.runs]
    assert given == ["/a/socket"] * 2


def test_with_detach_the_turns_go_on_without_the_command(
    task: Tasks, sessions: Sessions, check: Path
) -> None:
    ended = task("--verify", check, "--detach")

    assert ended.code == 0
    wait_until(lambda: prompts_of(sessions) == [("failed", "verify_failed")], 20)
    assert len(runs_of(sessions)) == 3


def test_the_end_of_a_long_output_is_told_in_whole_lines(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    long = program(tmp_path, "seq -f 'line %.0f' 1 2000; false")

    task("--verify", long, "--max-iterations", 2)

    told = stand_in.runs[1]["stdin"]
    assert len(told) < 4500
    assert "\n\n[...]\nline 1" in told
    assert "line 2000\n" in told


def test_a_check_is_not_run_after_a_turn_that_has_failed(
    task: Tasks, stand_in: StandIn, repo: Path, tmp_path: Path
) -> None:
    stand_in.plays(*script.begin(), *script.fail("No."))

    ended = task("--verify", program(tmp_path, "touch was-here"))

    assert (ended.code, ended.fields["outcome"]) == (1, "failed")
    assert not (repo / "was-here").exists()
    assert "verify" not in ended.meta["accounts"]


def test_the_time_of_a_check_is_neither_a_stall_nor_in_the_limit_of_the_run(
    task: Tasks,
) -> None:
    ended = task("--verify", "sleep 1.2", "--timeout", "1", "--stall-timeout", "1")

    assert (ended.code, ended.fields["outcome"]) == (0, "succeeded")
