"""A success that did nothing is called so, and fails a strict caller."""

import json
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import kill, wait_until
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import Tasks, gone

REFUSED = script.item(
    "command_execution",
    command="/bin/bash -c id",
    aggregated_output="bwrap: setting up uid map: Permission denied\n",
    exit_code=1,
    status="failed",
)
BROKEN = [*script.begin(), REFUSED, script.message("I cannot."), script.complete()]
EMPTY = [*script.begin(), script.message("  "), script.complete()]
DOUBTS = {"sandbox_broken": BROKEN, "empty_answer": EMPTY}


@pytest.mark.parametrize("doubt", DOUBTS)
def test_a_success_that_did_nothing_has_a_warning(
    task: Tasks, stand_in: StandIn, doubt: str, tmp_path: Path
) -> None:
    stream = tmp_path / "stream.jsonl"
    stand_in.plays(*DOUBTS[doubt])

    ended = task("--event-stream", str(stream))
    strict, named = task("--strict"), task(env={"CODEX_RUNNER_STRICT": "1"})

    assert (ended.code, ended.fields["outcome"]) == (0, "succeeded")
    assert f"run_codex_task: {doubt}: " in ended.stderr
    assert ended.files.summary["warnings"] == ended.meta["warnings"] == {doubt: 1}
    told = [json.loads(line)["warnings"] for line in stream.read_text().splitlines()]
    assert told == [None, {doubt: 1}]
    assert ended.files.summary["success"] is True
    assert strict.code == named.code == 1
    assert strict.fields["outcome"] == "succeeded"


@pytest.mark.parametrize(
    "steps",
    [
        [*script.begin(), REFUSED, script.item("file_change", status="completed")],
        [*script.begin(), script.message("All done.")],
    ],
    ids=["an edit", "a message"],
)
def test_a_plain_success_is_not_empty(
    task: Tasks, stand_in: StandIn, steps: list[script.Step]
) -> None:
    stand_in.plays(*steps, script.complete())

    assert "empty_answer" not in task("--strict").meta["warnings"]


def test_a_run_that_is_judged_late_has_the_same_warning(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    stand_in.plays(*BROKEN[:2], script.wait_for(go), *BROKEN[2:])
    begun = task.start("--strict")
    files = begun.wait_running()
    wait_until(lambda: files.text(".events.jsonl"), what="the first event")
    supervisor = files.supervisor()
    kill(supervisor)
    wait_until(lambda: gone(supervisor))
    go.touch()

    ended = begun.wait()

    assert (ended.code, ended.fields["outcome"]) == (1, "succeeded")
    assert ended.files.summary["warnings"]["sandbox_broken"] == 1
    assert "run_codex_task: sandbox_broken: " in ended.stderr


def test_a_failure_has_its_class_wherever_it_is_told(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    stream = tmp_path / "stream.jsonl"
    stand_in.plays(*script.begin(), *script.fail("Selected model is at capacity."))

    ended = task("--event-stream", str(stream))

    begun, over = map(json.loads, stream.read_text().splitlines())
    assert (begun["error_class"], begun["retryable"]) == (None, None)
    for told in (over, ended.files.summary):
        assert (told["error_class"], told["retryable"]) == ("server_overloaded", True)
    assert ended.meta["error_class"] == "server_overloaded"


def test_status_and_result_say_that_a_success_did_nothing(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(*BROKEN, thread=script.FRESH)
    session = sessions.ended()

    assert session.status["warnings"] == {"sandbox_broken": 1}
    shown = sessions("status", "--wait", session.id)
    assert (shown.code, shown.stderr) == (0, "")
    assert "\nWarning: sandbox_broken: every command failed" in shown.stdout
    assert sessions("status", "--wait", "--strict", session.id).code == 1
    for strict, code in (((), 0), (("--strict",), 1)):
        result = sessions("result", *strict, session.id)
        assert (result.code, result.stdout) == (code, "I cannot.\n")
        assert ": sandbox_broken: every command failed" in result.stderr
