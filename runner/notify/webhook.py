"""Send one event to a server: one POST, to an address that was checked.

A private address is refused unless the user allows it: the one that is connected to is
checked, so no name can change its address in between. Redirects are not followed.
"""

from __future__ import annotations

from parsers.light import suppress
from parsers.struct import Struct
from runner import clock
from runner.errors import UsageError
from runner.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping
    from http.client import HTTPConnection
    from urllib.parse import SplitResult

    from runner.config import Config

SECONDS = 10.0
_MOST_SECONDS = 86_400.0
_SUCCESS, _CLIENT_ERROR, _SERVER_ERROR = 200, 400, 500
_REDIRECT, _TOO_MANY = 300, 429
_PORTS = {"http": 80, "https": 443}
# The prefixes of IPv6 addresses whose last four bytes are one of IPv4.
_EMBEDDING = (0, 0xFFFF, 0x64FF9B << 64)
_ALLOWS = "webhook_private = true in runner.toml allows it"


class Answer(Struct):
    """Hold what came of a try.

    `error` is None when the event has arrived. After an error that `is_final` no other
    try would help; `wait` is how long the server asks to wait, in seconds.
    """

    error: str | None = None
    is_final: bool = False
    wait: float = 0.0


class PrivateAddressError(UsageError):
    """Refuse to send to an address that is not one of the internet."""

    def __init__(self, host: str, address: str) -> None:
        named = host if host == address else f"{host} ({address})"
        super().__init__(f"{named} is a private address", _ALLOWS)


def post(url: str, body: bytes, event_id: str, settings: Config) -> Answer:
    """Send an event; give up after `SECONDS`, whatever the server does.

    `settings` are those in force.
    """
    import threading  # noqa: PLC0415 - only where a webhook is sent

    answers: list[Answer] = []

    def work() -> None:
        answers.append(_try(url, body, _headers(body, event_id, settings), settings))

    # A name server, and a server that sends a byte now and then, know no time limit.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(SECONDS + 1)
    return answers[0] if answers else Answer(error=f"no answer within {SECONDS:g} s")


def _headers(body: bytes, event_id: str, settings: Config) -> dict[str, str]:
    at = f"{clock.now().timestamp():.0f}"
    found = {
        "Content-Type": "application/json",
        "User-Agent": f"codex-runner/{VERSION}",
        "X-Codex-Event-Id": event_id,
        "X-Codex-Timestamp": at,
    }
    if settings.webhook_secret:
        import hmac  # noqa: PLC0415 - as above

        key = settings.webhook_secret.encode()
        digest = hmac.new(key, at.encode() + b"." + body, "sha256").hexdigest()
        found["X-Codex-Signature"] = f"sha256={digest}"
    return found


def _try(url: str, body: bytes, headers: dict[str, str], settings: Config) -> Answer:
    from http.client import HTTPException  # noqa: PLC0415 - as above
    from urllib.parse import urlsplit  # noqa: PLC0415

    target = urlsplit(url)
    place = target.netloc.rpartition("@")[2]
    path = f"{target.path or '/'}{'?' if target.query else ''}{target.query}"
    headers = {**headers, "Host": place, **_login("Authorization", target)}
    try:
        proxy = _proxy_for(target, settings.environment)
        if proxy is None:
            connection = _direct(target, may_be_private=settings.webhook_private)
        else:
            connection = _through(proxy, target, settings)
            if target.scheme == "http":
                path = f"http://{place}{path}"
                headers |= _login("Proxy-Authorization", proxy)
        try:
            connection.request("POST", path, body, headers)
            with connection.getresponse() as response:
                return _judged(response.status, response.headers.get("Retry-After"))
        finally:
            connection.close()
    except PrivateAddressError as error:
        return Answer(error=str(error), is_final=True)
    except TimeoutError:
        return Answer(error=f"no answer within {SECONDS:g} s")
    except (OSError, HTTPException, ValueError) as error:
        return Answer(error=str(error) or repr(error))


def _judged(status: int, retry_after: str | None) -> Answer:
    if _SUCCESS <= status < _REDIRECT:
        return Answer()
    if _REDIRECT <= status < _CLIENT_ERROR:
        text = f"HTTP {status}: a redirect is not followed"
        return Answer(error=text, is_final=True)
    is_final = status != _TOO_MANY and status < _SERVER_ERROR
    wait = 0.0 if is_final else _seconds(retry_after or "")
    return Answer(error=f"HTTP {status}", is_final=is_final, wait=wait)


