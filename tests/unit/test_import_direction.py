"""Imports point one way, and each effect has one owner."""

import sys
from graphlib import TopologicalSorter

import pytest
from support.imports import imports_of, modules

# Bottom to top. What is not named stands in the middle, between model and service.
MIDDLE = 2
LAYERS = {
    "errors": 0,
    "version": 0,
    "model": 1,
    "clock": 1,
    "config": 1,
    "service": 3,
    "interactive": 4,
    "coordinator": 5,
    "cli": 6,
}
# Programs of their own: they import nothing of the rest of the suite.
ALONE = ("runner.loopback", "runner.bootstrap")
OWNERS = {
    "sqlite3": ("runner.ledger",),
    "subprocess": ("runner.process", "runner.bootstrap"),
    "multiprocessing": (),
    "plumbum": ("runner.process",),
    "psutil": ("runner.process.table",),
    "pty": (),
    "http.server": ("runner.loopback", "runner.coordinator"),
    "socketserver": ("runner.loopback", "runner.coordinator"),
    "genai_prices": ("parsers.accounting.prices",),
    "rich": ("runner.cli",),
}
MODULES = modules()
IMPORTS = {name: imports_of(path) for name, path in MODULES.items()}


def layer(module: str) -> int:
    parts = module.split(".")
    return LAYERS.get(parts[1], MIDDLE) if len(parts) > 1 else 0


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def target(imported: str) -> str | None:
    """Name the module of ours that an import loads, if it is one."""
    while imported and imported not in MODULES:
        imported = imported.rpartition(".")[0]
    return imported or None


def ours(module: str) -> set[str]:
    found = {target(imported) for imported in IMPORTS[module]}
    return {name for name in found if name is not None and name != module}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_import_points_up(module: str) -> None:
    if is_in(module, "runner"):
        lower = {name for name in ours(module) if is_in(name, "runner")}
        assert {name for name in lower if layer(name) > layer(module)} == set()


@pytest.mark.parametrize("module", sorted(m for m in MODULES if is_in(m, "parsers")))
def test_parsers_know_nothing_of_the_runner(module: str) -> None:
    everything = imports_of(MODULES[module], at_run_time=False)

    assert {name for name in everything if is_in(name, "runner")} == set()


@pytest.mark.parametrize("package", ALONE)
def test_programs_of_their_own_stand_alone(package: str) -> None:
    inside = [module for module in MODULES if is_in(module, package)]
    assert inside

    for module in inside:
        assert all(is_in(name, package) for name in ours(module)), module


def test_nothing_imports_in_a_circle() -> None:
    graph = {module: ours(module) for module in MODULES}

    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_each_effect_has_one_owner(library: str) -> None:
    users = {
        module
        for module, imported in IMPORTS.items()
        if any(is_in(name, library) for name in imported)
    }

    strangers = {m for m in users if not any(is_in(m, o) for o in OWNERS[library])}
    assert strangers == set()


def test_nobody_imports_the_tests() -> None:
    everything = {name for imported in IMPORTS.values() for name in imported}

    assert not any(is_in(name, t) for name in everything for t in ("tests", "support"))


def test_only_declared_packages_are_imported() -> None:
    known = {"genai_prices", "jsonlines", "plumbum", "psutil", "rich"}
    known |= {"runner", "parsers"}
    everything = {n.partition(".")[0] for names in IMPORTS.values() for n in names}

    assert everything - sys.stdlib_module_names <= known
