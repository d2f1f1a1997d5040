"""A Responses API on 127.0.0.1 that drives the real Codex without a network.

`LoopbackServer(scripted)` in a `with` block serves in this process;
`python -m runner.loopback` serves as a program. A responder is any function from
`Request` to `Reply`.
"""

from runner.loopback.reply import (
    Answer,
    Delay,
    Drop,
    FunctionCall,
    HttpFailure,
    Message,
    Reasoning,
    Reply,
    Stall,
    StreamFailure,
    Usage,
    usage_of_call,
)
from runner.loopback.request import Request
from runner.loopback.scripted import demo, scripted
from runner.loopback.server import LoopbackServer, write_home

__all__ = [
    "Answer",
    "Delay",
    "Drop",
    "FunctionCall",
    "HttpFailure",
    "LoopbackServer",
    "Message",
    "Reasoning",
    "Reply",
    "Request",
    "Stall",
    "StreamFailure",
    "Usage",
    "demo",
    "scripted",
    "usage_of_call",
    "write_home",
]
