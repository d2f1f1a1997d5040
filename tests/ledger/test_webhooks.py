"""What a sender of webhooks does with each answer, on a clock that a test moves."""

import hashlib
import hmac
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from support import ledgers
from support.receiver import Receiver, receiving
from support.runs import settings

from runner import clock, locks
from runner.config import Config
from runner.config_files import NAME
from runner.ledger.ledger import Ledger
from runner.model import Outcome
from runner.notify import webhook
from runner.notify.sender import LOCK, MOST_TRIES, send_due
from runner.terms import Terms

DAY = 86_400
PRIVATE = "webhook_private = true\n"
SECRET = "a secret of ours"  # noqa: S105 - of a test


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def ours(ledger: Ledger, tmp_path: Path) -> Config:
    (ledger.home / NAME).write_text(PRIVATE)
    return settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home))


@pytest.fixture
def after(after: Callable[[float], None]) -> Callable[[float], None]:
    after(0.01)  # what is inserted now is due
    return after


def ended(ledger: Ledger, url: str, number: int = 1, **changes: Any) -> None:  # noqa: ANN401  # as `prepare`
    """Put the end of a run on record that has a webhook, and is not the last."""
    if number == 1:
        ledgers.session_of(ledger, thread="other", number=90)
        (session,) = ledger.sessions.named("other")
        ledgers.queue(ledger, session.key)
    ledgers.session_of(
        ledger,
        Outcome.SUCCEEDED,
        thread=f"thread-{number}",
        number=number,
        terms=Terms(webhook=url),
        **changes,
    )


def told(ledger: Ledger, number: int = 1) -> dict[str, Any]:
    """Give what the session's only notification has come to."""
    (session,) = ledger.sessions.named(f"thread-{number}")
    (found,) = ledger.outbox.of_session(session.key)
    return found


def test_an_event_is_sent_once(
    ledger: Ledger, ours: Config, receiver: Receiver, after: Callable[[float], None]
) -> None:
    ended(ledger, receiver.url)
    after(0)

    for _ in range(2):
        send_due(ledger, ours)

    assert receiver.names == ["succeeded"]
    assert (told(ledger)["state"], told(ledger)["attempts"]) == ("sent", 1)
    assert receiver.lines == ["POST /hooks/secret?token=t0k3n HTTP/1.1"]
    assert "X-Codex-Signature" not in receiver.headers[0]


@pytest.mark.usefixtures("after")
def test_an_event_is_signed_with_its_time(
    ledger: Ledger, ours: Config, receiver: Receiver
) -> None:
    (ledger.home / NAME).write_text(f'{PRIVATE}webhook_secret = "{SECRET}"\n')
    ended(ledger, receiver.url)

    send_due(ledger, ours)

    header, body = receiver.headers[0], receiver.bodies[0]
    signed = header["X-Codex-Timestamp"].encode() + b"." + body
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert header["X-Codex-Signature"] == f"sha256={digest}"


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_what_can_pass_is_retried_later_with_the_same_id(
    ledger: Ledger,
    ours: Config,
    receiver: Receiver,
    after: Callable[[float], None],
    status: int,
) -> None:
    receiver.answers = [status, status]
    ended(ledger, receiver.url)
    for seconds in (0, 2, 6, 21):
        after(seconds)
        send_due(ledger, ours)

    assert len(receiver.bodies) == 3
    assert len({*receiver.bodies}) == 1
    assert told(ledger)["state"] == "sent"
    assert told(ledger)["error"] is None


@pytest.mark.parametrize("status", [400, 404, 410, 301, 307, 308])
def test_what_will_not_pass_is_given_up_at_once(
    ledger: Ledger,
    ours: Config,
    receiver: Receiver,
    after: Callable[[float], None],
    status: int,
) -> None:
    receiver.answers = [(status, {"Location": receiver.url})]
    ended(ledger, receiver.url)
    send_due(ledger, ours)
    after(DAY)
    send_due(ledger, ours)

    assert len(receiver.bodies) == 1
    assert told(ledger)["state"] == "given_up"
    assert told(ledger)["error"].startswith(f"HTTP {status}")


@pytest.mark.parametrize("is_instant", [False, True])
def test_a_server_says_when_it_can_be_tried_again(
    ledger: Ledger,
    ours: Config,
    receiver: Receiver,
    after: Callable[[float], None],
    *,
    is_instant: bool,
) -> None:
    at = format_datetime(clock.now() + timedelta(seconds=500), usegmt=False)
    receiver.answers = [(429, {"Retry-After": at if is_instant else "500"})]
    ended(ledger, receiver.url)
    send_due(ledger, ours)
    after(480)
    send_due(ledger, ours)
    assert len(receiver.bodies) == 1

    after(30)
    send_due(ledger, ours)
    assert len(receiver.bodies) == 2


def test_a_server_that_is_down_is_given_up_after_some_tries(
    ledger: Ledger, ours: Config, receiver: Receiver, after: Callable[[float], None]
) -> None:
    receiver.stop()
    ended(ledger, receiver.url)
    tries = []
    while told(ledger)["state"] == "waiting":
        send_due(ledger, ours)
        tries.append(told(ledger)["attempts"])
        after(3601)

    assert tries == [*range(1, MOST_TRIES + 1)]
    assert told(ledger)["state"] == "given_up"
    assert f"refused; given up after {MOST_TRIES} tries" in told(ledger)["error"]


def test_an_event_of_yesterday_is_tried_once_more(
    ledger: Ledger, ours: Config, receiver: Receiver, after: Callable[[float], None]
) -> None:
    receiver.answers = [503]
    ended(ledger, receiver.url)
    after(2 * DAY)
    send_due(ledger, ours)

    assert told(ledger)["error"] == "HTTP 503; given up after 1 tries"


