"""`codex-tasks queue`, `slots`, `pause`, `resume`, `retry`; runs beyond the slots."""

import shlex
from pathlib import Path

import pytest
from support.commands import rows_of
from support.processes import assert_sleeps, wait_until
from support.sessions import Session, Sessions
from support.tasks import Ended, is_refused


@pytest.fixture
def pair(sessions: Sessions, held: Path) -> tuple[Session, Session]:
    """Start two sessions whose next runs wait for the test."""
    held.touch()
    first, second = sessions.ended("One."), sessions.ended("Two.")
    held.unlink()
    return first, second


@pytest.mark.core
def test_the_end_of_a_run_gives_its_slot_to_another_session(
    pair: tuple[Session, Session], go: Path
) -> None:
    first, second = pair
    first.sessions("slots", 1)
    first.send("wait")

    refused = second.send("Next.")
    fix = "fix:   codex-tasks send --queue "
    assert is_refused(refused, 75, "1 of 1 slots are taken", fix), refused
    assert "codex-tasks send --queue" in refused.stderr
    assert second.queue("Next.").code == 0
    (row,) = rows_of(second.sessions("queue", "--json").stdout)
    assert (row["task"], row["why"]) == (second.id, "slot")

    go.touch()
    second.wait_for_run(2).wait_for_end()
    assert second.given == ["Two.", "Next."]
    assert second.sessions("queue").stdout == "Nothing waits.\n"


def test_start_and_run_codex_task_are_refused_beyond_the_slots(
    sessions: Sessions,
) -> None:
    sessions("slots", 0)

    start = sessions(*sessions.starting("Begin."))
    run = sessions.cli("--repo", sessions.repo, "--task", "x", command="run_codex_task")

    told = "there are 0 slots"
    fix = "fix:   codex-tasks slots N, --wait-for-slot, or codex-tasks start --queue "
    assert is_refused(start, 75, told, fix), start
    ran = Ended(run.returncode, run.stdout, run.stderr)
    assert is_refused(ran, 75, told, fix), ran
    assert sessions.rows("select * from runs") == []


def test_what_waits_is_moved_edited_and_removed(
    pair: tuple[Session, Session], go: Path
) -> None:
    first, _ = pair
    sessions = first.sessions
    first.send("wait")
    for text in ("One more.", "Two more.", "Three more."):
        first.queue(text)
    rows = rows_of(sessions("queue", first.id, "--json").stdout)
    one, two, three = (row["id"] for row in rows)

    assert sessions("queue", "move", three, "--first").code == 0
    assert sessions("queue", "rm", one).code == 0
    assert sessions("queue", "edit", two, "--not-before", "+1h").code == 0
    said = sessions("queue", "edit", two, "--not-before", "none", "Other words.")
    assert said.code == 0, said.stderr

    go.touch()
    first.wait()
    assert first.given == ["One.", "wait", "Three more.", "Other words."]
    gone = sessions("queue", "rm", one)
    assert gone.code == 1
    assert f"prompt {one} is canceled: only a waiting one" in gone.stderr
    assert sessions("verify").code == 0


def test_a_paused_queue_goes_on_when_it_is_resumed(
    pair: tuple[Session, Session], go: Path
) -> None:
    go.touch()
    first, _ = pair
    first.sessions("pause")
    first.queue("Later.")
    assert " pause " in first.sessions("queue").stdout
    assert first.sessions("slots").stdout.endswith("1 waiting, paused\n")

    assert first.sessions("resume").code == 0

    first.wait()
    assert first.given == ["One.", "Later."]


def test_a_prompt_is_given_when_what_it_waits_for_has_succeeded(
    pair: tuple[Session, Session], go: Path
) -> None:
    first, second = pair
    first.send("wait")
    second.send("Then.", "--queue", "--after", first.id)
    assert " dependency " in first.sessions("queue").stdout

    go.touch()
    second.wait_for_run(2).wait_for_end()
    assert second.given == ["Two.", "Then."]


