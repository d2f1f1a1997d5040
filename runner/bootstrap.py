"""Create the environment of the suite: `.venv`, and Codex in `.codex-bin`.

Run by `bin/setup` with any Python from 3.11 on, before anything is installed: only the
standard library, nothing of the suite. Doing nothing when all is there, and one at a
time, however many are started at once.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess  # noqa: TID251  # runs before runner.process can be imported
import sys
from collections.abc import Iterator, Sequence  # noqa: TC003 - run once, by hand
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODEX_VERSION = "0.169.0"
CODEX_PACKAGE = f"@openai/codex@{CODEX_VERSION}"

_CHECK = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
# The default editable mode of setuptools costs 13 ms at each start of Python.
_IN_PLACE = ("--config-settings", "editable_mode=compat")


class SetupError(Exception):
    """What could not be installed, with a hint."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Install what is missing; report progress on stderr."""
    parser = argparse.ArgumentParser(prog="bin/setup", description=__doc__)
    parser.add_argument("--test", action="store_true", help="with the test tools")
    parser.add_argument("--codex", action="store_true", help="with the pinned Codex")
    options = parser.parse_args(arguments)
    try:
        with _alone(ROOT):
            make_environment(ROOT, for_tests=options.test)
            if options.codex:
                get_codex(ROOT)
    except SetupError as error:
        sys.stderr.write(f"setup: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def make_environment(root: Path, *, for_tests: bool) -> None:
    """Create or update `.venv` when `pyproject.toml` has changed."""
    venv, stamp = root / ".venv", root / ".venv" / "codex-runner.stamp"
    python = venv / "bin" / "python"
    done = stamp.read_text(encoding="utf-8").split() if stamp.exists() else []
    extras = {"test"} & ({"test"} if for_tests else set(done))
    wanted = [hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest()]
    wanted += extras
    is_there = _asked(python, "-c", _CHECK) is not None
    if done == wanted and is_there:
        return
    if not is_there:
        _say(f"creating .venv with Python {sys.version.split()[0]}")
        _run(sys.executable, "-m", "venv", "--clear", venv)
    _say("installing the suite into .venv")
    _install(python, f"{root}[test]" if extras else str(root))
    _compile(python, root)
    stamp.write_text(" ".join(wanted), encoding="utf-8")


def get_codex(root: Path) -> Path:
    """Install the pinned Codex from npm, unless it is installed."""
    home = root / ".codex-bin"
    codex = home / "node_modules" / ".bin" / "codex"
    if _version(codex) == CODEX_VERSION:
        return codex
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        msg = (
            f"npm and node are required for Codex {CODEX_VERSION} (https://nodejs.org);"
            " to use another Codex in bin/test, set CODEX_E2E_BIN=/path/to/codex"
        )
        raise SetupError(msg)
    _say(f"installing {CODEX_PACKAGE} from npm into .codex-bin (400 MB)")
    home.mkdir(exist_ok=True)
    quiet = ("--no-save", "--no-audit", "--no-fund", "--loglevel=error")
    _run(npm, "install", "--prefix", home, *quiet, CODEX_PACKAGE)
    if (found := _version(codex)) != CODEX_VERSION:
        msg = f"npm has installed Codex {found} instead of {CODEX_VERSION}"
        raise SetupError(msg)
    return codex


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Lock the checkout's directory; the kernel releases the lock at exit."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another setup of this checkout")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _install(python: Path, what: str) -> None:
    # -qq shows errors and hides warnings about the machine's pip settings.
    options = ("-qq", "--disable-pip-version-check", *_IN_PLACE)
    _run(python, "-m", "pip", "install", *options, "-e", what)


def _compile(python: Path, root: Path) -> None:
    """Write byte code now, even with PYTHONDONTWRITEBYTECODE."""
    _run(python, "-m", "compileall", "-q", root / "parsers", root / "runner")


def _version(codex: Path) -> str | None:
    return (_asked(codex, "--version") or "").strip().rpartition(" ")[2] or None


def _asked(*argv: str | Path) -> str | None:
    """Return the output of a program; None when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _run(*argv: str | Path) -> None:
    """Run a tool; its own message on stderr explains a failure."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode != 0:
        what = " ".join(str(word) for word in argv[:4])
        msg = f"`{what} …` ended with {done.returncode}; its message is above"
        raise SetupError(msg)


def _say(text: str) -> None:
    sys.stderr.write(f"setup: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
