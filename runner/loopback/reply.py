"""The replies that a model can give, as values.

Usage differs from call to call (`usage_of_call`), so that a sum that counts a call
twice or misses one is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003  # Responder names one
from dataclasses import dataclass, field

from runner.loopback.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one model call; cached and cache-write are parts of the input."""

    input_tokens: int
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int
    reasoning_output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """A message to the user; alone in an answer it ends the turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A summary of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call of a tool; Codex runs the tool and sends its output with the next call."""

    name: str
    arguments: Mapping[str, object]
    namespace: str | None = None


Item = Message | Reasoning | FunctionCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete response; without a usage it reports `usage_of_call`."""

    items: tuple[Item, ...]
    usage: Usage | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFailure:
    """An HTTP error instead of a stream."""

    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFailure:
    """A `response.failed` event: the end of a request that was accepted."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A stream that breaks off, after these items and before its end."""

    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """A stream that begins, sends nothing for some seconds, and breaks off."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Another reply that is sent after some seconds; nothing is sent before."""

    seconds: float
    reply: Reply


Stream = Answer | StreamFailure | Drop | Stall
Reply = Stream | HttpFailure | Delay
Responder = Callable[[Request], Reply]


def usage_of_call(number: int) -> Usage:
    """Return the default usage of a thread's n-th model call.

    Input 1000 + 100n, of which cached 500 + 10n; output 50 + 7n, of which reasoning
    10 + n.
    """
    return Usage(
        input_tokens=1000 + 100 * number,
        cached_input_tokens=500 + 10 * number,
        output_tokens=50 + 7 * number,
        reasoning_output_tokens=10 + number,
    )
