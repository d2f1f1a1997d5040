"""Every failure has a class, and each class says whether to try again."""

import pytest

from parsers.error_classes import CLASSES, classify, retryable
from runner.codex.stderr import _REFUSALS
from runner.lifecycle.judge import KILLED, verdict
from runner.model import OUTCOMES, Outcome

# What Codex 0.169 says, and the class that its rollout has.
MEASURED = {
    "Your workspace is out of credits. Ask your owner.": "usage_limit_exceeded",
    "You hit your spend cap set in your workspace.": "usage_limit_exceeded",
    "You’ve hit your spend cap. Increase it to continue.": "usage_limit_exceeded",
    "You’re out of Codex messages. Your rate limit resets on Oct 25, 2026, 12:54 AM.": (
        "usage_limit_exceeded"
    ),
    "You’ve hit your usage limit. Try again at 11:37 PM.": "usage_limit_exceeded",
    "Quota exceeded. Check your plan and billing details.": "usage_limit_exceeded",
    "To use Codex with your ChatGPT plan, upgrade to Plus: https://chatgpt.com/x.": (
        "usage_limit_exceeded"
    ),
    "Selected model is at capacity. Please try a different model.": "server_overloaded",
    "exceeded retry limit, last status: 429 Too Many Requests, request id: 0f0f": (
        "response_too_many_failed_attempts"
    ),
    "rate limit exceeded: Slow down.": "rate_limit_exceeded",
    "Codex ran out of room in the model's context window. Start a new thread.": (
        "context_window_exceeded"
    ),
    "We’re currently experiencing high demand, which may cause temporary errors.": (
        "internal_server_error"
    ),
    "unexpected status 503 Service Unavailable: No., url: http://h/v1/responses": (
        "http_connection_failed"
    ),
}
# Codex's own class of these is `other`, or one that says less than the message.
REFINED = {
    ("other", "stream disconnected before completion: stream closed before"): (
        "response_stream_disconnected"
    ),
    ("other", '{"error": {"type": "invalid_request_error", "message": "No."}}'): (
        "bad_request"
    ),
    ("other", "stream disconnected before completion: Incomplete response returned"): (
        "other"
    ),
    ("http_connection_failed", "unexpected status 401 Unauthorized: No."): (
        "unauthorized"
    ),
    ("other", "Missing environment variable: `LOCAL_KEY`."): "unauthorized",
    ("http_connection_failed", "unexpected status 403 Forbidden: No."): "bad_request",
    ("http_connection_failed", "unexpected status 429 Too Many"): (
        "http_connection_failed"
    ),
    ("response_stream_connection_failed", "stream disconnected before completion: x"): (
        "response_stream_connection_failed"
    ),
    ("bad_request", "invalid field usage_limit"): "bad_request",
    ("a_class_of_tomorrow", "hit your usage limit"): "a_class_of_tomorrow",
    ("usage_limit_reached", "No."): "usage_limit_exceeded",
    (None, "No."): "other",
}


@pytest.mark.parametrize(("message", "named"), MEASURED.items())
def test_a_message_alone_gives_the_class_of_the_rollout(
    message: str, named: str
) -> None:
    assert classify(None, message) == classify(named, message) == named


@pytest.mark.parametrize(("told", "named"), REFINED.items())
def test_a_class_that_says_little_is_refined_by_the_message(
    told: tuple[str | None, str], named: str
) -> None:
    assert classify(*told) == named


def test_the_table_has_every_refusal_and_every_outcome() -> None:
    refusals = {named for named, *_ in _REFUSALS}
    ends = {verdict(each, None).error_class for each in Outcome}

    assert {*refusals, KILLED, *ends} <= {*CLASSES, None}
    good = {each for each in Outcome if verdict(each, None).error_class is None}
    assert good == {each for each, meaning in OUTCOMES.items() if meaning.is_good}


@pytest.mark.parametrize(
    ("named", "can"),
    [
        ("server_overloaded", True),
        ("stalled", True),
        ("usage_limit_exceeded", False),
        ("context_window_exceeded", False),
        ("a_class_of_tomorrow", False),
        (None, None),
    ],
)
def test_a_class_says_whether_the_same_prompt_can_succeed(
    named: str | None, can: object
) -> None:
    assert retryable(named) is can
