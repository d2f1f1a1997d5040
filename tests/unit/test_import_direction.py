"""Imports point one way, level by level, and each effect has one owner."""

import re
import sys
from graphlib import TopologicalSorter

import pytest
from support.imports import ROOT, imports_of, modules

# Top to bottom: a module imports of the lines below its own. The names in one line do
# not import each other. Not all of them exist yet.
LEVELS = [
    ("__main__",),
    ("cli",),
    ("coordinator",),
    ("service",),
    ("supervisor",),
    ("conversations",),
    ("lifecycle",),
    ("exports", "accounting"),
    ("foreign", "notify", "tail", "codex", "prompt"),
    ("ledger", "git", "tmux", "config_files", "arrivals"),
    ("process", "files", "run_files", "locks"),
    ("model", "config"),
    ("clock", "errors", "terms", "version"),
]
# Programs of their own: they import nothing of the rest of the suite.
ALONE = ("loopback", "skills", "bootstrap")
OWNERS = {
    "sqlite3": ("runner.ledger",),
    "subprocess": ("runner.process", "runner.bootstrap"),
    "multiprocessing": (),
    "plumbum": ("runner.process",),
    "psutil": ("runner.process.table",),
    "pty": (),
    "http.server": ("runner.loopback", "runner.coordinator"),
    "socketserver": ("runner.loopback", "runner.coordinator"),
    "genai_prices": ("parsers.accounting.price_table",),
}
MODULES = modules()


def unit_of(module: str) -> str:
    """Name the package or module of `runner` that a module belongs to."""
    return module.split(".")[1]


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def target(imported: str) -> str | None:
    """Name the module of ours that an import loads, if it is one."""
    while imported and imported not in MODULES:
        imported = imported.rpartition(".")[0]
    return imported or None


def ours(module: str, *, at_run_time: bool = True) -> set[str]:
    everything = imports_of(MODULES[module], at_run_time=at_run_time)
    found = {target(imported) for imported in everything}
    return {name for name in found if name is not None and name != module}


UNITS = sorted({unit_of(name) for name in MODULES if name.startswith("runner.")})


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_on_one_level(unit: str) -> None:
    places = [*ALONE, *(name for level in LEVELS for name in level)]

    assert places.count(unit) == 1


@pytest.mark.parametrize(
    "number", range(len(LEVELS)), ids=lambda at: "+".join(LEVELS[at])
)
def test_a_level_imports_of_the_levels_below_it(number: int) -> None:
    below = {name for level in LEVELS[number + 1 :] for name in level}
    # The examples of the command line run against the loopback server.
    allowed = below | ({"loopback"} if "cli" in LEVELS[number] else set())
    upward = {
        f"{module} imports {name}"
        for module in MODULES
        if module.startswith("runner.") and unit_of(module) in LEVELS[number]
        for name in ours(module, at_run_time=False)
        if name.startswith("runner.")
        and unit_of(name) not in {unit_of(module), *allowed}
    }

    assert upward == set()


def test_the_architecture_draws_the_levels_that_exist() -> None:
    text = " ".join((ROOT / "docs" / "architecture.md").read_text().split())
    drawn = re.search(r"`(__main__ →[^`]+)`", text)

    assert drawn is not None
    levels = [set(re.findall(r"\w+", level)) for level in drawn[1].split("→")]
    existing = [set(level) & set(UNITS) for level in LEVELS]
    assert levels == [level for level in existing if level]


def test_what_is_in_bin_starts_the_command_line_or_the_bootstrap() -> None:
    named = {
        name
        for path in (ROOT / "bin").iterdir()
        for name in re.findall(r"\brunner[./](\w+)", path.read_text())
    }

    assert named <= {"cli", "bootstrap"}


@pytest.mark.parametrize("module", sorted(m for m in MODULES if is_in(m, "parsers")))
def test_parsers_know_nothing_of_the_runner(module: str) -> None:
    everything = imports_of(MODULES[module], at_run_time=False)

    assert {name for name in everything if is_in(name, "runner")} == set()


@pytest.mark.parametrize("package", ALONE)
def test_programs_of_their_own_stand_alone(package: str) -> None:
    for module in MODULES:
        if is_in(module, f"runner.{package}"):
            strangers = {n for n in ours(module) if not is_in(n, f"runner.{package}")}
            assert strangers == set(), module


def test_nothing_imports_in_a_circle() -> None:
    graph = {module: ours(module) for module in MODULES}

    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_each_effect_has_one_owner(library: str) -> None:
    users = {
        module
        for module, path in MODULES.items()
        if any(is_in(name, library) for name in imports_of(path))
    }

    strangers = {m for m in users if not any(is_in(m, o) for o in OWNERS[library])}
    assert strangers == set()


def test_no_module_imports_the_tests() -> None:
    everything = {name for path in MODULES.values() for name in imports_of(path)}

    assert not any(is_in(name, t) for name in everything for t in ("tests", "support"))


def test_only_declared_packages_are_imported() -> None:
    known = {"genai_prices", "jsonlines", "pathspec", "plumbum", "psutil"}
    known |= {"runner", "parsers"}
    everything = {name for path in MODULES.values() for name in imports_of(path)}

    packages = {name.partition(".")[0] for name in everything}
    assert packages - sys.stdlib_module_names <= known
