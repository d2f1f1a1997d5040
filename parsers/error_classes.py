"""Why a run failed, in one word: the table of all classes.

A class is retryable if the same prompt can succeed when it is sent again within
minutes, although nothing was changed. Of a usage limit that is not so: it lasts until
its reset, or until a person buys more.
"""

from __future__ import annotations

from parsers.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

OTHER: Final = "other"
# The type of the error that a server answers with, and the class for it.
_SAME: Final = {"usage_limit_reached": "usage_limit_exceeded"}
# Whether each class is retryable, and the wordings of Codex's message by which a class
# is found when the rollout names none (0.50 to 0.171). The first that matches is it.
CLASSES: Final[Mapping[str, tuple[bool, str]]] = {
    "usage_limit_exceeded": (
        False,
        (
            r"usage[ _]limit|(?<!disk )quota exceeded|insufficient_quota|spend cap"
            r"|out of credits|credit limit|out of codex messages"
            r"|your rate limit resets|to use codex with your chatgpt plan"
        ),
    ),
    "unauthorized": (
        False,
        (
            r"\b401 unauthorized\b|not logged in|log ?in again|codex login"
            r"|refresh token|token_expired|missing bearer|invalid_api_key"
            r"|^missing environment variable"
        ),
    ),
    "context_window_exceeded": (False, r"model.s context window|context_length_exceed"),
    "policy_capacity_unavailable": (True, r"policy-restricted capacity"),
    "server_overloaded": (True, r"model is at capacity|server_is_overloaded"),
    "internal_server_error": (True, r"experiencing high demand|agent loop died"),
    "rate_limit_exceeded": (True, r"rate limit (?:exceeded|reached)"),
    "response_too_many_failed_attempts": (True, r"exceeded retry limit"),
    "response_stream_disconnected": (
        True,
        r"stream disconnected before completion(?!: incomplete response)",
    ),
    "response_stream_connection_failed": (True, r"while reading the server response"),
    "bad_request": (False, r"unexpected status 4(?!08|29)|invalid_request_error"),
    "http_connection_failed": (True, r"unexpected status |^connection failed"),
    "sandbox_error": (False, r"^sandbox error|codex-linux-sandbox was required"),
    # Codex's classes that only its rollout names.
    "flex_unavailable": (True, ""),
    **dict.fromkeys(
        (
            *("model_not_found", "session_budget_exceeded", "invalid_prompt"),
            *("cyber_policy", "misalignment_policy_violation", "too_many_denials"),
            *("inference_hook_denied", OTHER),
        ),
        (False, ""),
    ),
    # Codex refused before its turn began (`runner.codex.stderr`), or was not started.
    **dict.fromkeys(("writer", "killed"), (True, "")),
    **dict.fromkeys(
        ("thread_gone", "untrusted", "configuration", "option", "not_started"),
        (False, ""),
    ),
    # The turn has succeeded, its check (`--verify`) has not.
    "verify_failed": (False, ""),
    # The outcome of a run that was ended by something else than an error of Codex.
    **dict.fromkeys(("lost", "stalled"), (True, "")),
    **dict.fromkeys(("timed_out", "over_budget", "interrupted"), (False, "")),
}


def classify(named: str | None, message: str) -> str:
    """Return the class of a failed turn.

    Args:
        named: Codex's own class. `other` says nothing, and a connection that failed may
            have carried a refusal: then the message decides.
        message: Codex's error message.
    """
    is_connection = named is not None and named.endswith("_failed")
    if named in {None, OTHER} or is_connection:
        for found, (is_retryable, wording) in CLASSES.items():
            if wording and pattern(f"(?i){wording}").search(message):
                return named if named and is_connection and is_retryable else found
    return _SAME.get(named, named) if named else OTHER


def retryable(error_class: str | None) -> bool | None:
    """Return whether a class is retryable; an unknown one is not, None is no error."""
    return None if error_class is None else CLASSES.get(error_class, (False, ""))[0]
