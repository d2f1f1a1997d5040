"""A prompt and a day have budgets: what happens above them, as a caller sees it."""

import json
from pathlib import Path

import pytest
from support import stand_in as script
from support.commands import rows_of
from support.sessions import Session, Sessions
from support.stand_in import StandIn, Step
from support.tasks import is_refused

from runner import clock

TERMS = ("--model", "gpt-5.5", "--max-usd", "1", "--max-tokens", "30000")


def called(tokens: int, model: str = "gpt-5.5") -> Step:
    """Write a model call to the rollout of the thread."""
    at, used = clock.iso(clock.now()), {"input_tokens": tokens, "output_tokens": 0}
    turn = {"turn_id": "t1", "model": model}
    call = {"thread_id": "$THREAD", "turn_id": "t1", "usage": used}
    kinds = (("session_meta", {"id": "$THREAD"}), ("turn_context", turn))
    records = [
        {"timestamp": at, "type": kind, "payload": payload}
        for kind, payload in (*kinds, ("token_usage_record", call))
    ]
    lines = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in records)
    name = "rollout-2026-11-30T00-00-00-$THREAD.jsonl"
    return script.write(f"$CODEX_HOME/sessions/{name}", lines)


@pytest.fixture
def rollouts(sessions: Sessions) -> None:
    """Make the directory of the rollouts."""
    home = Path(sessions.cli.environment["CODEX_HOME"])
    (home / "sessions").mkdir(parents=True)


def budget(session: Session) -> dict[str, object]:
    found: dict[str, object] = session.status["budget"]
    return found


@pytest.mark.usefixtures("rollouts")
def test_a_run_above_its_budget_is_ended_and_keeps_its_answer(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        called(20_000),
        script.message("half"),
        script.wait_for(go),
        called(20_000),
        script.hang(),
    )
    session = sessions.start(*TERMS, "Begin.")
    shown = "Budget: $0.10 of $1.00, 20,000 of 30,000 tokens"
    assert shown in sessions("status", session.id).stdout
    assert budget(session) == {
        "max_usd": 1,
        "max_tokens": 30_000,
        "tokens": 20_000,
        "usd": 0.1,
        "unpriced": 0,
        "is_exceeded": False,
    }
    go.touch()

    assert session.wait().code == 1

    status, (run,) = session.status, session.runs
    assert status["outcome"] == "over_budget"
    assert status["error"] == (
        "the prompt has used 40,000 of 30,000 tokens (--max-tokens)"
    )
    assert status["budget"]["is_exceeded"]
    assert session.result().stdout == "half\n"
    assert run.summary["budget"] == run.meta["accounts"]["budget"] == budget(session)
    assert session.sessions.rows("select state, reason from prompts") == [
        ("failed", "over_budget")
    ]


@pytest.mark.usefixtures("rollouts")
def test_a_model_whose_price_is_found_missing_in_the_run_is_a_warning(
    sessions: Sessions, codex: StandIn, go: Path
) -> None:
    codex.plays(
        *script.begin(),
        called(20_000, "nobody"),
        script.message("half"),
        script.wait_for(go),
        script.complete(),
    )
    begun = sessions.begin(*sessions.starting("--max-usd", "1", "Begin."))
    (id_,) = begun.wait().lines
    session = Session(id_, sessions)
    shown = "Budget: $0.00 of $1.00, 1 call without a price"
    assert shown in sessions("status", session.id).stdout
    go.touch()

    assert session.wait().code == 0

    assert session.status["warnings"]["budget_blind"] == 1


@pytest.mark.usefixtures("rollouts")
def test_with_strict_a_model_without_a_price_ends_the_run(
    sessions: Sessions, codex: StandIn
) -> None:
    codex.plays(*script.begin(), called(20_000, "nobody"), script.hang())
    strict = {"CODEX_RUNNER_STRICT": "1"}
    session = sessions.start("--max-usd", "1", "Begin.", env=strict)

    assert session.wait().code == 1

    assert session.status["outcome"] == "over_budget"
    assert session.status["error"].startswith(
        "--max-usd does not see all that the run uses: no price for the model 'nobody'"
    )


def test_above_the_budget_of_the_day_prompts_wait_and_runs_are_refused(
    sessions: Sessions, held: Path
) -> None:
    held.touch()
    session = sessions.ended()
    assert sessions("budget", "0").code == 0

    refused = session.send("Next.")
    told = "today's budget is spent ($0.00 of $0.00): wait until"
    assert is_refused(refused, 75, told, "fix:   codex-tasks send --queue "), refused
    assert session.queue("Next.").code == 0
    (row,) = rows_of(sessions("queue", "--json").stdout)
    assert (row["task"], row["why"]) == (session.id, "budget")
    assert "spent today $0.00 of $0.00" in sessions("status", session.id).stdout
    told = json.loads(sessions("budget", "--json").stdout)
    assert (told["usd_per_day"], told["is_spent"]) == (0, True)
    assert told["until"] == row["until"]

    assert sessions("budget", "none").code == 0

    assert session.wait().code == 0
    assert session.given == ["Begin.", "Next."]
    shown = sessions("budget").lines
    assert shown[0].startswith("Spent: $")
    assert shown[0].endswith(", no limit")
    assert shown[1].startswith(f"Day: {told['day']} in {told['time_zone']}, until ")


def test_a_budget_in_dollars_without_a_price_is_refused_when_it_is_queued(
    sessions: Sessions, held: Path
) -> None:
    held.touch()
    session = sessions.ended()
    unpriced = ("--max-usd", "1", "--model", "nobody")

    refused = (
        sessions(*sessions.starting(*unpriced, "Begin.")),
        sessions(*sessions.starting(*unpriced, "--queue", "Begin.")),
        session.send("Next.", *unpriced),
        session.send("Next.", "--queue", *unpriced),
    )

    for said in refused:
        told = "--max-usd 1: no price for the model 'nobody'"
        assert is_refused(said, 2, told, "fix:   --max-tokens N, or "), said
    assert sessions("queue").stdout == "Nothing waits.\n"
    assert len(sessions.records) == 1


@pytest.mark.parametrize("words", [["1", "2"], ["soon"], ["-1"]])
def test_a_wrong_budget_is_refused(sessions: Sessions, words: list[str]) -> None:
    said = sessions("budget", *words)

    assert said.code == 2
    assert "USD-PER-DAY" in said.stderr or "-1" in said.stderr
