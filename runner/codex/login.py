"""What Codex lacks to log in to its model provider, by files and variables alone."""

from __future__ import annotations

from parsers import json_text, loose_json
from parsers.light import suppress
from parsers.paths import Path
from runner import files
from runner.codex.binary import stamp_of
from runner.process.start import which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.config import Config
    from runner.model import CodexOptions

OPENAI = "openai"
_KEYS = ("CODEX_API_KEY", "CODEX_ACCESS_TOKEN")
# Of the administrator: what the user's overrides, and what overrides the user's.
_BELOW, _ABOVE = Path("/etc/codex/config.toml"), Path("/etc/codex/managed_config.toml")
# With these the configuration of another file or server counts.
_UNREADABLE = ("-p", "--profile", "--oss", "--remote")


def missing_login(codex: CodexOptions, settings: Config) -> str | None:
    """Say which login or key Codex lacks; None when nothing is known to be missing.

    Only of Codex itself: another program in its place may set the variables.
    """
    path = which(codex.bin, settings.search_path)
    if path is None or stamp_of(path) is None:
        return None
    env, auth = settings.environment, settings.codex_home / "auth.json"
    has_login = any(map(env.get, _KEYS)) or auth.exists()
    given = [*codex.overrides, *codex.extra]
    if has_login and not _may_name_a_provider(given, settings):
        return None  # mostly: parsing TOML would take as long as the start of Codex
    if any(word.partition("=")[0] in _UNREADABLE for word in codex.extra):
        return None
    config = configuration(settings, given)
    name = loose_json.text(config.get("model_provider")) or OPENAI
    providers = loose_json.mapping(config.get("model_providers"))
    provider = loose_json.mapping(providers.get(name))
    key = loose_json.text(provider.get("env_key"))
    if key is not None and not env.get(key):
        return f"model provider {name}: {key} is not set, which has its key"
    is_stored = config.get("cli_auth_credentials_store") in {None, "file"}
    needs_login = name == OPENAI or provider.get("requires_openai_auth") is True
    if key or has_login or not (needs_login and is_stored):
        return None
    what = "OPENAI_API_KEY, which codex exec does not use, is set: set CODEX_API_KEY"
    if not env.get("OPENAI_API_KEY"):
        what = f"{auth} does not exist and CODEX_API_KEY is not set: codex login"
    return f"not logged in: {what}"


def configuration(settings: Config, given: Sequence[str]) -> dict[str, object]:
    """Read Codex's configuration, with the values of `-c KEY=VALUE` and the like.

    What cannot be read counts as empty: Codex itself reports it.
    """
    import tomllib  # noqa: PLC0415 - 6 ms

    found: dict[str, object] = {}
    texts = [[_text(path)] for path in (_BELOW, settings.codex_home / "config.toml")]
    for word in given:
        key, _, value = word.removeprefix("--config=").partition("=")
        written = (value, json_text.dumps(value)) if value else ()
        texts.append([f"{key}={each}" for each in written])
    for choices in (*texts, [_text(_ABOVE)]):
        for text in choices:
            with suppress(ValueError, RecursionError):
                _merge(found, tomllib.loads(text))
                break
    return found


def _may_name_a_provider(given: Sequence[str], settings: Config) -> bool:
    texts = (settings.codex_home / "config.toml", _BELOW, _ABOVE)
    return any("model_provider" in text for text in (*given, *map(_text, texts)))


def _text(path: Path) -> str:
    return files.read_if_there(path).decode(errors="replace")


def _merge(found: dict[str, object], more: Mapping[str, object]) -> None:
    for key, value in more.items():
        inner = found.get(key)
        if isinstance(inner, dict) and isinstance(value, dict):
            _merge(inner, value)
        else:
            found[key] = value
