"""A Responses API on 127.0.0.1 that drives the real Codex without a network.

`LoopbackServer(scripted)` in a `with` block serves in this process;
`python -m runner.loopback` serves as a program. A responder is any function from
`Request` to `Reply`.
"""

from runner.loopback.demo import demo
from runner.loopback.home import DEFAULT_MODEL, ForeignConfigError, write_home
from runner.loopback.reply import (
    Answer,
    Delay,
    Drop,
    FunctionCall,
    HttpFailure,
    Message,
    Reasoning,
    Reply,
    Responder,
    Stall,
    StreamFailure,
    Usage,
    usage_of_call,
)
from runner.loopback.request import Request, ToolOutput
from runner.loopback.scripted import scripted
from runner.loopback.server import LoopbackServer

__all__ = [
    "DEFAULT_MODEL",
    "Answer",
    "Delay",
    "Drop",
    "ForeignConfigError",
    "FunctionCall",
    "HttpFailure",
    "LoopbackServer",
    "Message",
    "Reasoning",
    "Reply",
    "Request",
    "Responder",
    "Stall",
    "StreamFailure",
    "ToolOutput",
    "Usage",
    "demo",
    "scripted",
    "usage_of_call",
    "write_home",
]
