"""Settings in files: `runner.toml` of the state directory, and one of a repository.

A repository is foreign: of its file only what can do no harm is honoured, and the rest
is refused by name. Settings are resolved for one directory, when something is started
there, so long-lived processes see a change too.
"""

from __future__ import annotations

import errno

from parsers import json_text
from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import Struct, replace
from runner import clock, config, files
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from runner.config import Config

NAME, OF_REPOSITORY = "runner.toml", ".codex-runner.toml"
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
# A larger file of a repository could keep its reader busy.
_MOST_CHARACTERS = 1 << 13
_MOST_TIMES = 100
_MOST_SPENT = 1 << 53
_LEAST_SECRET = 8
# What is shown of a secret.
MASK = "***"


class Key(Struct, kw_only=False):
    """Hold a setting: its field of `Config`, the values that it takes, its variable.

    `may_repository` returns whether a repository can set it to a value. The value of a
    secret is never shown.
    """

    field: str
    what: str
    holds: Callable[[Any], bool]
    variable: str = ""
    may_repository: Callable[[Any], bool] = lambda _: True
    is_secret: bool = False


class Setting(Struct, kw_only=False):
    """Hold a value and where it comes from: a word, and the variable or the line."""

    value: Any
    source: str
    where: str | None = None


_FLAGS = {"true": True, "false": False}


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _is_number(value: object, most: float) -> bool:
    # True is an int to Python; no comparison holds for nan.
    return type(value) in {int, float} and 0 <= value <= most  # type: ignore[operator]  # checked


def _is_text(value: object) -> bool:
    is_text = isinstance(value, str) and bool(value.strip()) and "\0" not in value
    return is_text and files.is_utf8(Path(str(value)))


def _in_seconds(value: Any) -> Any:  # noqa: ANN401 - of any setting
    return clock.read_duration(value) if isinstance(value, str) else value


def _is_address(value: object) -> bool:
    """Return whether it is the address of a host, as a URL without blanks."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - where one is set

    if not (_is_text(value) and str(value).isascii() and str(value).isprintable()):
        return False
    with suppress(ValueError):
        found = urlsplit(str(value))
        _ = found.port
        is_web = found.scheme in {"http", "https"} and bool(found.hostname)
        return is_web and " " not in str(value)
    return False


_SECONDS = (
    "a number of seconds up to ten years, or a text such as 2h (0: no limit)",
    lambda value: _is_number(_in_seconds(value), config.TEN_YEARS),
)
_TIMES = (
    f"a number of times from 0 to {_MOST_TIMES}",
    lambda value: isinstance(value, int) and _is_number(value, _MOST_TIMES),
)
# Of a key that a repository cannot set.
_OURS = ("", lambda _: False)
_FLAG = ("true or false", lambda value: isinstance(value, bool))
_NAMES = (
    'a list of names of variables, such as ["AWS_*"]',
    lambda value: isinstance(value, list) and all(map(_is_text, value)),
    *_OURS,
)
KEYS = {
    "sandbox": Key(
        field="sandbox",
        what=f"one of {', '.join(config.SANDBOXES)}",
        holds=lambda mode: mode in config.SANDBOXES,
        may_repository=lambda mode: mode == "read-only",
    ),
    # Codex would take a word that begins with a dash for an option.
    "model": Key(
        field="model",
        what="the name of a model",
        holds=lambda name: _is_text(name) and name.isprintable() and name[0] != "-",
    ),
    "timeout": Key("timeout_seconds", *_SECONDS, "CODEX_TIMEOUT_SECONDS"),
    "stall_timeout": Key("stall_seconds", *_SECONDS),
    "retries": Key("retries", *_TIMES),
    "recoveries": Key("recoveries", *_TIMES),
    "continue_prompt": Key(
        field="continue_prompt",
        what="a text",
        holds=_is_text,
        variable="CODEX_CONTINUE_PROMPT",
        may_repository=lambda _: False,
    ),
    "max_usd": Key(
        "max_usd",
        "a number of US dollars above 0",
        lambda value: _is_number(value, _MOST_SPENT) and value > 0,
        *_OURS,
    ),
    "max_tokens": Key(
        "max_tokens",
        "a number of tokens, 1 or more",
        lambda value: type(value) is int and 0 < value <= _MOST_SPENT,
        *_OURS,
    ),
    "notify": Key("notify", "a program and its arguments", _is_text, *_OURS),
    "webhook": Key("webhook", "an http or https address", _is_address, *_OURS),
    "webhook_secret": Key(
        field="webhook_secret",
        what=f"a text of {_LEAST_SECRET} characters or more",
        holds=lambda text: _is_text(text) and len(text) >= _LEAST_SECRET,
        may_repository=lambda _: False,
        is_secret=True,
    ),
    "webhook_private": Key("webhook_private", *_FLAG, *_OURS),
    "desktop": Key("desktop", *_FLAG, *_OURS),
    "snapshot": Key("snapshot", *_FLAG),
    "env_deny": Key("env_deny", *_NAMES),
    "env_allow": Key("env_allow", *_NAMES),
}


def in_force(
    settings: Config,
    directory: Path | None = None,
    warn: Callable[[str], object] | None = None,
) -> Config:
    """Return the settings for what is started in a directory, with those of the files.

    Raises:
        UsageError: a file has an unknown setting or a wrong value. With `warn`, which
            gets the message, it is left out instead.
    """
    found, faults = explain(settings, directory)
    for fault in faults:
        if warn is None:
            raise UsageError(fault)
        warn(fault)
    given = {KEYS[name].field: each.value for name, each in found.items()}
    return replace(settings, **given)


def explain(
    settings: Config, directory: Path | None = None
) -> tuple[dict[str, Setting], list[str]]:
    """Return all settings and where they come from, and the errors of the files."""
    found, faults, own = dict[str, Setting](), list[str](), settings.state_home / NAME
    for name, key in KEYS.items():
        named = settings.environment.get(key.variable) and key.variable
        source = "environment" if named else "default"
        found[name] = Setting(getattr(settings, key.field), source, named or None)
    for path in (own, _of_repository(directory)) if directory else (own,):
        source = "state directory" if path is own else "repository"
        try:
            # A list: nothing is taken from a file that is wrong further down.
            for where, name, value in [*_settings(_read(path), path, path is not own)]:
                if found[name].source != "environment":
                    found[name] = Setting(_stored(name, value), source, where)
        except UsageError as error:
            faults.append(f"{error}: nothing is started until that is corrected")
    return found, faults


def _of_repository(directory: Path) -> Path:
    """Return the nearest file, up to the directory that has `.git`.

    Outside of a repository that is only one of the directory itself: those above it
    may be another user's, as /tmp is.
    """
    nearest = None
    for place in (directory, *directory.resolve().parents):
        path = place / OF_REPOSITORY
        nearest = nearest or (path if files.status(path) else None)
        if files.status(place / ".git"):
            return nearest or path
    return directory / OF_REPOSITORY


def _stored(name: str, value: Any) -> object:  # noqa: ANN401 - of any setting
    """Return a value as `Config` has it."""
    if KEYS[name].field.endswith("_seconds"):
        return float(_in_seconds(value)) or None
    return tuple(value) if isinstance(value, list) else value


def _shown(key: Key, value: object) -> str:
    try:
        return MASK if key.is_secret else f"{value!r:.80}"
    except ValueError:  # a number of thousands of digits
        return "this number"


def _read(path: Path) -> bytes:
    try:
        return files.read_bytes(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return b""
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise UsageError(message) from error


def _settings(
    data: bytes, path: Path, is_foreign: object = None
) -> Iterator[tuple[str, str, object]]:
    """Yield the settings of a file, each with its place, and check them."""
    for begin, _, names in _statements(data, path):
        for name, value in names.items():
            where, key = f"{path}:{begin + 1}", KEYS.get(name)
            wrong, hint = None, ""
            if key is None:
                wrong, hint = f"no setting {name!r}", "codex-tasks config"
            elif not key.holds(value):
                wrong = f"{name}: {_shown(key, value)} is not {key.what}"
            elif is_foreign and not key.may_repository(value):
                wrong = f"{name}: a repository cannot set it to {_shown(key, value)}"
                hint = f"codex-tasks config {name} VALUE"
            if wrong is not None:
                message = f"{where}: {wrong}"
                raise UsageError(message, hint)
            yield where, name, value


def _statements(data: bytes, path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield where each statement begins and ends, in lines, and what it sets."""
    if not data:
        return
    begin, lines = 0, data.decode(errors="replace").split("\n")
    try:
        _parse(data.decode())
    except (ValueError, RecursionError) as error:
        last = f"at line {len(data.rstrip().splitlines())}"
        what = str(error).replace("at end of document", last)
        message = f"{path}: {what}"
        raise UsageError(message) from error
    for end in range(1, len(lines) + 1):
        # No beginning of a statement is a statement.
        with suppress(ValueError):
            yield begin, end, _parse("\n".join(lines[begin:end]) + "\n")
            begin = end