def test_a_prompt_that_ends_without_a_run_is_told_and_fails_a_wait(
    pair: tuple[Session, Session], go: Path
) -> None:
    go.touch()
    first, second = pair
    first.send("Fail")
    first.wait()

    said = second.send("Then.", "--queue", "--after", first.id)

    assert (said.code, said.stderr.count("\n")) == (0, 1)
    assert said.stderr.endswith("has ended: dependency_failed\n")
    waited = second.wait()
    assert waited.code == 1
    (ended,) = second.status["undelivered"]
    assert (ended["prompt"], ended["reason"]) == ("Then.", "dependency_failed")
    why = f"dependency_failed (it needed #{ended['needs']})"
    assert f"Never Delivered: #{ended['id']} {why}" in waited.stdout
    sessions = first.sessions
    late = sessions(*sessions.starting("--queue", "--after", first.id, "Never."))
    assert late.stderr.endswith("has ended: dependency_failed\n")
    assert sessions("status", "--wait", late.lines[0]).code == 1

    second.send("On again.")
    assert second.wait().code == 0
    assert second.status["undelivered"] == []


def test_a_failed_prompt_is_retried_with_what_waited_for_it(
    pair: tuple[Session, Session], go: Path
) -> None:
    go.touch()
    first, second = pair
    first.sessions("pause", first.id)
    first.queue("Fail")
    second.send("Then.", "--queue", "--after", first.id)
    first.sessions("resume", first.id)
    first.wait()
    assert second.queued == [("Then.", "failed")]

    again = first.sessions("retry", first.id)

    assert "queued again, and 1 prompt that needed it" in again.stderr
    first.wait()
    assert first.given == ["One.", "Fail", "Fail"]
    assert first.sessions("retry", second.id).code == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["queue", "rm"], "queue rm needs the number of a prompt"),
        (["queue", "rm", "x"], "N 'x' is not a number"),
        (["queue", "rm", "99"], "prompt 99 does not exist"),
        (["queue", "move", "1"], "queue move needs --first"),
        (["queue", "--first"], "--first is for queue move"),
        (["slots", "--", "-1"], "N '-1' is not a number of runs"),
        (["slots", "many"], "N 'many' is not a number of runs"),
        (["slots", "9" * 20], "is not a number of runs"),
        (["slots", "--starts-per-minute", "9" * 20], "is not a number of starts"),
        (["queue", "edit", "1"], "queue edit needs a new prompt, or an option"),
        (["queue", "edit", "1", "/exit"], "/quit comes after all that waits"),
        (["send", "--priority", "5", "x", "y"], "--queue"),
        (["send", "--queue", "--priority", "500", "x", "y"], "from -100 to 100"),
        (
            ["send", "--queue", "--not-before", "soon", "x", "y"],
            "fix:   --not-before 2026-11-30T22:00, or --not-before +90m",
        ),
        (["send", "--queue", "--after", "nope", "x", "y"], "no task"),
        (["send", "--dedup", "a", "x", "y"], "fix:   codex-tasks send --queue "),
    ],
)
def test_wrong_words_are_refused(
    sessions: Sessions, words: list[str], told: str
) -> None:
    session = sessions.ended()
    words = [
        session.id if word == "x" and words[0] == "send" else word for word in words
    ]

    refused = sessions(*words)

    assert refused.code in {1, 2, 3}
    assert told in refused.stderr
    assert session.given == ["Begin."]


