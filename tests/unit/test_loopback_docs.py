from support.imports import ROOT

from runner.loopback.scripted import NAMES, TOOLS
from runner.loopback.scripted import __doc__ as reference

PAGE = (ROOT / "docs" / "loopback.md").read_text()


def test_every_directive_is_documented_where_people_look() -> None:
    assert reference is not None
    for name in NAMES:
        assert f"`{name}" in PAGE
        assert f"\n{name}" in reference


def test_every_tool_is_a_directive() -> None:
    assert set(TOOLS) <= set(NAMES)
