"""What Codex lacks to log in to its model provider, by files and variables alone."""

from __future__ import annotations

from runner import files
from runner.codex.binary import stamp_of
from runner.codex.home import configured
from runner.process.start import which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import CodexOptions

OPENAI = "openai"
KEYS = ("CODEX_API_KEY", "CODEX_ACCESS_TOKEN")
# With these the configuration of another file or server counts.
_UNREADABLE = ("-p", "--profile", "--oss", "--remote")


def missing_login(codex: CodexOptions, settings: Config) -> tuple[str, str] | None:
    """Say which login or key Codex lacks, and the fix; None when none is known to be.

    Only of Codex itself: another program in its place may set the variables.
    """
    path, env = which(codex.bin, settings.search_path), settings.environment
    home, given = settings.codex_home, (*codex.overrides, *codex.extra)
    is_other = any(word.partition("=")[0] in _UNREADABLE for word in codex.extra)
    if path is None or stamp_of(path) is None or is_other:
        return None
    auth = home / "auth.json"
    has_login = any(map(env.get, KEYS)) or files.status(auth)
    name = configured(home, given, "model_provider") or OPENAI
    of_provider = (home, given, "model_providers", name)
    if (key := configured(*of_provider, "env_key")) is not None:
        why = f"model provider {name}: {key} is not set, which has its key"
        return None if env.get(str(key)) else (why, f"set {key}")
    needs_login = name == OPENAI or configured(*of_provider, "requires_openai_auth")
    store = configured(home, given, "cli_auth_credentials_store")
    if has_login or not needs_login or store not in {None, "file"}:
        return None
    what = "OPENAI_API_KEY, which codex exec does not use, is set"
    if not env.get("OPENAI_API_KEY"):
        what = f"{auth} does not exist and CODEX_API_KEY is not set"
    return f"not logged in: {what}", "codex login, or set CODEX_API_KEY"