def _parse(text: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - 10 ms, where there is a file

    if len(text) > _MOST_CHARACTERS:
        message = f"has more than {_MOST_CHARACTERS} characters"
        raise ValueError(message)
    return tomllib.loads(text)


def save(settings: Config, name: str, text: str) -> None:
    """Set a setting in the file of the state directory; its comments stay.

    Raises:
        UsageError: it does not take the value, or the file would be wrong all the same.
        FileFault: it cannot be written.
    """
    value, path = value_of(name, text, name), settings.state_home / NAME
    data = _read(path)
    statement = f"{name} = {json_text.dumps(value, ensure_ascii=False)}"
    changed = _edited(data, path, name, statement).encode()
    for _ in _settings(changed, path):
        pass
    files.make_directory(settings.state_home)
    files.replace(path.resolve(), changed)


def value_of(name: str, text: str, option: str) -> Any:  # noqa: ANN401 - of any setting
    """Read the value of a setting on a command line; a list is separated by commas.

    Raises:
        UsageError: the setting does not take it.
    """
    for read in (int, float, str, _FLAGS.__getitem__, _words):
        with suppress(ValueError, KeyError):
            if KEYS[name].holds(value := read(text)):
                return value
    message = f"{option} {_shown(KEYS[name], text)} is not {KEYS[name].what}"
    raise UsageError(message)


def _edited(data: bytes, path: Path, name: str, statement: str) -> str:
    """Return the text of a file with one statement replaced, or appended."""
    lines = data.decode(errors="replace").split("\n")
    for begin, end, names in _statements(data, path):
        if name in names:
            old = "\n".join(lines[begin:end])
            lines[begin:end] = [statement + old[_end_of_value(old, names) :]]
            return "\n".join(lines)
    lines[-1:] = [*filter(None, lines[-1:]), statement, ""]
    return "\n".join(lines)


def _end_of_value(statement: str, names: dict[str, Any]) -> int:
    """Find where the value of a statement ends: a comment may follow."""
    for at, char in enumerate(statement):
        with suppress(ValueError):
            if char == "#" and _parse(statement[:at]) == names:
                return len(statement[:at].rstrip())
    return len(statement.rstrip())
