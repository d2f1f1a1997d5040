"""A fresh machine: what bin/setup makes, when it makes it again, and what it says."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.imports import ROOT

from runner import bootstrap
from runner.bootstrap import CODEX_VERSION, SetupError, get_codex, make_environment

FAKE_NPM = """#!/bin/sh
# npm install --prefix DIR …
mkdir -p "$3/node_modules/.bin"
printf '#!/bin/sh\\necho codex-cli %s\\n' "$VERSION" >"$3/node_modules/.bin/codex"
chmod +x "$3/node_modules/.bin/codex"
echo called >>"$3/calls"
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep pip from the network; list what would have been installed."""
    calls: list[str] = []
    monkeypatch.setattr(bootstrap, "_install", lambda _, what: calls.append(what))
    monkeypatch.setattr(bootstrap, "_compile", lambda *_: None)
    run = bootstrap._run

    def make_venv(*argv: str | Path) -> None:
        # Without a real pip, whose installation takes two seconds.
        run(*argv, "--without-pip")
        (site,) = Path(argv[-1]).glob("lib/python*/site-packages")
        (site / "pip.py").touch()

    monkeypatch.setattr(bootstrap, "_run", make_venv)
    return calls


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    root.mkdir()
    (root / "pyproject.toml").write_text("[project]\n")
    return root


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("npm", "node"):
        (programs / name).write_text(FAKE_NPM)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("VERSION", CODEX_VERSION)
    return programs


def test_an_environment_is_made_once_and_renewed_with_the_project(
    checkout: Path, installed: list[str]
) -> None:
    make_environment(checkout, for_tests=False)
    make_environment(checkout, for_tests=False)
    assert installed == [str(checkout)]

    made = (checkout / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    make_environment(checkout, for_tests=True)
    make_environment(checkout, for_tests=False)
    assert installed == [str(checkout), f"{checkout}[test]"]

    (checkout / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    make_environment(checkout, for_tests=False)
    assert installed[2:] == [f"{checkout}[test]"]
    # A run that is at work in it is not disturbed: nothing has been cleared.
    assert (checkout / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == made

    (checkout / ".venv" / "bin" / "python").unlink()
    make_environment(checkout, for_tests=False)
    assert len(installed) == 4
    assert (checkout / ".venv" / "bin" / "python").exists()


def test_an_installation_that_failed_is_tried_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, installed: list[str]
) -> None:
    def refuse(*_: object) -> None:
        raise SetupError

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "_install", refuse)
        with pytest.raises(SetupError):
            make_environment(checkout, for_tests=False)
    make_environment(checkout, for_tests=False)

    assert installed == [str(checkout)]


@pytest.mark.usefixtures("fake_npm")
def test_codex_is_got_once(checkout: Path) -> None:
    codex = get_codex(checkout)
    get_codex(checkout)

    assert os.access(codex, os.X_OK)
    calls = checkout / ".codex-bin" / "calls"
    assert calls.read_text() == "called\n"


@pytest.mark.usefixtures("fake_npm")
def test_another_version_of_codex_is_replaced(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("VERSION", "0.1.0")
        with pytest.raises(SetupError, match=r"0\.1\.0"):
            get_codex(checkout)
    get_codex(checkout)

    calls = checkout / ".codex-bin" / "calls"
    assert calls.read_text().count("called") == 2


def test_without_npm_it_says_what_is_needed(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(checkout))

    with pytest.raises(SetupError, match=r"npm and node are required .*CODEX_E2E_BIN"):
        get_codex(checkout)


def test_a_tool_that_fails_is_named() -> None:
    with pytest.raises(SetupError, match="ended with 3"):
        bootstrap._run("/bin/sh", "-c", "exit 3")


def test_two_at_once_take_turns(
    checkout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def second() -> None:
        with bootstrap._alone(checkout):
            order.append("second")

    with bootstrap._alone(checkout):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]
    assert "waiting for another setup" in capfd.readouterr().err


def test_without_a_python_setup_says_so(tmp_path: Path) -> None:
    for name in ("sh", "dirname"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)

    done = subprocess.run(
        [ROOT / "bin" / "setup"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or newer is needed")


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Path:
    """Copy bin/ to a checkout that has no .venv yet."""
    shutil.copytree(ROOT / "bin", tmp_path / "bare" / "bin")
    return tmp_path / "bare"


def started(command: Path, *arguments: str, cwd: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [command, *arguments], capture_output=True, text=True, check=False, cwd=cwd
    )
    return done.returncode, done.stdout, done.stderr.strip()


def test_a_command_that_is_not_installed_says_how_to(
    bare_checkout: Path, tmp_path: Path
) -> None:
    command = bare_checkout / "bin" / "run_codex_task"

    code, _, words = started(command, "--help", cwd=tmp_path)

    assert code == 1
    assert words == f"run_codex_task: not installed yet; run {command.parent}/setup"


@pytest.mark.parametrize("target", ["absolute", "relative", "twice"])
def test_a_link_to_a_command_works(tmp_path: Path, target: str) -> None:
    command = ROOT / "bin" / "run_codex_task"
    link = tmp_path / "elsewhere" / "rct"
    link.parent.mkdir()
    if target == "twice":
        (tmp_path / "middle").symlink_to(command)
        link.symlink_to("../middle")
    else:
        way = os.path.relpath(command, link.parent)
        link.symlink_to(command if target == "absolute" else way)

    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip(f"these tests are run by {sys.executable}, not by .venv")
    code, out, _ = started(link, "--version", cwd=tmp_path)

    assert code == 0
    assert out.startswith("run_codex_task ")


def test_a_wrong_option_is_answered_in_the_commands_name(tmp_path: Path) -> None:
    code, _, words = started(
        ROOT / "bin" / "run_codex_task", "--nonsense", cwd=tmp_path
    )

    assert code == 2
    error, fix = words.splitlines()
    assert error == "error: unrecognized arguments: --nonsense"
    assert fix == "fix:   run_codex_task --help"
