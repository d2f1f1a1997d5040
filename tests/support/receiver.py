"""A server on loopback that takes webhooks, and answers as a test wants."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pathlib import Path


class Receiver:
    """Hold what was received; `answers` are used one after the other, then 200.

    An answer is a status, or a status with headers. While `gate` is cleared, no answer
    is sent. With a `certificate` and its key it speaks TLS.
    """

    def __init__(self) -> None:
        self.answers: list[int | tuple[int, dict[str, str]]] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.lines: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.certificate: tuple[Path, Path] | None = None
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/secret?token=t0k3n"

    @property
    def events(self) -> list[dict[str, Any]]:
        """Give the events that have come, those that were not taken too."""
        return [json.loads(body) for body in self.bodies]

    @property
    def names(self) -> list[str]:
        return [str(each["event"]) for each in self.events]

    @property
    def ids(self) -> list[str]:
        return [str(each["id"]) for each in self.events]

    def start(self) -> None:
        receiver = self

        class Handler(_Handler):
            owner = receiver

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        if self.certificate is not None:
            secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            secure.load_cert_chain(*self.certificate)
            plain = self._server.socket
            self._server.socket = secure.wrap_socket(plain, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Take no connection any more; `start` opens the same port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[Receiver]

    def do_POST(self) -> None:
        owner = self.owner
        body = self.rfile.read(int(self.headers["Content-Length"]))
        owner.headers.append(dict(self.headers.items()))
        owner.lines.append(self.requestline)
        owner.bodies.append(body)
        answer = owner.answers.pop(0) if owner.answers else 200
        owner.gate.wait(30)
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        with suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep standard error clean."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        receiver.stop()
