"""The environment of a prompt: what its sender had, without terminals and secrets.

A run that another process starts has the variables of the sender of its prompt. Secrets
are never stored: of each one the ledger has a digest with a key of this state
directory. A process that was started with the same secret hands it on.
"""

from __future__ import annotations

import os

from parsers import json_text, loose_json
from parsers.struct import Struct, as_dict, replace
from runner import config, files
from runner.config import HOOK_MARKER, RUN_MARKER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

    from runner.config import Config
    from runner.ledger.database import Cell
    from runner.ledger.ledger import Ledger
    from runner.ledger.prompts import Prompt

KEY_FILE = "secrets.key"
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL")
# What belongs to a terminal, a display, a shell or a service, not to the work; and what
# Codex and this suite set for their children.
_LOCAL = (
    *("_", "PWD", "OLDPWD", "SHLVL", "TERM", "COLORTERM", "COLUMNS", "LINES", "STY"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "WINDOWID", "GPG_TTY", "VTE_VERSION"),
    *("INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID"),
    *("CODEX_CI", "CODEX_THREAD_ID"),
)
_MARKS = (RUN_MARKER, HOOK_MARKER)
_BEGINNINGS = ("SSH_", "TMUX", "TERM_", "XDG_SESSION_", "KITTY_", "CODEX_SANDBOX")


class Environment(Struct):
    """Hold the variables of a sender, and the digests of its secrets by their names."""

    variables: Mapping[str, str]
    secrets: Mapping[str, str]


