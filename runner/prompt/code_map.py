"""The codebase map of a directory: `docs/CODEBASE_MAP.md`, written and read."""

from __future__ import annotations

import os

from parsers.paths import Path
from parsers.struct import Struct
from parsers.text import clean
from runner import clock, files
from runner.errors import FileFault, UsageError
from runner.git import GitError, git_in
from runner.prompt.attached import files_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NAME = "docs/CODEBASE_MAP.md"
# Where a map is looked for.
_NAMES = (NAME, "CODEBASE_MAP.md", "docs/ARCHITECTURE.md")
MOST_BYTES = 200_000
_MARK = "> Made by `codex-agent map`"
_COMMIT = "commit: "
_CHARACTERS_A_TOKEN = 4
# How much of a file is read for its first line of words.
_HEAD_BYTES = 4096
_MOST_WORDS = 80
_MARGIN = 2000


class CodeMap(Struct):
    """Hold a map that was found: its name, its text, and why it may be out of date."""

    name: str
    text: str
    age: str | None = None


class _File(Struct):
    name: str
    size: int
    about: str

    @property
    def tokens(self) -> int:
        return self.size // _CHARACTERS_A_TOKEN


def find(base: Path, environment: Mapping[str, str]) -> CodeMap | None:
    """Return the map of a directory, None when there is none.

    A link that leads out of the directory, and a map above the limit, is no map.
    """
    top = os.path.realpath(base)
    for name in _NAMES:
        real = os.path.realpath(base / name)
        if os.path.commonpath([real, top]) != top:
            continue
        data = files.read_if_there(Path(real))
        if data and len(data) <= MOST_BYTES:
            text = data.decode(errors="replace")
            return CodeMap(name=name, text=text, age=_age(text, base, environment))
    return None


def _age(text: str, base: Path, environment: Mapping[str, str]) -> str | None:
    lines = [line for line in text.splitlines()[:10] if line.startswith(_COMMIT)]
    head = _head(base, environment)
    known = lines[0].removeprefix(_COMMIT).strip() if lines else ""
    if not known or head is None or known == head:
        return None
    return f"it is of commit {known[:12]}, and HEAD is {head[:12]}"


def _head(base: Path, environment: Mapping[str, str]) -> str | None:
    try:
        return git_in(str(base), environment).line("rev-parse", "HEAD")
    except (GitError, OSError):
        return None


def write(base: Path, environment: Mapping[str, str], *, is_forced: bool) -> Path:
    """Write the map of a directory, and return its path.

    Raises:
        UsageError: somebody else has written it, and it is not forced.
        FileFault: it cannot be written.
    """
    path = base / NAME
    data = files.read_if_there(path)
    if data and _MARK.encode() not in data and not is_forced:
        message = f"{path} was not written by codex-agent map"
        raise UsageError(message, "--force replaces it")
    text = render(base, _head(base, environment))
    try:
        os.makedirs(path.parent, exist_ok=True)  # noqa: PTH103 - of the user's umask
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FileFault("write", path, error) from error
    return path


def render(base: Path, commit: str | None) -> str:
    """Write the map: the tree, then the files of each directory; bounded in size."""
    found = [_looked_at(base, name) for name in files_below(base) if name != NAME]
    total = sum(each.tokens for each in found)
    head = [
        "---",
        f"last_mapped: {clock.iso(clock.now())}",
        *([f"{_COMMIT}{commit}"] if commit else []),
        f"total_files: {len(found)}",
        f"total_tokens: {total}",
        "---",
        "# Codebase Map",
        "",
        f"{_MARK}: {len(found):,} files, about {total:,} tokens.",
        "",
    ]
    by_directory: dict[str, list[_File]] = {}
    for each in found:
        by_directory.setdefault(each.name.rpartition("/")[0], []).append(each)
    tree = ["## Directory Structure", "", "```", *_tree(by_directory), "```", ""]
    lines = [*head, *tree, "## Modules", "", *_modules(by_directory)]
    # A name may not be UTF-8.
    return "\n".join(_bounded([clean(line) for line in lines])) + "\n"


def _looked_at(base: Path, name: str) -> _File:
    try:
        with files.reader(base / name) as stream:
            size = os.fstat(stream.fileno()).st_size
            data = stream.read(_HEAD_BYTES)
    except OSError:
        return _File(name=name, size=0, about="cannot be read")
    about = "binary" if b"\0" in data else _about(data.decode(errors="replace"))
    return _File(name=name, size=size, about=about)


def _about(text: str) -> str:
    """Return the first line with words, without the marks of a comment."""
    for line in text.splitlines():
        words = line.strip().strip("#/*\"'<>!-=; \t").strip()
        is_code = words.startswith(("import ", "from ", "use ", "package ", "bin/"))
        if any(map(str.isalpha, words)) and not (line.startswith("#!") or is_code):
            return words[:_MOST_WORDS].replace("|", "\\|")
    return ""


def _tree(by_directory: Mapping[str, Sequence[_File]]) -> Iterator[str]:
    """Yield each directory with its number of files and tokens, those above it too."""
    sums: dict[str, list[int]] = {}
    for directory, found in by_directory.items():
        tokens, place = sum(each.tokens for each in found), directory
        while place:
            known = sums.setdefault(place, [0, 0])
            known[0] += len(found)
            known[1] += tokens
            place = place.rpartition("/")[0]
    for place in sorted(sums):
        count, tokens = sums[place]
        name = f"{'  ' * place.count('/')}{place.rpartition('/')[2]}/"
        yield f"{name:<40} {count:>5} files  {tokens:>9,} tokens"


def _modules(by_directory: Mapping[str, Sequence[_File]]) -> Iterator[str]:
    for directory in sorted(by_directory):
        yield f"### {directory or '.'}"
        yield ""
        yield "| file | bytes | tokens | about |"
        yield "| --- | --- | --- | --- |"
        for each in by_directory[directory]:
            name = each.name.rpartition("/")[2]
            yield f"| {name} | {each.size} | {each.tokens} | {each.about} |"
        yield ""


def _bounded(lines: Sequence[str]) -> Iterator[str]:
    """Yield lines while they fit the limit; say how many are left out."""
    left = MOST_BYTES - _MARGIN
    for number, line in enumerate(lines):
        left -= len(line.encode()) + 1
        if left < 0:
            yield f"({len(lines) - number:,} more lines are left out)"
            return
        yield line
