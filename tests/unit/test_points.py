"""Each point of the older codex-agent names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
SECTION = "## The older codex-agent, point by point"


def test_each_point_has_a_test_that_exists() -> None:
    text = (TESTS.parent / "docs" / "migration.md").read_text(encoding="utf-8")
    _, _, section = text.partition(SECTION)
    lines = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(lines) > 40
    for line in lines:
        named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", line)
        assert named, line
        for file, test in named:
            sources = [path.read_text() for path in TESTS.rglob(file)]
            assert any(f"def {test}" in source for source in sources), (file, test)
