"""A Responses API on 127.0.0.1: HTTP around a responder, and a CODEX_HOME for it.

It reads no body above `BODY_LIMIT` and closes the connection of a client that sends
nothing for `CLIENT_SECONDS`. A delayed reply ends as soon as its client closes the
connection or the server closes, so neither a killed Codex nor a long stall keeps a
thread alive.
"""

from __future__ import annotations

import json
import os
import select
import socket
import socketserver
import sys
import threading
import time
from collections import deque
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from runner.loopback.reply import Delay, HttpFailure, Stall, events
from runner.loopback.request import MalformedRequestError, decode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.loopback.reply import Reply, Responder, Stream
    from runner.loopback.request import Request

BODY_LIMIT = 64 * 1024 * 1024
CLIENT_SECONDS = 30
RECORD_LIMIT = 256
DEFAULT_MODEL = "gpt-5.1-codex"
_HEARTBEAT_SECONDS = 0.25
_NOT_HERE = (HTTPStatus.NOT_FOUND, "only POST /v1/responses is served here")
_MARK = (
    "# Appended by runner.loopback: Codex talks to a model server on this machine.\n"
)


class ForeignConfigError(OSError):
    """The directory holds a configuration that this package did not write."""


def config_toml(base_url: str, *, model: str = DEFAULT_MODEL, retries: int = 0) -> str:
    """Write the text of a `config.toml`.

    Args:
        base_url: Of the model provider, with its `/v1`.
        model: A name that the price table knows makes costs visible.
        retries: Of requests and of streams; with 0 Codex reports a failure at once.
    """
    return f"""{_MARK}model = "{model}"
model_provider = "loopback"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.loopback]
name = "loopback"
base_url = "{base_url}"
wire_api = "responses"
request_max_retries = {retries}
stream_max_retries = {retries}
"""


def write_home(directory: Path, config: str) -> None:
    """Make a CODEX_HOME, 0700.

    Raises:
        ForeignConfigError: the directory has a `config.toml` of the user's own.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "config.toml"
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_MARK):
        msg = f"{path} was not written by the loopback server; choose another directory"
        raise ForeignConfigError(msg)
    part = directory / f"config.toml.{os.getpid()}"
    part.write_text(config, encoding="utf-8")
    part.replace(path)


class LoopbackServer(ThreadingHTTPServer):
    """A model server in a thread of this process.

    Used as a context manager; `port` 0 takes a free one. The responder is called from
    many threads at once.
    """

    daemon_threads = True
    request_queue_size = 128  # many Codex processes start in the same moment

    def __init__(self, responder: Responder, *, port: int = 0) -> None:
        self.responder = responder
        self.received: deque[Request] = deque(maxlen=RECORD_LIMIT)
        self.closing = threading.Event()
        self.pausing: set[int] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        serve = partial(self.serve_forever, poll_interval=0.05)
        self._thread = threading.Thread(target=serve, name="loopback", daemon=True)

    def server_bind(self) -> None:
        # HTTPServer asks the resolver for its own name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that closes the connection (Codex was stopped) is expected here.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # typeshed names the private alias

    @property
    def base_url(self) -> str:
        """Return the address for the `base_url` of a model provider."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def requests(self) -> tuple[Request, ...]:
        """Return the last requests, oldest first; at most `RECORD_LIMIT`."""
        return tuple(self.received)

    def requests_of(self, thread_id: str) -> tuple[Request, ...]:
        """Return one thread's requests among the last ones."""
        return tuple(r for r in self.requests if r.thread_id == thread_id)

    @property
    def waiting(self) -> int:
        """Count the replies that wait because of a delay or a stall."""
        return len(self.pausing)

    def config_toml(self, *, model: str = DEFAULT_MODEL, retries: int = 0) -> str:
        """Write a `config.toml` that sends Codex here."""
        return config_toml(self.base_url, model=model, retries=retries)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end the replies that wait."""
        self.closing.set()
        if self._thread.is_alive():  # `shutdown` waits for a loop that has to be there
            self.shutdown()
            self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = CLIENT_SECONDS
    server: LoopbackServer

    def do_POST(self) -> None:
        if (refusal := self._refusal()) is not None:
            self._refuse(*refusal)
            return
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            request = decode(body, headers)
        except MalformedRequestError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        self.server.received.append(request)
        self._send(self.server.responder(request), request)

    def do_GET(self) -> None:
        self._refuse(*_NOT_HERE)

    def _refusal(self) -> tuple[HTTPStatus, str] | None:
        length = self.headers.get("content-length", "")
        if self.path.partition("?")[0] != "/v1/responses":
            return _NOT_HERE
        if not length.isdecimal():
            return HTTPStatus.LENGTH_REQUIRED, "the length of the body is needed"
        if int(length) > BODY_LIMIT:
            message = f"bodies above {BODY_LIMIT} bytes are not read"
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message
        if self.headers.get("content-encoding", "identity") != "identity":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "compressed bodies are not read"
        return None

    def _send(self, reply: Reply, request: Request) -> None:
        match reply:
            case Delay(seconds=seconds, reply=later):
                if self._pause(seconds):
                    self._send(later, request)
                else:
                    self.close_connection = True
            case HttpFailure():
                self._respond(reply.status, reply.body, reply.headers)
            case _:
                self._stream(reply, request)

    def _stream(self, reply: Stream, request: Request) -> None:
        self.send_response(200)
        for name, value in getattr(reply, "headers", {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b"".join(events(reply, request)))
        if isinstance(reply, Stall):
            self._pause(reply.seconds)

    def _pause(self, seconds: float) -> bool:
        """Wait; return False when the client or the server closed before the end."""
        self.server.pausing.add(id(self))
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                span = min(left, _HEARTBEAT_SECONDS)
                can_read = select.select([self.connection], [], [], span)[0]
                if (can_read and self._has_gone()) or self.server.closing.is_set():
                    return False
            return True
        finally:
            self.server.pausing.discard(id(self))

    def _has_gone(self) -> bool:
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _refuse(self, status: int, message: str) -> None:
        error = {"type": "invalid_request_error", "message": message}
        self.close_connection = True
        self._respond(status, {"error": error}, {"connection": "close"})

    def _respond(
        self, status: int, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:  # stderr is for people
        pass
