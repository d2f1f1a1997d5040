"""What the real Codex writes of the model and the service tier that a call had."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.real_codex import RealTasks

from runner.loopback import Answer, LoopbackServer, scripted, write_home
from runner.loopback.reply import Reply
from runner.loopback.request import Request

ASKED, ANSWERED = "gpt-5.5", "gpt-5.6-terra"
# Dollars for a million tokens of input.
USD = {ASKED: 5.0, ANSWERED: 2.0}
FAST = ("-c", 'service_tier="fast"')
TOKENS = 100_000
PROMPT = f"usage: input={TOKENS} output=0\n"


@pytest.fixture
def server(codex_home: Path) -> Iterator[LoopbackServer]:
    """Answer a prompt that asks for it in the name of another model."""

    def answer(request: Request) -> Reply:
        reply = scripted(request)
        if "reroute" in request.prompt and isinstance(reply, Answer):
            return dataclasses.replace(reply, headers={"openai-model": ANSWERED})
        return reply

    with LoopbackServer(answer) as found:
        write_home(codex_home, found.config_toml(model=ASKED))
        yield found


def usd(model: str, calls: int = 1, factor: float = 1) -> float:
    return round(USD[model] * factor * calls * TOKENS / 1_000_000, 6)


def test_a_call_is_priced_in_the_service_tier_that_it_was_sent_in(
    codex: RealTasks, server: LoopbackServer
) -> None:
    first = codex(
        *FAST, "--task", f"{PROMPT}spawn: {PROMPT}\\nsay: sub\nsay: all"
    ).files
    second = codex("--resume", first.run_id, "--task", f"{PROMPT}say: more").files
    # Codex omits the tier where the model has none, and says so in its events only.
    third = codex(*FAST, "-m", "gpt-5.1-codex", "--task", f"{PROMPT}say: x").files

    sent = [each.body.get("service_tier") for each in server.requests]
    assert sent == ["priority"] * (len(sent) - 1) + [None]
    tokens = first.summary["token_usage"]
    agents = sum(each["input_tokens"] for each in tokens["subagents"])
    calls = (tokens["input_tokens"] + agents) / 1_000_000
    assert first.summary["cost"]["usd"] == pytest.approx(calls * 12.5, abs=0.01)
    assert first.summary["cost"]["price_source"]["service_tier"] == "priority"
    assert second.summary["cost"]["usd"] == usd(ASKED, factor=2.5)
    assert third.summary["cost"]["usd"] == 0.125


def test_a_call_is_priced_as_the_model_that_answered(
    codex: RealTasks, server: LoopbackServer
) -> None:
    all_of = codex("--task", f"{PROMPT}run: true\nsay: reroute").files
    before = len(server.requests)

    assert before == 2
    assert all_of.summary["cost"]["usd"] == usd(ANSWERED, calls=2)
    assert all_of.summary["cost"]["model"] == ANSWERED
    assert "estimate" not in all_of.summary["cost"]
