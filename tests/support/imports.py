"""Reads which modules a source file imports, without importing it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("runner", "parsers")


def modules() -> dict[str, Path]:
    """Find the modules of the suite by their dotted names."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(p for p in parts if p != "__init__")] = path
    return found


@cache
def imports_of(path: Path, *, at_run_time: bool = True) -> frozenset[str]:
    """List what a file imports, `from a import b` as `a.b`.

    Args:
        path: A Python source.
        at_run_time: Leave out what stands under `if TYPE_CHECKING`.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(_names(tree, at_run_time=at_run_time))


def _names(node: ast.AST, *, at_run_time: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if at_run_time:
                for other in child.orelse:
                    yield from _names(other, at_run_time=True)
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{alias.name}" for alias in names)
            case _:
                yield from _names(child, at_run_time=at_run_time)