def test_a_dead_server_is_tried_once_and_the_others_get_their_events(
    ledger: Ledger, ours: Config, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, post = [], webhook.post

    def note(url: str, *more: Any) -> webhook.Answer:  # noqa: ANN401  # passed on
        tried.append(url)
        return post(url, *more)

    monkeypatch.setattr(webhook, "post", note)
    with receiving() as dead:
        url = dead.url
    for number in range(1, 5):
        ended(ledger, f"{url}&{number}" if number < 4 else receiver.url, number)

    send_due(ledger, ours)

    assert tried == [f"{url}&1", receiver.url]
    assert receiver.names == ["succeeded"]


def test_an_event_that_a_server_never_takes_does_not_block_the_next_one(
    ledger: Ledger, ours: Config, receiver: Receiver, after: Callable[[float], None]
) -> None:
    receiver.answers = [500]
    ended(ledger, f"{receiver.url}&1")
    ended(ledger, f"{receiver.url}&2", 2)
    send_due(ledger, ours)
    assert len(receiver.bodies) == 1
    receiver.answers = [200, 500]

    after(6)
    send_due(ledger, ours)

    assert told(ledger)["state"] == "waiting"
    assert told(ledger, 2)["state"] == "sent"


def test_a_server_that_does_not_answer_is_given_up_in_time(
    ledger: Ledger, ours: Config, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "SECONDS", 0.2)
    receiver.gate.clear()
    ended(ledger, receiver.url)

    send_due(ledger, ours)

    assert told(ledger)["state"] == "waiting"
    assert told(ledger)["error"] == "no answer within 0.2 s"


def test_nothing_is_sent_while_another_process_sends(
    ledger: Ledger, ours: Config, receiver: Receiver
) -> None:
    ended(ledger, receiver.url)

    with ledgers.locked(ledger.home / LOCK):
        send_due(ledger, ours)
        assert receiver.bodies == []

    send_due(ledger, ours)
    assert receiver.names == ["succeeded"]
    assert locks.look(ledger.home / LOCK) is locks.Lock.FREE


def test_while_the_settings_are_wrong_nothing_is_sent_unsigned(
    ledger: Ledger, ours: Config, receiver: Receiver
) -> None:
    (ledger.home / NAME).write_text(f'{PRIVATE}webhook_secret = "short"\n')
    ended(ledger, receiver.url)

    send_due(ledger, ours)

    assert receiver.bodies == []
    assert "webhook_secret" in told(ledger)["error"]
    assert "short" not in told(ledger)["error"]


def test_an_account_in_the_address_is_a_login(
    ledger: Ledger, ours: Config, receiver: Receiver
) -> None:
    url = receiver.url.replace("//", "//me:p%40ss@")
    ended(ledger, url)

    send_due(ledger, ours)

    assert receiver.headers[0]["Authorization"] == "Basic bWU6cEBzcw=="
    assert receiver.headers[0]["Host"] == f"127.0.0.1:{receiver.port}"
    assert "p%40ss" not in str(told(ledger))


def test_a_proxy_gets_the_whole_address_and_looks_up_the_name(
    ledger: Ledger, tmp_path: Path, receiver: Receiver
) -> None:
    proxy = f"http://me:x@127.0.0.1:{receiver.port}"
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home), http_proxy=proxy)
    ended(ledger, "http://hooks.example/a?b=c")

    send_due(ledger, ours)

    assert receiver.lines == ["POST http://hooks.example/a?b=c HTTP/1.1"]
    assert receiver.headers[0]["Host"] == "hooks.example"
    assert receiver.headers[0]["Proxy-Authorization"] == "Basic bWU6eA=="


def test_a_proxy_is_asked_for_no_private_address(
    ledger: Ledger, tmp_path: Path, receiver: Receiver
) -> None:
    proxy = f"http://127.0.0.1:{receiver.port}"
    ours = settings(tmp_path, CODEX_RUNNER_HOME=str(ledger.home), http_proxy=proxy)
    ended(ledger, "http://0x7f.1:9/a")

    send_due(ledger, ours)

    assert receiver.lines == []
    assert "0x7f.1 (127.0.0.1) is a private address" in told(ledger)["error"]


@pytest.mark.parametrize("names", ["127.0.0.1", "*", "x, 127.0.0.1:{port}", ".0.0.1"])
def test_a_host_without_proxy_is_asked_itself(
    ledger: Ledger, ours: Config, tmp_path: Path, receiver: Receiver, names: str
) -> None:
    variables = {"http_proxy": "http://127.0.0.1:9", "NO_PROXY": names}
    variables["NO_PROXY"] = names.format(port=receiver.port)
    home = {"CODEX_RUNNER_HOME": str(ours.state_home)}
    ended(ledger, receiver.url)

    send_due(ledger, settings(tmp_path, **home, **variables))

    assert receiver.names == ["succeeded"]


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
        *("[2002:7f00:1::]", "[fe80::1]", "[fd00::1]", "169.254.169.254", "10.0.0.1"),
        *("192.168.1.1", "172.16.0.1", "100.64.0.1", "224.0.0.1", "localhost"),
    ],
)
def test_a_private_address_is_refused_in_every_form(
    ledger: Ledger, ours: Config, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    def connect(*_: object) -> None:
        pytest.fail("a private address was connected to")

    monkeypatch.setattr(socket.socket, "connect", connect)
    (ledger.home / NAME).unlink()
    ended(ledger, f"http://{host}:9/hook")

    send_due(ledger, ours)

    assert told(ledger)["state"] == "given_up", told(ledger)
    assert "is a private address" in told(ledger)["error"]


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1"])
def test_an_address_of_the_internet_is_not_private(address: str) -> None:
    assert not webhook.is_private(address)
