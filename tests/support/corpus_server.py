"""A Responses API that speaks to every Codex since 0.50 and notes each model call.

The prompt says what the model does, in one line that begins with `PLAN`:

    PLAN say                      a message
    PLAN tools N                  N commands, a call each, then a message
    PLAN grow                     two commands; the second fills the context window
    PLAN hang N                   N commands, then a call that is never answered
    PLAN wait N                   N commands, then one that takes a minute
    PLAN failed, PLAN incomplete  a command, then a response that ends so, with usage
    PLAN refused                  a command, then HTTP 400
    PLAN reroute MODEL            a command and a message, both by another model
    PLAN spawn DEPTH              a sub-agent that spawns DEPTH - 1 more; a command
    PLAN share DEPTH              the same with the history of this thread
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

# Longer than any scenario; a client that has gone needs no answer.
HANG_SECONDS = 90
_PLAN = "PLAN "
_FULL_WINDOW = 200_000
_SUMMARY = "Summary of the work so far."
_SEALED = "gAAAAA=="
# How the versions ask for a summary of the thread.
_SUMMARISE = ("CONTEXT CHECKPOINT", "memento", "compaction_trigger")


@dataclass
class Call:
    """One model call as the server has seen it; `usage` is what it reported."""

    number: int
    thread: str
    model: str
    tier: str | None
    kind: str = "turn"
    state: str = "completed"
    answered_by: str | None = None
    usage: Json = field(default_factory=dict)


class CorpusServer(ThreadingHTTPServer):
    """Serve on a free port of 127.0.0.1; `calls` grows until `restart`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[Call] = []
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def restart(self) -> None:
        self.calls = []

    def note(self, headers: dict[str, str], body: Json) -> Call:
        names = ("thread-id", "session_id", "conversation_id")
        key = str(body.get("prompt_cache_key"))
        thread = next(filter(None, map(headers.get, names)), key)
        with self._lock:
            number = len(self.calls) + 1
            tier = body.get("service_tier")
            call = Call(
                number, thread, body.get("model", ""), tier, usage=usage(number)
            )
            self.calls.append(call)
            return call