@pytest.mark.core
def test_a_session_can_be_queued_before_it_has_a_thread(
    pair: tuple[Session, Session], go: Path
) -> None:
    sessions = pair[0].sessions
    sessions("slots", 1)
    pair[0].send("hold the slot")
    how = ("--queue", "--title", "later", "-s", "read-only", "-m", "gpt-5.5")

    said = sessions(*sessions.starting(*how, "Begin later."))

    assert said.code == 0, said.stderr
    (short_id,) = said.lines
    assert sessions("send", "--queue", short_id, "And more.").code == 0
    (status,) = rows_of(sessions("status", "--json", short_id).stdout)
    assert (status["state"], status["runs"], status["queue"]) == ("RUNNING", 0, 2)
    assert status["prompts"][0]["why"] == "slot"
    assert "State: RUNNING" in sessions("status", short_id).stdout
    assert "has not run yet" in sessions("result", short_id).stderr
    assert sessions("verify").code == 0
    go.touch()
    assert sessions("status", "--wait", "--timeout", 30, short_id).code == 0
    (status,) = rows_of(sessions("status", "--json", short_id).stdout)
    assert (status["title"], status["runs"]) == ("later", 2)
    first, second = sessions.records_of(status["id"])
    assert (first["mode"], second["mode"]) == ("new", "resume")
    assert (first["sandbox"], first["model"]) == ("read-only", "gpt-5.5")
    assert sessions.stand_in.given(status["id"]) == ["Begin later.", "And more."]


def test_the_id_of_a_queued_session_that_cannot_be_printed_is_told_all_the_same(
    sessions: Sessions, tmp_path: Path
) -> None:
    sessions("pause")
    begin = sessions.starting("--queue", "Later.")
    words = sessions.cli.argv(*begin, command="codex_tasks")
    said = tmp_path / "said"

    with said.open("wb") as stderr:
        shell = ["sh", "-c", 'exec "$@" >/dev/full', "sh", *words]
        code = sessions.cli.launch(shell, stderr=stderr).wait(30)

    (waits,) = rows_of(sessions("queue", "--json").stdout)
    assert code == 1
    assert f"task {waits['task']} was queued\n" in said.read_text()


def test_a_start_with_a_known_key_is_the_first_one(sessions: Sessions) -> None:
    sessions("slots", 0)
    how = ("--queue", "--key", "nightly", "--not-before", "+1h")

    first, again = (sessions(*sessions.starting(*how, "Later.")) for _ in range(2))
    other = sessions(*sessions.starting(*how, "Something else."))

    assert (first.code, again.stdout) == (0, first.stdout)
    assert len(rows_of(sessions("queue", "--json").stdout)) == 1
    assert (other.code, other.stdout) == (1, "")
    assert "--key 'nightly' has another request" in other.stderr
    assert len(rows_of(sessions("ls", "-a", "--json").stdout)) == 1
    assert sessions("stop", *first.lines).code == 0


def test_a_waiting_session_is_stopped_and_removed_before_it_has_run(
    sessions: Sessions,
) -> None:
    sessions("slots", 0)
    (short_id,) = sessions(*sessions.starting("--queue", "Later.")).lines

    assert "1 waiting prompt skipped" in sessions("stop", short_id).stdout
    assert rows_of(sessions("ls", "--json").stdout)[0]["state"] == "STOPPED"
    assert sessions("status", "--wait", short_id).code == 1
    assert sessions("archive", short_id).code == 0
    assert sessions("unarchive", short_id).code == 0
    assert sessions("rm", short_id).code == 0
    assert sessions("verify").code == 0


def test_a_new_session_whose_codex_was_missing_is_tried_again(
    sessions: Sessions,
) -> None:
    binary = sessions.stand_in.path
    away = binary.rename(binary.with_name("away"))
    (short_id,) = sessions(*sessions.starting("--queue", "Begin.")).lines
    waits = "select 1 from prompts where state = 'queued' and starts > 0"
    wait_until(lambda: sessions.rows(waits), what="the failed launch")

    away.rename(binary)
    sessions.let_time_pass()

    assert sessions("status", "--wait", "--timeout", 20, short_id).code == 0


