"""Prompts reach a session of the real Codex whole, once, and in their order."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

from support.real_codex import holding
from support.real_sessions import RealSessions

from runner.loopback import LoopbackServer

MEGABYTE = 1_000_000
COUNT = 5


def _big(answer: str) -> str:
    end = f"\nsay: {answer}"
    return "ä" + "x" * (MEGABYTE - 1 - len(end)) + end


def test_prompts_of_a_million_characters_arrive_whole_by_either_door(
    sessions: RealSessions, loopback: LoopbackServer
) -> None:
    first, second = _big("read to the end"), _big("and this one too")

    session = sessions.start("-", stdin=first)
    queued = sessions("send", "--queue", session.id, "-", stdin=second)

    assert (queued.code, queued.stdout) == (0, "")
    assert session.wait().code == 0
    asked = [request.prompt for request in loopback.requests_of(session.id)]
    assert asked == session.prompts == session.given == [first, second]
    answers = [run.summary["final_message"] for run in session.runs]
    assert answers == ["read to the end", "and this one too"]
    assert session.result().stdout == "and this one too\n"
    status = session.status
    assert status["last_prompt"] == second[:2000]
    assert status["queue"] == 0


def test_a_prompt_above_codex_s_limit_fails_in_its_words(
    sessions: RealSessions,
) -> None:
    session = sessions.start("-", stdin=_big("never") + "y" * 48_577)

    assert session.wait().code == 1

    status = session.status
    assert (status["state"], status["outcome"]) == ("DIED", "failed")
    assert "maximum length of 1048576 characters" in status["error"]


def test_prompts_that_are_queued_at_once_run_one_after_another_in_the_queue_s_order(
    sessions: RealSessions, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    session = sessions.start(f"run: {holding(go)}\nsay: zero")
    asked = [f"run: true\nsay: {number}" for number in range(COUNT)]

    with ThreadPoolExecutor(COUNT) as pool:
        said = list(pool.map(session.queue, asked))
    go.touch()

    assert [each.code for each in said] == [0] * COUNT
    assert {each.stdout for each in said} == {""}
    assert session.wait().code == 0
    _, *runs = session.runs
    order = [run.meta["task"] for run in runs]
    assert sorted(order) == asked
    assert session.given[1:] == session.prompts[1:] == order
    metas = [run.meta for run in session.runs]
    assert all(m["ended_at"] <= n["started_at"] for m, n in pairwise(metas))
    # Who was told that fewer prompts stand before his came earlier.
    ahead = {
        prompt: int(each.stderr.rpartition("queued, ")[2].split()[0])
        if "before it" in each.stderr
        else 0
        for prompt, each in zip(asked, said, strict=True)
    }
    assert sorted(asked, key=lambda prompt: ahead[prompt]) == order
    assert session.result().stdout == f"{order[-1].rpartition(' ')[2]}\n"


def test_prompts_queued_at_once_to_a_session_at_rest_are_all_delivered(
    sessions: RealSessions,
) -> None:
    session = sessions.start("say: zero")
    assert session.wait().code == 0
    asked = [f"say: {number}" for number in range(COUNT)]

    with ThreadPoolExecutor(COUNT) as pool:
        said = list(pool.map(session.queue, asked))

    assert [each.code for each in said] == [0] * COUNT
    assert session.wait().code == 0
    assert sorted(session.given[1:]) == asked
    assert session.given == session.prompts
    assert len(session.runs) == COUNT + 1


def test_a_quit_in_the_queue_ends_the_session_when_its_turn_comes(
    sessions: RealSessions, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    session = sessions.start(f"run: {holding(go)}\nsay: zero")
    for prompt, code in (("say: one", 0), ("/quit", 0), ("say: never", 75)):
        assert session.queue(prompt).code == code
    go.touch()

    assert session.wait().code == 0

    assert session.result().stdout == "one\n"
    assert session.given[1:] == ["say: one"]
    status = session.status
    assert (status["state"], status["queue"]) == ("STOPPED", 0)