def usage(number: int, filled: int = 0) -> Json:
    """Return the usage of a call; no sum of some calls is the sum of others."""
    cached, output = 400 + 7 * number, 50 + 11 * number
    given = 1400 + 44 * number + number * number + filled
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 10 + number},
        "total_tokens": given + output,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CorpusServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(404, {"error": {"message": "not served"}})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        if not path.endswith(("/responses", "/responses/compact")):
            self.do_GET()
            return
        body = json.loads(raw)
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = self.server.note(headers, body)
        if path.endswith("/compact"):
            call.kind = "compact on the server"
            sealed = [{"type": "compaction", "id": "c", "encrypted_content": _SEALED}]
            self._answer(200, {"output": sealed, "usage": call.usage})
            return
        last = json.dumps(body.get("input", [])[-1:])
        if any(word in last for word in _SUMMARISE):
            is_sealed = _SUMMARISE[-1] in last
            call.kind = "compact on the server" if is_sealed else "compact"
            sealed = [{"type": "compaction", "encrypted_content": _SEALED}]
            own = [_message(call, _SUMMARY)]
            self._stream(call, sealed if is_sealed else own)
        elif not body.get("tools"):
            call.kind = "title"
            self._stream(call, [_message(call, "A title")])
        else:
            self._follow(call, body)

    def _follow(self, call: Call, body: Json) -> None:
        (verb, *words), outputs = _plan(body)
        step = len(outputs)
        number = int(words[0]) if words and words[0].isdigit() else 1
        text = json.dumps(body)
        match verb:
            case "grow" if _SUMMARY not in text and _SEALED not in text and step < 2:
                call.usage = usage(call.number, step * _FULL_WINDOW)
                self._stream(call, [_command(call, body, f"echo {step}")])
            case "hang" if step == number:
                call.state = "in flight"
                time.sleep(HANG_SECONDS)
            case "wait" if step == number:
                self._stream(call, [_command(call, body, "sleep 60")])
            case "failed" | "incomplete" if step:
                call.state = verb
                self._stream(call, [])
            case "refused" if step:
                call.state, call.usage = verb, {}
                self._answer(400, {"error": {"message": "told to", "code": "x"}})
            case "spawn" | "share" if step < 2:
                how = f"PLAN {verb} {number - 1}" if number > 1 else "PLAN tools 1"
                agent = _agent(call, body, how, outputs, is_shared=verb == "share")
                self._stream(call, [agent])
            case "tools" | "hang" | "wait" if step < number:
                self._stream(call, [_command(call, body, f"echo {step}")])
            case "failed" | "incomplete" | "refused" | "reroute" if not step:
                call.answered_by = words[0] if verb == "reroute" else None
                self._stream(call, [_command(call, body, "echo 0")])
            case "spawn" | "share" if step == 2:
                self._stream(call, [_command(call, body, "echo after")])
            case _:
                call.answered_by = words[0] if verb == "reroute" else None
                self._stream(call, [_message(call, f"Answer {call.number}.")])

    def _stream(self, call: Call, items: list[Json]) -> None:
        response: Json = {"id": f"resp_{call.number}"}
        self.send_response(200)
        if call.answered_by is not None:
            response["model"] = call.answered_by
            self.send_header("openai-model", call.answered_by)
        if call.tier is not None:
            response["service_tier"] = call.tier
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        ends = {
            "completed": {},
            "failed": {"error": {"code": "context_length_exceeded", "message": "so"}},
            "incomplete": {"incomplete_details": {"reason": "max_output_tokens"}},
        }
        end = {
            **response,
            "status": call.state,
            "usage": call.usage,
            **ends[call.state],
        }
        self._event("response.created", response=response)
        for item in items:
            self._event("response.output_item.done", item=item)
        self._event(f"response.{call.state}", response=end)

    def _event(self, kind: str, **fields: object) -> None:
        data = json.dumps({"type": kind, **fields})
        self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())

    def _answer(self, status: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _plan(body: Json) -> tuple[list[str], list[Json]]:
    """Find the last plan, and the outputs of tools since."""
    items = body.get("input", [])
    for place in range(len(items) - 1, -1, -1):
        content = items[place].get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        text = "".join(part.get("text") or "" for part in parts)
        if items[place].get("role") != "assistant" and _PLAN in text:
            plan = text.partition(_PLAN)[2].splitlines()[0].split()
            since = items[place:]
            return plan, [i for i in since if i["type"].endswith("_output")]
    return ["say"], []


def _message(call: Call, text: str) -> Json:
    content = [{"type": "output_text", "text": text}]
    name = f"msg_{call.number}"
    return {"type": "message", "id": name, "role": "assistant", "content": content}


def _function(call: Call, name: str, arguments: Json) -> Json:
    ids = {"id": f"fc_{call.number}", "call_id": f"call_{call.number}"}
    kind = {"type": "function_call", "name": name}
    return {**kind, **ids, "arguments": json.dumps(arguments)}


def _command(call: Call, body: Json, command: str) -> Json:
    """Call for a command with the tool that this version offers."""
    tools = {tool.get("name") for tool in body["tools"]}
    if "exec_command" in tools:
        return _function(call, "exec_command", {"cmd": command, "login": False})
    if "shell_command" in tools:
        return _function(call, "shell_command", {"command": command})
    return _function(call, "shell", {"command": ["bash", "-c", command]})


def _agent(
    call: Call, body: Json, prompt: str, outputs: list[Json], *, is_shared: bool
) -> Json:
    """Spawn a sub-agent, then wait for it, with the names that this version uses."""
    tools = json.dumps(body["tools"])
    if not outputs:
        how: Json = {"message": prompt, "task_name": f"task_{call.number}"}
        if is_shared:
            by_turns = "fork_turns" in tools
            how |= {"fork_turns": "all"} if by_turns else {"fork_context": True}
        item = _function(call, "spawn_agent", how)
    else:
        output = outputs[0].get("output")
        try:
            told = json.loads(output) if isinstance(output, str) else {}
        except ValueError:
            told = {}
        who = [told.get("agent_id") or told.get("task_name")]
        name = "wait_agent" if "wait_agent" in tools else "wait"
        key = "targets" if '"targets"' in tools else "ids"
        item = _function(call, name, {key: who, "timeout_ms": 20_000})
    for tool in body["tools"]:
        if any(each.get("name") == item["name"] for each in tool.get("tools", ())):
            item["namespace"] = tool["name"]
    return item
