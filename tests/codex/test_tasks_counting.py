"""What a session of the real Codex has used: the sum of its runs, and the rollout's."""

import pytest
from support.processes import wait_until
from support.real_codex import parts, used
from support.real_sessions import DEADLINE, RealSessions, figures, used_by


def test_the_usage_of_a_session_is_that_of_its_runs_and_of_its_rollout(
    sessions: RealSessions,
) -> None:
    session = sessions.start("run: true\nsay: one")
    assert session.wait().code == 0
    session.send("calls: 2\nsay: two")
    assert session.wait().code == 0
    session.send("say: three")
    assert session.wait().code == 0
    session.send("run: true\nrun: sleep 4000\nsay: never")
    session.wait_for("sleep 4000", times=2)
    session.stop()
    session.send("run: true\nfail: 500")
    assert session.wait().code == 1

    status, runs = session.status, session.runs

    shares = [parts(run.summary["token_usage"]) for run in runs]
    assert shares == [used(1, 2), used(3, 4, 5), used(6), used(7, 8), used(9)]
    assert figures(status["usage"]) == used_by(session) == session.total
    assert status["usage"]["unknown_runs"] == status["cost"]["unknown_runs"] == 0
    costs = [run.summary["cost"]["usd"] for run in runs]
    assert all(cost > 0 for cost in costs)
    assert status["cost"]["usd"] == pytest.approx(sum(costs))


def test_the_usage_of_a_living_run_is_part_of_its_session_s(
    sessions: RealSessions,
) -> None:
    session = sessions.start("say: one")
    assert session.wait().code == 0
    before = session.status
    session.send("calls: 2\nrun: sleep 4000")
    asked_for = used(1, 2, 3, 4)["input_tokens"]
    wait_until(
        lambda: session.total["input_tokens"] == asked_for, DEADLINE, "the last call"
    )

    during = session.status

    assert figures(during["usage"]) == session.total
    assert during["cost"]["usd"] > before["cost"]["usd"]
    session.stop()
    after = session.status
    assert after["usage"] == during["usage"]
    assert after["cost"] == pytest.approx(during["cost"])


def test_what_sub_agents_have_used_is_the_session_s_too(
    sessions: RealSessions,
) -> None:
    session = sessions.start("spawn: say: sub\nsay: done")
    assert session.wait().code == 0

    status = session.status

    (run,) = session.runs
    own = run.summary["token_usage"]
    (agent,) = own["subagents"]
    assert (
        status["usage"]["input_tokens"] == own["input_tokens"] + agent["input_tokens"]
    )
    assert status["usage"]["input_tokens"] > session.total["input_tokens"]
    assert status["cost"]["usd"] == pytest.approx(run.summary["cost"]["usd"])
