"""The files that go into a prompt: named by globs, and inside of one directory."""

from __future__ import annotations

import os

from parsers import text as text_of
from parsers.paths import Path
from parsers.struct import Struct
from runner import files
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from pathspec import GitIgnoreSpec, PathSpec

    # Directories with their rules, from the top down.
    Rules = list[tuple[str, GitIgnoreSpec]]

# Directories that are never searched.
EXCLUDED = (
    *(".git", "node_modules", "dist", ".codex", ".venv", "__pycache__", ".next"),
)
MOST_FILES = 200
MOST_BYTES = 500_000
_IGNORE = ".gitignore"


class Attached(Struct):
    """Hold the paths and texts of files, and why each other one is not among them.

    Paths are relative to the directory, with `/` between the names.
    """

    texts: tuple[tuple[str, str], ...] = ()
    skipped: tuple[str, ...] = ()


def attach(base: Path, globs: Sequence[str]) -> Attached:
    """Read the files that globs name; a glob with `!` excludes, whatever the order.

    `*` is no `/`, `**` is any directories, and a directory means all files in it. What
    git ignores is not found.

    Raises:
        UsageError: there are too many files, or a glob is no valid one.
    """
    wanted = _spec([each for each in globs if not each.startswith("!")])
    excluded = _spec([each[1:] for each in globs if each.startswith("!")])
    found = [
        name
        for name in files_below(base)
        if wanted.match_file(name) and not excluded.match_file(name)
    ]
    if len(found) > MOST_FILES:
        message = f"--file matches {len(found):,} files, {MOST_FILES} are the most"
        raise UsageError(message, "use narrower globs, or exclude some with '!GLOB'")
    top, texts, skipped = os.path.realpath(base), list[tuple[str, str]](), list[str]()
    for name in found:
        text, why = _read(base / name, top)
        if text is None:
            skipped.append(f"{name}: {why}")
        else:
            texts.append((name, text))
    skipped += [
        f"{glob}: no file matches"
        for glob in globs
        if not glob.startswith("!") and not any(map(_spec([glob]).match_file, found))
    ]
    return Attached(texts=tuple(texts), skipped=tuple(skipped))


def files_below(base: Path) -> Iterator[str]:
    """Yield the files of a directory that git does not ignore, in order.

    Links to directories are not followed.
    """
    top = os.path.realpath(base)

    def walk(place: str, rules: Rules) -> Iterator[str]:
        rules = [*rules, *_rules(place)]
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            is_directory = entry.is_dir(follow_symlinks=False)
            name = f"{entry.path}/" if is_directory else entry.path
            if entry.name in EXCLUDED or _is_ignored(name, rules):
                continue
            if is_directory:
                yield from walk(entry.path, rules)
            elif entry.is_file():
                yield entry.path[len(top) :].lstrip("/")

    yield from walk(top, _above(top))


def _above(place: str) -> Rules:
    """Return the rules of the directories above one, to the top of its repository."""
    found: Rules = []
    while not os.path.lexists(f"{place}/.git"):
        place, below = place.rpartition("/")[0], place
        if not below:
            return []
        found = [*_rules(place), *found]
    return found


def _rules(place: str) -> Rules:
    text = files.read_if_there(Path(place) / _IGNORE)
    if not text:
        return []
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - 20 ms, where there is one

    lines = text.decode(errors="replace").splitlines()
    return [(f"{place}/", GitIgnoreSpec.from_lines(lines))]


def _is_ignored(path: str, rules: Rules) -> bool:
    """Apply rules from the top down: the last that says something counts."""
    found = [spec.check_file(path.removeprefix(top)).include for top, spec in rules]
    return next((each for each in reversed(found) if each is not None), False)


def _spec(globs: Sequence[str]) -> PathSpec[Any]:
    from pathspec import PathSpec  # noqa: PLC0415 - as above

    try:
        return PathSpec.from_lines("gitignore", [f"/{glob}" for glob in globs])
    except ValueError as error:
        message = f"--file: {error}"
        raise UsageError(message) from error


def _read(path: Path, top: str) -> tuple[str | None, str]:
    """Return the text of a file, or why it cannot be used."""
    if text_of.clean(str(path)) != str(path):
        return None, "its name is not UTF-8"
    real = os.path.realpath(path)
    if os.path.commonpath([real, top]) != top:
        return None, "it is outside of the directory"
    try:
        with files.reader(Path(real)) as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        return None, error.strerror or str(error)
    if len(data) > MOST_BYTES:
        return None, f"it is larger than {MOST_BYTES // 1000} kB"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return (None, "it is binary") if "\0" in text else (text, "")
