"""The Codex binary (0.50 to 0.169): its command lines and its version.

A prompt is never in its argv: Codex reads it from standard input. The version is
cached, because `--version` takes 100 ms.
"""

from __future__ import annotations

import os

from parsers import json_text, loose_json
from parsers.light import pattern, suppress
from parsers.paths import Path
from runner import files
from runner.codex import home
from runner.errors import FileFault
from runner.process.start import capture, which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.model import CodexOptions, SessionId

PROMPT_ON_STDIN = "-"
NO_ROLLOUT = "Codex has no rollout of its thread in {}"
_ASK_SECONDS = 10.0
_CACHE = "codex-versions.json"
_PACKAGE = "/@openai/codex"
_NATIVE_BYTES = 1 << 20
_SCRIPT_BYTES = 1 << 16
_HANDS_ON = pattern(rb'(?m)^\s*exec\s.*"\$@"')
_VERSION = pattern(r"codex-cli (\d+\.\d+\.\d+\S*)")


def exec_argv(options: CodexOptions, repo: str, resume: SessionId | None) -> list[str]:
    """Build `codex exec` for a new session, or to resume one.

    Every option precedes `resume`, which rejects `--cd`, `--sandbox` and others after
    it, and has its long name: programs in the place of Codex know only those. The
    caller's extra arguments come first: an option with several values (`-i FILE…`)
    would otherwise take the `-` at the end.
    """
    given = (*options.extra, *options.once)
    argv = [options.bin, "exec", *given, "--json", "--cd", repo]
    if options.sandbox:
        argv += ["--sandbox", options.sandbox]
    if options.model:
        argv += ["--model", options.model]
    for override in options.overrides:
        argv += ["--config", override]
    if options.skip_git_repo_check:
        argv.append("--skip-git-repo-check")
    if resume:
        argv += ["resume", resume]
    return [*argv, PROMPT_ON_STDIN]


def interface_argv(options: CodexOptions, repo: str, thread: str) -> list[str]:
    """Build `codex resume`: Codex's own interface, which takes options behind that."""
    words = [word for each in options.overrides for word in ("--config", each)]
    words += ["--model", options.model] if options.model else []
    words += ["--sandbox", options.sandbox] if options.sandbox else []
    return [options.bin, "resume", *words, "--cd", repo, thread]


def version_of(program: str, settings: Config) -> str | None:
    """Return the version that a binary reports, without the name before it.

    The version is cached in the state directory until the file changes. A script that
    hands its arguments on is not cached: it stays the same while Codex changes. Any
    other program is not started for its version: it may ignore `--version` and do its
    work once more.
    """
    if (version := known_version(program, settings)) is not None:
        return version
    path = which(program, settings.search_path)
    if path is None or not can_be_codex(path):
        return None
    said = capture([path, "--version"], settings.environment, _ASK_SECONDS)
    stamp = stamp_of(path)
    if (version := version_in(said)) is not None and stamp is not None:
        known = loose_json.mapping(files.read_json(settings.state_home / _CACHE))
        content = json_text.dumps({**known, stamp: version}).encode()
        # Without the cache only the next call is slower.
        with suppress(FileFault):
            files.replace(settings.state_home / _CACHE, content)
    return version


def known_version(program: str, settings: Config) -> str | None:
    """Return the cached version of a binary, without starting it."""
    path = which(program, settings.search_path)
    stamp = None if path is None else stamp_of(path)
    if stamp is None:
        return None
    known = loose_json.mapping(files.read_json(settings.state_home / _CACHE))
    return loose_json.text(known.get(stamp))


def stamp_of(path: str) -> str | None:
    """Identify a file of Codex by its size and time; None for any other program."""
    real = os.path.realpath(path)
    status = files.status(Path(real))
    is_codex = _PACKAGE in real or (status and status.st_size >= _NATIVE_BYTES)
    if status is None or not is_codex:
        return None
    return f"{real}:{status.st_size}:{status.st_mtime_ns}"


def can_be_codex(path: str) -> bool:
    """Return whether a program is Codex, or a script that executes one.

    Such a script gives it all arguments.
    """
    if stamp_of(path) is not None:
        return True
    with suppress(OSError), Path(path).open("rb") as file:
        text = file.read(_SCRIPT_BYTES)
        return text[:2] == b"#!" and bool(_HANDS_ON.search(text))
    return False


def has_lost(thread: str, codex_home: Path, program: str, settings: Config) -> bool:
    """Return whether Codex cannot resume a thread, as it has no rollout of it.

    False when the program may not be Codex.
    """
    path = which(program, settings.search_path)
    has_threads = files.is_directory(codex_home / "sessions")
    is_codex = path and (stamp_of(path) or (has_threads and can_be_codex(path)))
    return bool(is_codex) and not home.has_saved(codex_home, thread)


def version_in(said: str | None) -> str | None:
    """Read the version in the output of `codex --version`; None in any other text."""
    found = _VERSION.match(said or "")
    return found[1] if found else None
