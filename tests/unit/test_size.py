"""The product stays small: short functions, few units at the top."""

import ast
from pathlib import Path

from support.imports import ROOT, modules

LONGEST_OF_NINE_IN_TEN = 30
MOST_UNITS = 30
LONGEST_MODULE = 400


def lengths_of_functions(path: Path) -> list[int]:
    """Count the lines of each function, from its `def` to its end."""
    return [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_nine_functions_in_ten_have_at_most_30_lines() -> None:
    lengths = sorted(
        length for path in modules().values() for length in lengths_of_functions(path)
    )

    assert lengths[len(lengths) * 9 // 10] <= LONGEST_OF_NINE_IN_TEN


def test_the_runner_has_at_most_30_units() -> None:
    units = [
        path
        for path in (ROOT / "runner").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    ]

    assert len(units) <= MOST_UNITS


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {
        name: len(path.read_text(encoding="utf-8").splitlines())
        for name, path in modules().items()
    }

    assert {name for name in lengths if lengths[name] > LONGEST_MODULE} == set()
