"""The codebase map of a directory, written and found."""

import os
from pathlib import Path

import pytest
from support.agents import Agents
from support.repository import git, make_repository

from parsers.paths import Path as LightPath
from runner.errors import UsageError
from runner.prompt import code_map


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base"
    (path / "src").mkdir(parents=True)
    (path / "README.md").write_text("# A title\n")
    return path


def test_a_map_names_directories_files_and_its_commit(base: Path) -> None:
    root = make_repository(base.parent / "repo")
    (root / "src").mkdir()
    (root / "src/a.py").write_text('"""Add numbers | well."""\n\nimport os\n')
    (root / "src/b.bin").write_bytes(b"\0" * 8000)

    path = code_map.write(LightPath(str(root)), os.environ, is_forced=False)
    text = Path(path).read_text()
    head = git(root, "rev-parse", "HEAD").strip()
    assert f"commit: {head}" in text
    assert "total_files: 3" in text
    assert "| a.py | 37 | 9 | Add numbers \\| well. |" in text
    assert "| b.bin | 8000 | 2000 | binary |" in text
    assert "src/" in text.partition("## Modules")[0]
    found = code_map.find(LightPath(str(root)), os.environ)
    assert found is not None
    assert (found.name, found.text, found.age) == (code_map.NAME, text, None)

    git(root, "commit", "--quiet", "--allow-empty", "--message=Next")
    older = code_map.find(LightPath(str(root)), os.environ)
    assert older is not None
    assert older.age is not None
    assert older.age.startswith(f"it is of commit {head[:12]}, and HEAD is ")


def test_a_map_of_somebody_else_stays(base: Path) -> None:
    (base / "docs").mkdir()
    mine = base / code_map.NAME
    mine.write_text("# My map\n")

    with pytest.raises(UsageError, match="was not written by codex-agent map"):
        code_map.write(LightPath(str(base)), os.environ, is_forced=False)
    assert mine.read_text() == "# My map\n"
    code_map.write(LightPath(str(base)), os.environ, is_forced=True)
    code_map.write(LightPath(str(base)), os.environ, is_forced=False)
    assert "# Codebase Map" in mine.read_text()


def test_a_map_is_bounded_in_size(base: Path) -> None:
    for number in range(4000):
        (base / f"a-rather-long-name-of-a-file-{number}.txt").write_text("words " * 20)

    text = code_map.render(LightPath(str(base)), None)
    assert len(text.encode()) <= code_map.MOST_BYTES
    assert text.rstrip().endswith("more lines are left out)")


def test_a_map_that_a_link_leads_outside_for_is_no_map(base: Path) -> None:
    (base.parent / "outside.md").write_text("secret")
    (base / "docs").mkdir()
    (base / code_map.NAME).symlink_to(base.parent / "outside.md")

    assert code_map.find(LightPath(str(base)), os.environ) is None
    (base / "docs/ARCHITECTURE.md").write_text("the architecture")
    found = code_map.find(LightPath(str(base)), os.environ)
    assert found is not None
    assert (found.name, found.text) == ("docs/ARCHITECTURE.md", "the architecture")


def test_the_command_writes_the_map_and_keeps_that_of_somebody_else(
    agents: Agents, repo: Path
) -> None:
    said = agents("map", "-d", repo)
    assert (said.code, said.stdout) == (0, f"Wrote {repo / code_map.NAME}\n")
    assert agents("map", cwd=repo).code == 0
    (repo / code_map.NAME).write_text("# Mine\n")
    refused = agents("map", "-d", repo)
    assert refused.code == 2
    assert "--force replaces it" in refused.stderr
    assert (repo / code_map.NAME).read_text() == "# Mine\n"
    assert agents.told("map", "-d", repo, "--force")["path"]
    assert agents("map", "-d", repo / "none").code == 2
    odd = Path(os.fsdecode(os.fsencode(repo) + b"/\xff"))
    odd.mkdir()
    (odd / "a.txt").write_text("words\n")
    assert agents("map", "-d", repo).code == 0
    assert "| a.txt |" in (repo / code_map.NAME).read_text()
