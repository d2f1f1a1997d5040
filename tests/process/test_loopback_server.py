"""The loopback server's HTTP: what it refuses, how it waits and how it ends."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.model_calls import body_of, user
from support.processes import wait_until

from runner.loopback import LoopbackServer, scripted, write_home
from runner.loopback.server import (
    BODY_LIMIT,
    RECORD_LIMIT,
    ForeignConfigError,
    config_toml,
)

PROGRAM = [sys.executable, "-P", "-m", "runner.loopback"]


def connect(server: LoopbackServer) -> http.client.HTTPConnection:
    address = server.base_url.removeprefix("http://").partition("/")[0]
    return http.client.HTTPConnection(address, timeout=20)


def post(
    server: LoopbackServer, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    connection = connect(server)
    connection.request("POST", "/v1/responses", body, headers or {})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def asking(prompt: str) -> bytes:
    return json.dumps(body_of([user(prompt)])).encode()


def test_it_answers_with_a_stream(loopback: LoopbackServer) -> None:
    status, text = post(loopback, asking("say: hi"), {"Thread-Id": "abc"})

    assert status == 200
    assert text.count("event: ") == 3
    (request,) = loopback.requests_of("abc")
    assert request.prompt == "say: hi"


def test_it_listens_on_loopback_only(loopback: LoopbackServer) -> None:
    assert loopback.base_url.startswith("http://127.0.0.1:")
    port = int(loopback.base_url.rpartition(":")[2].partition("/")[0])

    # The whole of 127/8 is this machine: only the one address is bound.
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"{}", {"content-encoding": "zstd"}, 415),
        (b"", {"content-length": str(BODY_LIMIT + 1)}, 413),
        (b"", {"content-length": "-5"}, 411),
        (b"", {"content-length": "many"}, 411),
    ],
)
def test_what_it_cannot_read_it_refuses(
    loopback: LoopbackServer, body: bytes, headers: dict[str, str], status: int
) -> None:
    found, text = post(loopback, body, headers)

    assert found == status
    assert json.loads(text)["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/responses"), ("POST", "/v1/models"), ("POST", "/")],
)
def test_other_paths_are_not_found(
    loopback: LoopbackServer, method: str, path: str
) -> None:
    connection = connect(loopback)
    connection.request(method, path, b"{}" if method == "POST" else None)

    assert connection.getresponse().status == 404
    connection.close()


def test_a_client_that_goes_frees_the_reply(loopback: LoopbackServer) -> None:
    connection = connect(loopback)
    connection.request("POST", "/v1/responses", asking("slow: 600"))
    wait_until(lambda: loopback.waiting == 1)
    connection.close()

    wait_until(lambda: loopback.waiting == 0)


def test_closing_ends_the_replies_that_wait() -> None:
    with LoopbackServer(scripted) as server:
        replies: list[object] = []

        def ask() -> None:
            try:
                replies.append(post(server, asking("slow: 600")))
            except (OSError, http.client.HTTPException) as error:
                replies.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: server.waiting == 1)
    thread.join(10)

    assert len(replies) == 1


def test_the_record_of_requests_is_bounded() -> None:
    with LoopbackServer(scripted) as server:
        for number in range(RECORD_LIMIT + 5):
            post(server, asking(f"say: {number}"))

        assert len(server.requests) == RECORD_LIMIT
        assert server.requests[0].prompt == "say: 5"


def test_a_port_in_use_is_refused(loopback: LoopbackServer) -> None:
    port = int(loopback.base_url.rpartition(":")[2].partition("/")[0])

    with pytest.raises(OSError, match="in use"):
        LoopbackServer(scripted, port=port)


def test_a_server_that_never_served_can_be_closed() -> None:
    LoopbackServer(scripted).close()


def test_the_configuration_is_valid_toml_with_everything_off(
    loopback: LoopbackServer,
) -> None:
    config = tomllib.loads(loopback.config_toml(model="gpt-5", retries=2))

    assert config["model"] == "gpt-5"
    provider = config["model_providers"][config["model_provider"]]
    assert provider["base_url"] == loopback.base_url
    assert provider["request_max_retries"] == 2
    assert config["analytics"]["enabled"] is False
    assert config["check_for_update_on_startup"] is False


def test_a_home_is_private_and_can_be_written_again(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"

    write_home(home, config_toml("http://127.0.0.1:1/v1"))
    write_home(home, config_toml("http://127.0.0.1:2/v1"))

    assert home.stat().st_mode & 0o777 == 0o700
    assert ":2/v1" in (home / "config.toml").read_text()
    assert [path.name for path in home.iterdir()] == ["config.toml"]


def test_a_users_own_configuration_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('model = "mine"\n')

    with pytest.raises(ForeignConfigError, match="another directory"):
        write_home(tmp_path, config_toml("http://127.0.0.1:1/v1"))
    assert (tmp_path / "config.toml").read_text() == 'model = "mine"\n'


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    argv = [*PROGRAM, "--write-home", str(tmp_path / "h"), "--until-stdin-ends"]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def announced(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    lines = [process.stdout.readline().strip() for _ in range(2)]
    return dict(line.split("=", 1) for line in lines)


def test_the_program_says_where_it_is(
    program: subprocess.Popen[str], tmp_path: Path
) -> None:
    said = announced(program)

    assert said["codex_home"] == str(tmp_path / "h")
    assert said["base_url"] in (tmp_path / "h" / "config.toml").read_text()
    address = said["base_url"].removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("POST", "/v1/responses", asking("say: hi"))
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_ends_by_a_signal_without_a_word(
    program: subprocess.Popen[str], number: int
) -> None:
    announced(program)
    program.send_signal(number)

    assert program.wait(10) == 0


def test_the_program_ends_with_the_one_that_holds_its_stdin(
    program: subprocess.Popen[str],
) -> None:
    announced(program)
    assert program.stdin is not None
    program.stdin.close()

    assert program.wait(10) == 0


def test_a_program_that_cannot_serve_says_so(loopback: LoopbackServer) -> None:
    port = loopback.base_url.rpartition(":")[2].partition("/")[0]

    done = subprocess.run(
        [*PROGRAM, "--port", port], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith("loopback: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_what_is_no_port_is_refused_by_name(port: str) -> None:
    done = subprocess.run(
        [*PROGRAM, f"--port={port}"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert port in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_silent_client_does_not_hold_up_others(loopback: LoopbackServer) -> None:
    port = int(loopback.base_url.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"POST /v1/responses HTTP/1.1\r\n")
        started = time.monotonic()
        status, _ = post(loopback, asking("say: hi"))

    assert status == 200
    assert time.monotonic() - started < 10
