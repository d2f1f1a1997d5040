"""A prompt is assembled of a map, the user's text, files and constraints."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.paths import Path as LightPath
from runner.errors import UsageError
from runner.prompt import assembly, attached
from runner.prompt.attached import MOST_BYTES, MOST_FILES, Attached


def attach(base: Path, *globs: str) -> Attached:
    return attached.attach(LightPath(str(base)), globs)


def names(found: Attached) -> list[str]:
    return [name for name, _ in found.texts]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Make a directory with sources, and what must not be found."""
    path = tmp_path / "base"
    for name in (
        *("README.md", "src/a.py", "src/b.py", "src/deep/er/c.py"),
        *("node_modules/x/i.js", "dist/x.js", ".git/config", ".codex/auth.json"),
        *(".venv/lib.py", "src/__pycache__/a.pyc", ".next/x.js"),
    ):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(f"text of {name}\n")
    return path


def test_a_star_stays_in_its_directory_and_two_do_not(base: Path) -> None:
    assert names(attach(base, "src/*.py")) == ["src/a.py", "src/b.py"]
    assert names(attach(base, "src/**/*.py")) == [
        *("src/a.py", "src/b.py", "src/deep/er/c.py"),
    ]
    assert names(attach(base, "*")) == ["README.md"]
    assert names(attach(base, "**")) == [
        *("README.md", "src/a.py", "src/b.py", "src/deep/er/c.py"),
    ]
    assert names(attach(base, "src/deep")) == ["src/deep/er/c.py"]


@pytest.mark.parametrize("globs", [("!src/a.py", "src/*"), ("src/*", "!src/a.py")])
def test_what_is_excluded_is_out_whatever_the_order(
    base: Path, globs: tuple[str, ...]
) -> None:
    assert names(attach(base, *globs)) == ["src/b.py"]


@pytest.mark.parametrize(
    "glob",
    ["../secret", "/etc/passwd", "src/../../secret", "node_modules/**", ".git/*"],
)
def test_nothing_outside_or_excluded_is_found(base: Path, glob: str) -> None:
    (base.parent / "secret").write_text("secret")

    found = attach(base, glob)
    assert (names(found), found.skipped) == ([], (f"{glob}: no file matches",))


def test_a_link_that_leads_outside_is_skipped_by_name(base: Path) -> None:
    (base.parent / "secret").write_text("secret")
    (base / "src/link.py").symlink_to(base.parent / "secret")
    (base / "src/inside.py").symlink_to(base / "README.md")
    (base / "other").symlink_to(base.parent)

    found = attach(base, "src/*.py", "other/**")
    assert names(found) == ["src/a.py", "src/b.py", "src/inside.py"]
    assert found.skipped == (
        "src/link.py: it is outside of the directory",
        "other/**: no file matches",
    )


def test_what_cannot_be_text_is_skipped_by_name(base: Path) -> None:
    (base / "nul.bin").write_bytes(b"a\0b")
    (base / "latin.txt").write_bytes("ä".encode("latin-1"))
    (base / "large.txt").write_bytes(b"x" * (MOST_BYTES + 1))
    (base / "most.txt").write_bytes(b"x" * MOST_BYTES)
    os.mkfifo(base / "pipe.txt")

    found = attach(base, "*.bin", "*.txt")
    assert names(found) == ["most.txt"]
    assert found.skipped == (
        "large.txt: it is larger than 500 kB",
        "latin.txt: it is binary",
        "nul.bin: it is binary",
    )


def test_what_git_ignores_is_not_found_above_and_below(base: Path) -> None:
    (base / ".gitignore").write_text("*.log\nbuild/\n")
    (base / "src/.gitignore").write_text("/b.py\n!keep.log\n")
    for name in ("x.log", "src/x.log", "src/keep.log", "build/y.py", "src/build/z.py"):
        (base / name).parent.mkdir(exist_ok=True)
        (base / name).write_text("x")

    assert names(attach(base, "src/**")) == [
        *("src/.gitignore", "src/a.py", "src/deep/er/c.py", "src/keep.log"),
    ]
    assert names(attach(base / "src", "*.log", "*.py")) == ["a.py", "keep.log"]
    assert names(attach(base, "build/**")) == []


def test_too_many_files_are_refused_with_the_figure(base: Path) -> None:
    for number in range(MOST_FILES + 1):
        (base / f"f{number}.txt").write_text("x")

    with pytest.raises(UsageError) as refused:
        attach(base, "*.txt")
    assert "--file matches 201 files, 200 are the most" in str(refused.value)
    assert len(names(attach(base, "*.txt", "!f0.txt"))) == MOST_FILES


def test_the_parts_have_their_order_and_are_byte_equal(base: Path) -> None:
    (base / "fence.md").write_text("```\ncode\n```")

    made = assembly.assemble(
        "Do it.\r\n\tNow", attach(base, "fence.md", "README.md"), ("M", "the map")
    )
    assert made.text.startswith(
        "## Codebase Map\n\nthe map\n\n---\n\nDo it.\r\n\tNow\n\n---\n\n"
        "## File Context\n\n### README.md\n\n```md\ntext of README.md\n```\n\n"
        "### fence.md\n\n````md\n```\ncode\n```\n````\n\n"
    )
    assert made.text.count("</context_loading>") == 1
    assert made.constraints == ("design_and_scope_constraints", "context_loading")
    assert made.tokens == -(-len(made.text) // 4)


@given(st.text())
def test_without_constraints_the_prompt_is_unchanged(text: str) -> None:
    assert assembly.assemble(text, is_constrained=False).text == text


@given(st.text(min_size=1), st.booleans())
def test_a_prompt_that_is_assembled_twice_is_unchanged(
    text: str,
    has_map: bool,  # noqa: FBT001
) -> None:
    parts = Attached(texts=(("a.py", "x = 1"),))
    code = ("docs/CODEBASE_MAP.md", "map") if has_map else None
    once = assembly.assemble(text, parts, code)

    again = assembly.assemble(once.text, parts, code)
    assert (again.text, again.constraints) == (once.text, ())


def test_a_block_of_the_user_wins_but_not_one_of_a_file() -> None:
    own = "<context_loading>\nmine\n</context_loading>"
    parts = Attached(texts=(("a.md", "<design_and_scope_constraints>"),))

    made = assembly.assemble(own, parts, ("M", own))
    assert made.constraints == ("design_and_scope_constraints",)
    assert assembly.CONSTRAINTS["context_loading"] not in made.text
    assert made.text.count(assembly.CONSTRAINTS["design_and_scope_constraints"]) == 1


def test_what_is_longer_than_codex_accepts_is_refused() -> None:
    most = "x" * assembly.MOST_CHARACTERS

    assert assembly.assemble(most, is_constrained=False).text == most
    with pytest.raises(UsageError, match="has 1,048,577 characters, Codex accepts"):
        assembly.assemble(f"{most}x", is_constrained=False)
