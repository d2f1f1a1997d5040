"""The real Codex is ended within one model call of the budget of its prompt."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from support.processes import wait_until
from support.real_codex import RealTasks, holding
from support.real_sessions import RealSessions
from support.tasks import Ended, is_refused

CALL = "usage: input=10000 cached=0 output=1000 reasoning=0"
TOKENS = 11_000
MODEL = "gpt-5.5"
# Of such a call, at the standard price of that model and at the fast one.
USD, FAST_USD = Decimal("0.08"), Decimal("0.2")


def budget(ended: Ended) -> dict[str, Any]:
    found: dict[str, Any] = ended.meta["accounts"]["budget"]
    return found


def calls(codex: RealTasks, ended: Ended) -> int:
    """Count the model calls that Codex has an answer to."""
    return len(codex.records(ended.meta["session_id"], "token_usage_record"))


def test_a_run_ends_within_one_model_call_of_its_tokens(codex: RealTasks) -> None:
    task = f"{CALL}\nsay: half of the answer\ncalls: 20\nsay: never"
    ended = codex("--max-tokens", 25_000, "--task", task)

    assert ended.code == 1
    assert ended.fields["outcome"] == "over_budget"
    assert calls(codex, ended) in {3, 4}
    used = ended.meta["token_usage"]["total_tokens"]
    assert used == TOKENS * calls(codex, ended)
    said = f"the prompt has used {TOKENS * 3:,} of 25,000 tokens (--max-tokens)"
    assert ended.meta["error"] == said
    assert budget(ended)["is_exceeded"]
    assert budget(ended)["tokens"] == used


def test_the_partial_answer_is_kept(codex: RealTasks) -> None:
    task = f"{CALL}\nsay: half of the answer\ncalls: 9\nsay: never"
    ended = codex("--max-tokens", 12_000, "--task", task)

    assert ended.fields["outcome"] == "over_budget"
    assert ended.files.summary["final_message"] == "half of the answer"
    shown = codex.cli("result", ended.meta["run_id"], command="codex_tasks")
    assert "half of the answer" in shown.stdout


def test_the_budget_in_dollars_counts_a_fast_call_with_its_price(
    codex: RealTasks,
) -> None:
    asked = ("--max-usd", "0.3", "--model", MODEL, "--task", f"{CALL}\ncalls: 9")
    normal = codex(*asked)
    fast = codex("-c", "service_tier=fast", *asked)

    for ended, price in ((normal, USD), (fast, FAST_USD)):
        assert ended.fields["outcome"] == "over_budget"
        needed = int(Decimal("0.3") / price) + 1
        assert calls(codex, ended) in {needed, needed + 1}
        cost = Decimal(str(ended.meta["cost"]["usd"]))
        assert cost == price * calls(codex, ended)
    said = f"the prompt has cost ${USD * 4} of $0.30 (--max-usd)"
    assert normal.meta["error"] == said


def test_sub_agents_count(codex: RealTasks) -> None:
    task = f"{CALL}\nspawn: {CALL}\\ncalls: 9\\nsay: an agent\nsay: never"
    ended = codex("--max-tokens", 50_000, "--task", task)

    assert ended.fields["outcome"] == "over_budget"
    usage = ended.meta["token_usage"]
    (agent,) = usage["subagents"]
    used = usage["total_tokens"] + agent["total_tokens"]
    assert used in {TOKENS * 5, TOKENS * 6}
    assert budget(ended)["tokens"] == used


def test_a_long_command_is_ended_too(codex: RealTasks, tmp_path: Path) -> None:
    """The call that asks for the command exceeds the budget."""
    task = f"{CALL}\nrun: {holding(tmp_path / 'never')}\nsay: never"
    ended = codex("--max-tokens", 10_000, "--task", task, timeout=30)

    assert ended.fields["outcome"] == "over_budget"
    assert calls(codex, ended) == 1


def test_a_run_without_a_rollout_goes_on_with_a_warning(codex: RealTasks) -> None:
    task = f"{CALL}\ncalls: 3\nsay: done"
    ended = codex("--max-tokens", 5_000, "--task", task, "--", "--ephemeral")

    assert ended.fields["outcome"] == "succeeded"
    assert ended.meta["warnings"] == {"budget_blind": 1}
    assert "no rollout of this thread" in ended.stderr


def test_with_strict_a_run_without_a_rollout_is_ended(codex: RealTasks) -> None:
    task = f"{CALL}\nsay: half\nrun: sleep 20\nsay: never"
    words = ("--strict", "--max-tokens", 5_000, "--task", task, "--", "--ephemeral")
    ended = codex(*words)

    assert ended.fields["outcome"] == "over_budget"
    assert "no rollout of this thread" in ended.meta["error"]


def test_a_model_without_a_price_is_refused_before_the_launch(
    codex: RealTasks,
) -> None:
    ended = codex("--max-usd", "1", "--model", "gpt-nobody", "--task", "say: hi")

    told = "--max-usd 1: no price for the model 'gpt-nobody'"
    assert is_refused(ended, 2, told, "fix:   --max-tokens N, or "), ended
    assert not codex.all


def attempts(sessions: RealSessions, tokens: int) -> list[dict[str, Any]]:
    """Queue a prompt whose attempts have one call before the server fails."""
    task = f"{CALL}\nrun: true\nfail: 500"
    options = ("--queue", "--retries", 5, "--max-tokens", tokens)
    again = {"CODEX_CONTINUE_PROMPT": task}
    started = sessions(*sessions.starting(*options, task), env=again)
    assert started.code == 0, started.stderr

    def is_over() -> bool:
        if sessions.rows("select 1 from prompts where wake_at is not null"):
            sessions.let_time_pass()
        return sessions.rows("select 1 from prompts where ended_at is not null") != []

    wait_until(is_over, 60, "the end of the prompt")
    ended = sessions.rows("select state, reason from prompts")
    assert ended == [("failed", "over_budget")]
    return sessions.records


def test_the_attempts_of_a_prompt_have_one_budget(sessions: RealSessions) -> None:
    runs = attempts(sessions, 25_000)

    assert [each["outcome"] for each in runs] == ["failed", "failed", "over_budget"]
    assert runs[2]["error"] == (
        f"the prompt has used {TOKENS * 3:,} of 25,000 tokens (--max-tokens)"
    )
    assert runs[2]["accounts"]["budget"]["tokens"] == TOKENS * 3


def test_an_attempt_for_which_nothing_is_left_is_not_started(
    sessions: RealSessions,
) -> None:
    first, second = attempts(sessions, TOKENS)

    assert first["outcome"] == "failed"
    assert (second["outcome"], second["exit_code"]) == ("over_budget", 1)
    assert second["launched_at"] is None
    assert second["error"] == (
        "the prompt has used 11,000 of 11,000 tokens (--max-tokens), before this run"
    )