class Senders:
    """Give the settings of senders, as far as this process has their secrets."""

    def __init__(self, ledger: Ledger, settings: Config) -> None:
        self._ledger, self._settings = ledger, settings
        self._own = settings.own or settings.environment
        self._handed = settings.handed or {}
        self._lacking: dict[int | None, list[str]] = {None: []}
        self._passed: set[object] = set()

    def lacking(self, environment: int | None) -> list[str]:
        """Name the secrets of a sender that are not here, or have another value."""
        if environment not in self._lacking:
            secrets = read(self._ledger, environment or 0).secrets
            here = self._values(secrets)
            self._lacking[environment] = [n for n in secrets if n not in here]
        return self._lacking[environment]

    def _values(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """Return the values of those secrets of a sender that are here."""
        own = digests_of(self._ledger, self._own, secrets)
        found = {n: self._own[n] for n, digest in own.items() if digest == secrets[n]}
        handed = {n: self._handed[d] for n, d in secrets.items() if d in self._handed}
        return {**found, **handed}

    def known(self) -> dict[str, str]:
        """Return the secrets of waiting prompts that are here, by their digests."""
        found = dict[str, str]()
        for row in self._ledger.all("waiting_environments"):
            secrets = read(self._ledger, row["environment"]).secrets
            found |= {secrets[n]: value for n, value in self._values(secrets).items()}
        return found

    def settings_of(self, environment: int | None) -> Config:
        """Return the settings of a sender whose secrets are all here.

        A prompt without an environment has those of this process.
        """
        if environment is None:
            return self._settings
        found = read(self._ledger, environment)
        variables = {**found.variables, **self._values(found.secrets)}
        return config.as_sender(self._settings, variables)

    def explain(self, prompt: Mapping[str, Any], name: str) -> dict[str, str]:
        """Return the `word` and `detail` of a prompt that this process passes over.

        `prompt` has its columns and why it waits, `name` is that of its task.
        """
        session, environment = prompt["session"], prompt["environment"]
        if session in self._passed:
            return {"detail": str(prompt["detail"]).replace("starts next", "secret")}
        is_free = prompt["word"] is None and prompt["run_id"] is None
        if not (lacking := is_free and self.lacking(environment)):
            return {}
        self._passed.add(session)
        why = f"{', '.join(lacking)} of its sender is not set here, or differs"
        way = f"codex-tasks deliver {name} where it is set, or after codex login"
        return {"word": "secret", "detail": f"{why}: {way}"}


def of_sender(
    ledger: Ledger, settings: Config, named: Collection[str] = ()
) -> Environment:
    """Return what a prompt keeps of its sender's variables; `named` ones are secret."""
    secret, kept = dict[str, str](), dict[str, str]()
    for name, value in sorted(settings.environment.items()):
        is_allowed = _is_any(name, settings.env_allow)
        if name in _MARKS or _is_any(name, settings.env_deny):
            continue
        if value and not is_allowed and (name in named or _is_secret(name, value)):
            secret[name] = value
        elif is_allowed or not (name in _LOCAL or name.startswith(_BEGINNINGS)):
            kept[name] = value
    return Environment(variables=kept, secrets=digests_of(ledger, secret, secret))


def _is_any(name: str, patterns: Collection[str]) -> bool:
    from fnmatch import fnmatchcase  # noqa: PLC0415 - of what waits

    return any(fnmatchcase(name, each) for each in patterns)


def digests_of(
    ledger: Ledger, variables: Mapping[str, str], names: Iterable[str]
) -> dict[str, str]:
    """Return the digests of those secrets that are set, with the key of the ledger."""
    found = [name for name in names if variables.get(name)]
    if not found:
        return {}
    import hashlib  # noqa: PLC0415 - 4 ms, for a prompt that waits

    path = ledger.home / KEY_FILE
    if not (key := files.read_if_there(path)):
        with ledger.transaction():  # no other process writes it meanwhile
            if not (key := files.read_if_there(path)):
                files.replace(path, key := os.urandom(32))
    return {
        name: hashlib.blake2b(
            os.fsencode(f"{name}={variables[name]}"), key=key[:64], digest_size=16
        ).hexdigest()
        for name in found
    }


def keep(ledger: Ledger, environment: Environment) -> int:
    """Store an environment once, inside a transaction, and return its key."""
    import hashlib  # noqa: PLC0415 - as above

    texts = [json_text.dumps(dict(part)) for part in as_dict(environment).values()]
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    parts: dict[str, Cell] = {"variables": texts[0].encode(), "secrets": texts[1]}
    ledger.change("keep_environment", digest=digest, **parts)
    return int(ledger.value("environment_with", digest=digest))


def store(ledger: Ledger, prompt: int, environment: Environment) -> None:
    """Give a prompt an environment, inside a transaction."""
    key = keep(ledger, environment)
    ledger.change("set_environment", prompt=prompt, environment=key)


def read(ledger: Ledger, key: int) -> Environment:
    """Return a stored environment."""
    row = ledger.one("environment", environment=key)
    return _of(*(json_text.loads(part) for part in row or ("{}", "{}")))


def of_header(header: Mapping[str, object]) -> Environment | None:
    """Read the environment of an exported prompt, None if it has none."""
    found = loose_json.mapping(header.get("environment"))
    return _of(*map(found.get, Environment.field_names())) if found else None


def _of(*parts: object) -> Environment:
    read = [{n: str(v) for n, v in loose_json.mapping(p).items()} for p in parts]
    return Environment(variables=read[0], secrets=read[1])


def renew(
    ledger: Ledger, prompt: Prompt, settings: Config, optional: Collection[str]
) -> tuple[list[str], list[str]]:
    """Give a waiting prompt the secrets of this process; `optional` ones may go.

    Returns the names of those that are not here: then nothing is changed; and of those
    that have another value here.
    """
    was = read(ledger, prompt.environment or 0)
    here = digests_of(ledger, settings.own or settings.environment, was.secrets)
    gone = [n for n in was.secrets if n not in here and n not in optional]
    if not gone and here != was.secrets:
        with ledger.transaction(is_durable=True):
            store(ledger, prompt.id, replace(was, secrets=here))
    return gone, [n for n in here if here[n] != was.secrets[n]]


def _is_secret(name: str, value: str) -> bool:
    """Tell by its name, or by a password in an address, as of a proxy."""
    account, at, _ = value.partition("://")[2].partition("/")[0].rpartition("@")
    is_address = bool(at) and ":" in account
    return is_address or any(word in name.upper() for word in _SECRET)
