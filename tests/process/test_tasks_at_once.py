"""Many callers at once: nothing is lost, nothing comes twice, the order stays."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from support import stand_in as script
from support.sessions import Session, Sessions
from support.stand_in import StandIn

from parsers.text import uuid

MANY = 50
QUEUED = 25
SENDERS = 5


@pytest.fixture
def busy(sessions: Sessions, codex: StandIn, go: Path) -> Session:
    """Start a session whose runs wait for the test, each behind the one before."""
    codex.plays(
        *script.begin(),
        script.alone(),
        script.wait_for(go),
        script.message("answer to $PROMPT"),
        script.complete(),
        thread=script.FRESH,
    )
    return sessions.start()


def came_one_after_another(session: Session) -> bool:
    spans = [(run["launched_at"], run["ended_at"]) for run in session.records]
    return all(began and ended and began <= ended for began, ended in spans) and all(
        before[1] <= after[0] for before, after in pairwise(spans)
    )


def test_fifty_starts_at_once_print_fifty_ids_that_status_knows(
    sessions: Sessions, codex: StandIn
) -> None:
    begun = [sessions.begin(*sessions.starting(f"Prompt {n}.")) for n in range(MANY)]
    ended = [each.wait(180) for each in begun]

    assert {each.code for each in ended} == {0}
    notes = [note for each in ended for note in each.stderr.splitlines()]
    assert all(note.endswith("too (--worktree keeps tasks apart)") for note in notes)
    assert all(each.stdout.count("\n") == 1 for each in ended)
    ids = {each.lines[0] for each in ended}
    assert len(ids) == MANY
    assert all(uuid(each) for each in ids)
    waited = sessions("status", "--json", "--wait", "--timeout", 120, *ids, timeout=150)
    assert waited.code == 0, waited.stderr
    assert waited.stderr == ""
    listed = sessions.listed()
    assert {(each["state"], each["queue"]) for each in listed.values()} == {
        ("STOPPED", 0)
    }
    assert listed.keys() == ids
    for number, each in enumerate(ended):
        session = Session(each.lines[0], sessions)
        assert session.given == [f"Prompt {number}."] == session.prompts
        assert session.json["last_result"] == f"answer to Prompt {number}."
    assert len(codex.runs) == MANY
    assert len(list((sessions.state_home / "runs").iterdir())) == MANY


def test_many_prompts_queued_at_once_come_once_each_in_the_order_of_the_queue(
    sessions: Sessions, codex: StandIn, busy: Session, go: Path
) -> None:
    prompts = [f"Prompt {n}." for n in range(QUEUED)]

    begun = [sessions.begin("send", "--queue", busy.id, prompt) for prompt in prompts]
    ended = [each.wait(120) for each in begun]

    assert {(each.code, each.stdout) for each in ended} == {(0, "")}
    assert busy.status["queue"] == QUEUED
    assert busy.given == ["Begin."]
    go.touch()
    waited = sessions("status", "--wait", "--timeout", 150, busy.id, timeout=180)
    assert waited.code == 0, waited.stderr
    assert sorted(busy.given[1:]) == sorted(prompts)
    assert busy.queued == [(prompt, "done") for prompt in busy.given[1:]]
    assert busy.prompts == busy.given
    assert len(busy.records) == QUEUED + 1
    assert came_one_after_another(busy)
    assert codex.together == []


def test_each_senders_prompts_stay_in_order_while_others_send_too(
    codex: StandIn, busy: Session, go: Path
) -> None:
    def send(sender: int) -> None:
        for number in range(4):
            assert busy.queue(f"{sender}: {number}").code == 0

    with ThreadPoolExecutor(SENDERS) as pool:
        results = [pool.submit(send, sender) for sender in range(SENDERS)]
        # In the middle of it the first run ends, and prompts are delivered.
        go.touch()
        for each in results:
            each.result()

    assert busy.wait().code == 0
    given = busy.given[1:]
    assert len(given) == len(set(given)) == SENDERS * 4
    for sender in range(SENDERS):
        own = [prompt for prompt in given if prompt.startswith(f"{sender}:")]
        assert own == sorted(own)
    assert busy.queued == [(prompt, "done") for prompt in given]
    assert came_one_after_another(busy)
    assert codex.together == []


def test_of_sends_at_once_without_a_queue_one_works_and_the_others_are_refused(
    sessions: Sessions, codex: StandIn, busy: Session, go: Path
) -> None:
    go.touch()
    busy.wait()
    go.unlink()

    begun = [sessions.begin("send", busy.id, f"Prompt {n}.") for n in range(8)]
    ended = [each.wait(60) for each in begun]

    assert sorted(each.code for each in ended) == [0] + [75] * 7
    assert all("is busy: run " in each.stderr for each in ended if each.code)
    go.touch()
    assert busy.wait().code == 0
    (winner,) = [n for n, each in enumerate(ended) if each.code == 0]
    assert busy.given == ["Begin.", f"Prompt {winner}."]
    assert codex.together == []


@pytest.mark.parametrize("command", ["archive", "rm", "stop"])
def test_a_prompt_queued_while_its_session_goes_is_refused_or_given_or_told_of(
    sessions: Sessions, command: str
) -> None:
    for number in range(6):
        session = sessions.ended()
        prompt = f"Prompt {number}."

        other = sessions.begin(command, session.id)
        queued = sessions.begin("send", "--queue", session.id, prompt).wait()
        ended = other.wait()

        assert queued.code in {0, 1, 3}, queued.stderr
        assert ended.code in {0, 75}, ended.stderr
        if command != "stop" and ended.code == 0:
            # A prompt that came first has been answered before the task goes.
            assert queued.code in {0, 3 if command == "rm" else 1}
            assert session.given == ["Begin.", *[prompt] * (queued.code == 0)]
        if command != "stop" and ended.code:
            assert queued.code == 0
        if command == "rm" and ended.code == 0:
            assert session.id not in sessions.listed("-a")
            continue
        if command == "archive":
            sessions("unarchive", session.id)
        session.wait()
        if session.records[-1]["outcome"] != "stopped":
            is_skipped = "1 waiting prompt skipped" in ended.stdout
            expected = [prompt] * (queued.code == 0 and not is_skipped)
            assert session.given == ["Begin.", *expected]
        assert session.given in (["Begin."], ["Begin.", prompt])
        assert session.state == "STOPPED"
