"""However the real Codex fails, the outcome is right and the words are its own."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from support.real_codex import RealTasks, parts, used

from parsers.error_classes import CLASSES

NOTHING = dict.fromkeys(used(), 0)
# A picture of four white points.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a730000000e49"
    "444154789c63f80f060c100a0053ba0bf598ac20670000000049454e44ae426082"
)


@pytest.mark.parametrize(
    ("directive", "outcome", "words", "named"),
    [
        ("fail: 401", "auth_failed", "401 Unauthorized", "unauthorized"),
        ("fail: 400", "failed", "status_400", "bad_request"),
        ("fail: 403", "failed", "403 Forbidden", "bad_request"),
        ("fail: 500", "failed", "high demand", "internal_server_error"),
        ("fail: 503", "failed", "503 Service", "http_connection_failed"),
        (
            "fail: context_length_exceeded",
            "failed",
            "context window",
            "context_window_exceeded",
        ),
        ("fail: server_is_overloaded", "failed", "capacity", "server_overloaded"),
        ("fail: usage_not_included", "usage_limited", "Plus", "usage_limit_exceeded"),
        ("drop", "failed", "stream closed before", "response_stream_disconnected"),
    ],
)
def test_a_failed_turn_is_told_in_codex_s_words(
    codex: RealTasks, directive: str, outcome: str, words: str, named: str
) -> None:
    ended = codex("--task", f"run: true\n{directive}")

    assert ended.code == 1
    assert ended.fields["outcome"] == ended.files.summary["outcome"] == outcome
    assert words in ended.meta["error"]
    assert f"run_codex_task: {outcome}: " in ended.stderr
    assert words in ended.stderr
    assert any(words in error for error in ended.files.summary["errors"])
    assert ended.files.summary["success"] is False
    assert parts(ended.files.summary["token_usage"]) == used(1)
    alone = codex.place / "saved.jsonl"
    alone.write_text(ended.files.text(".events.jsonl"))
    parsed = codex.cli("--log", str(alone), command="parse_codex_run")
    for told in (ended.files.summary, json.loads(parsed.stdout)):
        assert (told["outcome"], told["error_class"]) == (outcome, named)
        assert told["retryable"] is CLASSES[named][0]
        # Only these calls were accepted: the server may have counted them.
        is_accepted = directive in {"drop", "fail: context_length_exceeded"}
        missing = {"failed_calls": 1} if is_accepted else None
        assert told["token_usage"].get("uncounted") == missing


# Codex writes items for the first, and none for the second, which reads as a denial.
@pytest.mark.parametrize("why", ["No permissions to create", "Operation not permitted"])
def test_a_sandbox_that_cannot_start_is_no_plain_success(
    codex: RealTasks, why: str
) -> None:
    refused = f"run: echo 'bwrap: {why}'; exit 1"
    broken = codex("--sandbox", "workspace-write", "--strict", "--task", refused)
    mixed = codex("--strict", "--task", f"run: true\n{refused}")

    assert (broken.code, broken.fields["outcome"]) == (1, "succeeded")
    assert broken.files.summary["warnings"] == {"sandbox_broken": 1}
    assert "run_codex_task: sandbox_broken: " in broken.stderr
    assert (mixed.code, mixed.files.summary["warnings"]) == (0, {})


def test_a_sandbox_without_namespaces_cannot_start(
    codex: RealTasks, tmp_path: Path
) -> None:
    argv = ["unshare", "-Ur", "true"]
    if subprocess.run(argv, check=False).returncode:
        pytest.skip("no user namespace can be created here")
    none = "for kind in user mnt; do echo 0 > /proc/sys/user/max_${kind}_namespaces"
    script = f"#!/bin/sh\nexec unshare -Ur sh -c '{none}; done; exec \"$@\"' sh \\\n"
    program = tmp_path / "without-namespaces"
    program.write_text(f'{script}  {codex.stand_in.path} "$@"\n')
    program.chmod(0o755)
    more = ("--codex-bin", program, "--sandbox", "workspace-write")

    ended = codex(*more, "--task", "run: id\nrun: ls")

    assert (ended.code, ended.fields["outcome"]) == (0, "succeeded")
    assert ended.files.summary["warnings"] == {"sandbox_broken": 2}


@pytest.mark.parametrize("hidden", ["", "run: echo Permission denied; exit 1\n"])
def test_an_answer_of_nothing_is_empty_unless_a_command_is_in_the_rollout(
    codex: RealTasks, hidden: str
) -> None:
    more = ("--sandbox", "workspace-write", "--strict")
    ended = codex(*more, "--task", f"{hidden}say: \\n")

    named = {} if hidden else {"empty_answer": 1}
    assert ended.files.summary["warnings"] == named
    assert ended.code == len(named)


def test_a_usage_limit_is_an_outcome_and_its_limits_are_kept(codex: RealTasks) -> None:
    resets = int(time.time()) + 5400
    ended = codex("--task", f"run: true\nfail: 429 resets={resets} primary=100")

    assert ended.code == 1
    assert ended.fields["outcome"] == "usage_limited"
    assert "hit your usage limit" in ended.meta["error"]
    primary = ended.meta["accounts"]["rate_limits"]["primary"]
    assert primary["resets_at"] == resets
    assert primary["used_percent"] == 100
    assert parts(ended.files.summary["token_usage"]) == used(1)
    resumed = codex("--resume", ended.files.run_id, "--task", "say: better")
    assert resumed.code == 0


def test_an_untrusted_directory_is_refused_before_the_first_event(
    codex: RealTasks, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    (plain / ".git").mkdir(parents=True)  # without a HEAD it is none

    refused = codex("--repo", plain, "--task", "say: hi")
    allowed = codex("--repo", plain, "--skip-git-repo-check", "--task", "say: hi")

    assert refused.code == 1
    assert refused.fields["outcome"] == "failed"
    assert refused.meta["error"] == (
        "Not inside a trusted directory and --skip-git-repo-check was not specified."
    )
    assert refused.meta["error"] in refused.stderr
    assert refused.files.text(".events.jsonl") == ""
    summary = refused.files.summary
    assert parts(summary["token_usage"]) == NOTHING
    assert summary["cost"]["usd"] == 0
    assert allowed.code == 0


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--nonsense"], "unexpected argument '--nonsense'"),
        (["--color", "mauve"], "invalid value 'mauve'"),
    ],
)
def test_extra_arguments_that_codex_refuses_are_told_in_its_words(
    codex: RealTasks, extra: list[str], words: str
) -> None:
    ended = codex("--task", "say: hi", "--", *extra)

    assert ended.code == 2
    assert ended.fields["outcome"] == "failed"
    assert words in ended.meta["error"]
    assert words in ended.stderr


@pytest.mark.parametrize("is_resumed", [False, True])
def test_an_extra_argument_of_many_values_does_not_swallow_the_prompt(
    codex: RealTasks, tmp_path: Path, *, is_resumed: bool
) -> None:
    image = tmp_path / "point.png"
    image.write_bytes(PNG)
    resume = ("--resume", codex("--task", "say: 1").files.run_id) if is_resumed else ()

    ended = codex(*resume, "--task", "Look.\nsay: seen", "--", "-i", image)

    assert ended.code == 0
    assert ended.files.summary["final_message"] == "seen"
    rollout = codex.rollout(ended.fields["codex_session_id"]).read_text()
    assert "data:image/png;base64," in rollout


def test_a_model_without_a_price_costs_null_with_the_reason(codex: RealTasks) -> None:
    ended = codex("-m", "mystery-9", "--task", "say: hi")

    assert ended.code == 0
    cost = ended.files.summary["cost"]
    assert cost["usd"] is None
    assert cost["model"] == ended.files.summary["model"] == "mystery-9"
    assert "mystery-9" in cost["reason"]
    assert parts(ended.files.summary["token_usage"]) == used(1)


def test_prices_of_one_s_own_are_used_and_then_frozen(
    codex: RealTasks, state_home: Path
) -> None:
    state_home.mkdir(mode=0o700)
    table = state_home / "prices.toml"
    table.write_text('[models."mystery-9"]\ninput = 1.0\noutput = 10.0\n')
    words = ("-m", "mystery-9", "--task")
    ended = codex(*words, "usage: input=1000000 output=100000")
    table.write_text('[models."mystery-9"]\ninput = 5.0\noutput = 50.0\n')
    dearer = codex(*words, "usage: input=1000000 output=100000")

    cost = ended.files.summary["cost"]
    assert cost["usd"] == pytest.approx(2.0)
    assert cost["price_source"]["name"] == "prices.toml"
    assert dearer.files.summary["cost"]["usd"] == pytest.approx(10.0)
    again = [
        codex.parse(ended.files.run_id),
        codex.parse("--log", ended.files.path(".events.jsonl")),
        codex.parse("--log", ended.files.path(".log")),
    ]
    for each in again:
        assert json.loads(each.stdout)["cost"] == cost


def test_a_long_context_request_has_its_own_price(codex: RealTasks) -> None:
    words = ("-m", "gpt-5.4", "--task")
    usage = "usage: input=200000 output=1000"
    twice = codex(*words, f"{usage}\nrun: true\nsay: x").files.summary
    once = codex(*words, "usage: input=400000 output=2000").files.summary

    assert parts(twice["token_usage"]) == parts(once["token_usage"])
    assert once["cost"]["usd"] > 1.5 * twice["cost"]["usd"]


def test_a_missing_turn_end_is_no_success(codex: RealTasks, tmp_path: Path) -> None:
    forgetful = tmp_path / "forgetful-codex"
    forgetful.write_text(
        f'#!/bin/sh\n"{codex.stand_in.path}" "$@" | grep -v \'"turn.completed"\'\n'
    )
    forgetful.chmod(0o755)

    ended = codex("--codex-bin", forgetful, "--task", "say: hi")

    assert ended.fields["outcome"] == "failed"
    assert ended.code == 1
    assert "without a terminal event" in ended.meta["error"]
    assert parts(ended.files.summary["token_usage"]) == used(1)


def test_a_failed_run_that_used_nothing_says_nothing_was_used(
    codex: RealTasks,
) -> None:
    summary = codex("--task", "fail: 500").files.summary

    assert parts(summary["token_usage"]) == NOTHING
    assert summary["cost"]["usd"] == 0