def test_a_prompt_has_settings_of_its_own_over_those_of_its_session(
    pair: tuple[Session, Session], go: Path, tmp_path: Path
) -> None:
    go.touch()
    first, _ = pair
    elsewhere, image = tmp_path / "elsewhere", tmp_path / "a.png"
    elsewhere.mkdir()
    image.touch()
    own = ("--working-dir", elsewhere, "-m", "gpt-5.5", "--image", image)

    first.send("Look here.", "--queue", *own)
    first.wait()
    first.queue("As before.")
    first.wait()

    usual, special, after = first.records
    assert (special["repo"], special["model"]) == (str(elsewhere), "gpt-5.5")
    assert special["request"]["once"] == [f"--image={image}"]
    assert (after["repo"], after["model"]) == (usual["repo"], usual["model"])
    assert after["request"]["once"] == []


def test_a_run_waits_for_a_slot(pair: tuple[Session, Session], go: Path) -> None:
    sessions = pair[0].sessions
    sessions("slots", 1)
    pair[0].send("hold the slot")

    begun = sessions.begin(*sessions.starting("--wait-for-slot", "Begin."))

    wait_until(lambda: "waiting: 1 of 1 run" in begun.stderr, what="the reason")
    go.touch()
    assert begun.wait().code == 0


def test_a_run_that_waits_for_a_slot_does_not_wake_up_and_keeps_the_order(
    pair: tuple[Session, Session], go: Path
) -> None:
    sessions = pair[0].sessions
    sessions("slots", 1)
    pair[0].send("hold the slot")
    before = sessions(*sessions.starting("--queue", "Before.")).stdout.strip()
    begun = sessions.begin(*sessions.starting("--wait-for-slot", "Begin."))
    wait_until(lambda: "1 of 1 run" in begun.stderr, what="the reason to wait")
    ((supervisor,),) = sessions.rows(
        "select supervisor from runs where state = 'waiting'"
    )

    assert_sleeps(int(supervisor.split()[0]))

    go.touch()
    assert begun.wait().code == 0
    assert sessions("status", "--wait", before).code == 0
    started = sessions.rows("select prompt from runs order by launched_at")
    assert started == sorted(started)


AGENT = """#!/bin/sh
[ "$1" = --version ] && echo codex-cli 0.169.0 && exit
thread=$(cat /proc/sys/kernel/random/uuid)
echo '{"type":"thread.started","thread_id":"'$thread'"}'
echo '{"type":"turn.started"}'
case $(cat) in Outer*)
    id=$(START --codex-bin "$0" Inner) && WAIT "$id" > /dev/null || exit 1
esac
echo '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'
"""


def test_a_run_that_starts_another_and_waits_does_not_wait_for_itself(
    sessions: Sessions, tmp_path: Path
) -> None:
    sessions("slots", 1)
    agent = tmp_path / "agent"
    words = {"START": ("start",), "WAIT": ("status", "--wait", "--timeout", "20")}
    text = AGENT
    for name, command in words.items():
        argv = sessions.cli.argv(*command, command="codex_tasks")
        text = text.replace(name, shlex.join(map(str, argv)))
    agent.write_text(text)
    agent.chmod(0o755)
    usual = ("--working-dir", sessions.repo, "--codex-bin", agent)

    (outer,) = sessions("start", *usual, "Outer.").lines

    assert sessions("status", "--wait", "--timeout", 30, outer).code == 0
    runs = sessions.rows("select slotless, parent_run is not null, outcome from runs")
    assert runs == [(0, 0, "succeeded"), (1, 1, "succeeded")]


def test_the_list_names_the_task_that_another_one_waits_for(
    sessions: Sessions, held: Path, go: Path
) -> None:
    first = sessions.start("wait")
    sessions(*sessions.starting("--queue", "--after", first.id, "Then this."))

    rows = rows_of(sessions("ls", "--json").stdout)
    (waits,) = [each["shown"] for each in rows if each["shown"]["state"] == "queued"]
    assert waits["reason"] == "dependency"
    assert waits["detail"] == f"after {first.status['short_id']}"
    go.touch()
    held.touch()
