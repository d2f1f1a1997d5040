"""Where the real Codex is, and a home that keeps it on this machine."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / ".codex-bin" / "node_modules" / ".bin" / "codex"

_PASSED_ON = ("PATH", "TMPDIR", "LANG", "LC_ALL", "SSL_CERT_FILE")


def find_real_codex() -> Path | None:
    """Find the binary that CODEX_E2E_BIN names, else the one that bin/test installs."""
    named = os.environ.get("CODEX_E2E_BIN")
    path = Path(named) if named else INSTALLED
    return path.absolute() if os.access(path, os.X_OK) else None


def native_codex(path: Path) -> Path:
    """Find the native binary that the launcher of the npm package starts."""
    package = path.resolve().parents[1]
    natives = package.parent.glob("codex-*/vendor/*/bin/codex")
    return next(natives, path)


def built_environment(home: Path, **variables: str | Path) -> dict[str, str]:
    """Build an environment in which nothing of the developer's own is found."""
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    fixed = {
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        # Where the tests themselves run does not matter.
        "CODEX_RUNNER_CONTAINED": "1",
    }
    return {**kept, **fixed, **{name: str(v) for name, v in variables.items()}}
