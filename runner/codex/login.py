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
    from collections.abc import Sequence

    from runner.config import Config
    from runner.model import CodexOptions

OPENAI = "openai"
_KEYS = ("CODEX_API_KEY", "CODEX_ACCESS_TOKEN")
_SYSTEM = Path("/etc/codex/config.toml")
# With these the configuration of another file or server counts.
_UNREADABLE = ("-p", "--profile", "--oss", "--remote")


def missing_login(codex: CodexOptions, settings: Config) -> tuple[str, str] | None:
    """Say which login or key Codex lacks, and the fix; None when none is known to be.

    Only of Codex itself: another program in its place may set the variables.
    """
    path, env = which(codex.bin, settings.search_path), settings.environment
    auth, given = settings.codex_home / "auth.json", (*codex.overrides, *codex.extra)
    is_other = any(word.partition("=")[0] in _UNREADABLE for word in codex.extra)
    if path is None or stamp_of(path) is None or is_other:
        return None
    has_login, texts = any(map(env.get, _KEYS)) or files.status(auth), _texts(settings)
    if has_login and not any("model_provider" in text for text in (*texts, *given)):
        return None  # mostly: parsing TOML would take as long as the start of Codex
    name = configured(settings, given, "model_provider") or OPENAI
    of_provider = (settings, given, "model_providers", name)
    if (key := configured(*of_provider, "env_key")) is not None:
        why = f"model provider {name}: {key} is not set, which has its key"
        return None if env.get(str(key)) else (why, f"set {key}")
    needs_login = name == OPENAI or configured(*of_provider, "requires_openai_auth")
    store = configured(settings, given, "cli_auth_credentials_store")
    if has_login or not needs_login or store not in {None, "file"}:
        return None
    what = "OPENAI_API_KEY, which codex exec does not use, is set"
    if not env.get("OPENAI_API_KEY"):
        what = f"{auth} does not exist and CODEX_API_KEY is not set"
    return f"not logged in: {what}", "codex login, or set CODEX_API_KEY"


def configured(settings: Config, given: Sequence[str], *path: object) -> object:
    """Return a value of Codex's configuration, in which `-c KEY=VALUE` counts most.

    What cannot be read counts as empty: Codex itself reports it.
    """
    import tomllib  # noqa: PLC0415 - 6 ms

    found: object = None
    choices = [[text] for text in _texts(settings)]
    for word in given:
        key, _, value = word.removeprefix("--config=").partition("=")
        # A value that is no TOML is a text.
        choices.append([f"{key}={text}" for text in (value, json_text.dumps(value))])
    for texts in choices:
        for text in texts:
            with suppress(ValueError, RecursionError):
                tree: object = tomllib.loads(text)
                for name in path:
                    tree = loose_json.mapping(tree).get(str(name))
                found = found if tree is None else tree
                break
    return found


def _texts(settings: Config) -> list[str]:
    paths = (_SYSTEM, settings.codex_home / "config.toml")
    return [files.read_if_there(path).decode(errors="replace") for path in paths]