def _seconds(text: str) -> float:
    """Read a Retry-After: seconds, or an instant as mail has it."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - as above

    if text.isascii() and text.isdecimal():
        return min(float(text), _MOST_SECONDS)
    with suppress(ValueError, OverflowError):
        left = parsedate_to_datetime(text).timestamp() - clock.now().timestamp()
        return min(max(left, 0.0), _MOST_SECONDS)
    return 0.0


def _login(name: str, place: SplitResult) -> dict[str, str]:
    """Build the header of the account in an address."""
    if place.username is None:
        return {}
    from base64 import b64encode  # noqa: PLC0415 - as above
    from urllib.parse import unquote  # noqa: PLC0415

    account = f"{unquote(place.username)}:{unquote(place.password or '')}"
    return {name: f"Basic {b64encode(account.encode()).decode()}"}


def _proxy_for(
    target: SplitResult, environment: Mapping[str, str]
) -> SplitResult | None:
    """Return the proxy that the environment names for an address.

    Raises:
        OSError: it is no HTTP proxy.
    """
    from urllib.parse import urlsplit  # noqa: PLC0415 - as above

    # Those in small letters come last, and take precedence.
    known = {name.lower(): value for name, value in sorted(environment.items())}
    text = known.get(f"{target.scheme}_proxy") or known.get("all_proxy")
    if not text or _is_excepted(target, known.get("no_proxy", "")):
        return None
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    if proxy.scheme != "http" or not proxy.hostname:
        message = f"the proxy for {target.scheme} is no HTTP proxy ({proxy.scheme})"
        raise OSError(message)
    return proxy


def _is_excepted(target: SplitResult, no_proxy: str) -> bool:
    """Return whether a host, or a domain that it is in, is in a list without proxy."""
    host = target.hostname or ""
    names = (host, target.netloc.rpartition("@")[2].lower())
    excepted = [each.strip().lower().lstrip(".") for each in no_proxy.split(",")]
    return any(
        each == "*" or each in names or any(n.endswith(f".{each}") for n in names)
        for each in filter(None, excepted)
    )


def _through(
    proxy: SplitResult, target: SplitResult, settings: Config
) -> HTTPConnection:
    """Return a connection by a proxy, which looks up the name of the server."""
    import ssl  # noqa: PLC0415 - as above
    from http.client import HTTPConnection, HTTPSConnection  # noqa: PLC0415

    host = target.hostname or ""
    literal = _literal(host)
    if literal and is_private(literal) and not settings.webhook_private:
        raise PrivateAddressError(host, literal)
    place = (proxy.hostname or "", proxy.port or _PORTS["http"])
    if target.scheme == "http":
        return HTTPConnection(*place, timeout=SECONDS)
    secure = HTTPSConnection(
        *place, timeout=SECONDS, context=ssl.create_default_context()
    )
    headers = _login("Proxy-Authorization", proxy)
    secure.set_tunnel(host, target.port or _PORTS["https"], headers)
    return secure


def _direct(target: SplitResult, *, may_be_private: bool) -> HTTPConnection:
    from http.client import HTTPConnection  # noqa: PLC0415 - as above

    host, port = target.hostname or "", target.port or _PORTS[target.scheme]
    made = _connect(host, port, may_be_private=may_be_private)
    if target.scheme == "https":
        import ssl  # noqa: PLC0415 - as above

        made = ssl.create_default_context().wrap_socket(made, server_hostname=host)
    connection = HTTPConnection(host, port, timeout=SECONDS)
    connection.sock = made
    return connection


def _connect(host: str, port: int, *, may_be_private: bool) -> socket.socket:
    """Connect to the first address of a host that works and may be used."""
    import socket  # noqa: PLC0415 - as above

    error: OSError | UsageError = OSError(f"{host} has no address")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, place in found:
        address = str(place[0])
        if not may_be_private and is_private(address):
            error = PrivateAddressError(host, address)
            continue
        made = socket.socket(family, kind, protocol)
        made.settimeout(SECONDS)
        try:
            made.connect(place)
        except OSError as failure:
            made.close()
            error = failure
        else:
            return made
    raise error


def is_private(address: str) -> bool:
    """Return whether an address is not one of the internet, as those of a machine."""
    import ipaddress  # noqa: PLC0415 - as above

    found = ipaddress.ip_address(address.partition("%")[0])
    inside = found
    if isinstance(found, ipaddress.IPv6Address):
        if int(found) >> 32 in _EMBEDDING:
            inside = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
            found = inside
        inside = getattr(found, "sixtofour", None) or found
    return any(not each.is_global or each.is_multicast for each in (found, inside))


def _literal(host: str) -> str | None:
    """Return the address that a host is, also in the short forms of IPv4."""
    import socket  # noqa: PLC0415 - as above

    if ":" in host:
        return host
    with suppress(OSError):
        return socket.inet_ntoa(socket.inet_aton(host))
    return None
