"""Each way to install the suite: its commands start, also beside another `runner`."""

import fcntl
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pip import __file__ as pip_init
from support.commands import rows_of
from support.imports import PACKAGES, ROOT

from runner.cli.main import COMMANDS
from runner.version import VERSION

NEWER = "99.0"
DEBIAN = "/usr/bin/python3"
BUILD = """
from setuptools import build_meta
build_meta.build_wheel("../plain")
build_meta.build_editable("../finder")
build_meta.build_editable("../compat", {"editable_mode": "compat"})
"""
# What a command of the copy writes to stderr when it loads its version.
REPORT = """
import json, sys
facts = [sys.flags.isolated, sys.flags.no_site, "site" in sys.modules]
sys.stderr.write(json.dumps([facts, sys.argv, sys.path]) + "\\n")
"""
FAST = [1, 1, False]
WITH_SITE = [1, 1, True]
BY_PIP = [0, 0, True]


def run(*argv: str | Path, cwd: Path | None = None, home: Path | None = None) -> None:
    """Run a tool as its user would, without network."""
    environment = {
        **{name: os.environ[name] for name in os.environ if name[:6] != "PYTHON"},
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "PIP_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        **({"HOME": str(home)} if home else {}),
    }
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build once for all workers, from a copy that reports and needs no library."""
    if int(importlib.metadata.version("setuptools").partition(".")[0]) < 77:
        pytest.skip("an older setuptools is in .venv: run bin/setup --test")
    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (place / "wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (place / "source").exists():
            return place
        for package in (*PACKAGES, "bin"):
            shutil.copytree(ROOT / package, place / "source" / package)
        project = (ROOT / "pyproject.toml").read_text()
        project = re.sub(r"(?s)\ndependencies = \[.*?\n\]", "", project)
        (place / "source" / "pyproject.toml").write_text(project)
        shutil.copy(ROOT / "README.md", place / "source")
        with (place / "source" / "runner" / "version.py").open("a") as module:
            module.write(REPORT)
        run(sys.executable, "-c", BUILD, cwd=place / "source")
    return place


def wheel_in(place: Path) -> Path:
    (wheel,) = place.glob("*.whl")
    return wheel


@pytest.fixture
def wheel(wheels: Path) -> Path:
    return wheel_in(wheels / "plain")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Make a directory with packages of the suite's names."""
    for package in PACKAGES:
        (tmp_path / "theirs" / package).mkdir(parents=True)
        init = tmp_path / "theirs" / package / "__init__.py"
        init.write_text("raise SystemExit('theirs')\n")
    return tmp_path / "theirs"


@pytest.fixture(
    params=[getattr(sys, "_base_executable", sys.executable), DEBIAN],
    ids=["own", "debian"],
)
def python(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    if not Path(found).exists() or subprocess.call([found, "-c", check]) != 0:
        pytest.skip(f"{found} is not there, or older than 3.11")
    return found


def tool(name: str) -> Path:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not in .venv: run bin/setup --test")
    return path


def install(python: Path | str, *arguments: str | Path, home: Path) -> None:
    # What `pip --python` executes, without loading pip twice.
    pip = Path(pip_init).with_name("__pip-runner__.py")
    run(python, pip, "install", "--no-deps", "--no-compile", *arguments, home=home)


def make_venv(place: Path, wheel: Path, *options: str, python: str = "") -> Path:
    """Make a virtual environment with a wheel; give its bin/."""
    run(python or sys.executable, "-m", "venv", "--without-pip", *options, place)
    install(place / "bin" / "python", wheel, home=place)
    return place / "bin"


class Report:
    """What a command said, and how its Python was started."""

    def __init__(
        self, argv: list[str | Path], cwd: Path, home: Path, path: Path
    ) -> None:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": str(path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        first, _, self.stderr = done.stderr.partition("\n")
        self.code, self.stdout = done.returncode, done.stdout
        assert first.startswith("["), done.stderr
        self.start, self.argv, self.path = json.loads(first)


def starts(place: Path, theirs: Path, home: Path, path: Path | None = None) -> object:
    """Start each command for its version; give how Python was started for all."""
    reports = [
        Report([place / name, "--version"], theirs, home, path or theirs)
        for name in COMMANDS
    ]
    assert [each.stdout for each in reports] == [f"{c} {VERSION}\n" for c in COMMANDS]
    assert {each.code for each in reports} == {0}
    (first, *others) = (each.start for each in reports)
    assert others == [first] * len(others)
    return first


def test_in_a_virtual_environment_also_in_a_moved_one_and_by_a_link(
    wheel: Path, theirs: Path, home: Path, tmp_path: Path, python: str
) -> None:
    place = tmp_path / "an environment"
    assert starts(make_venv(place, wheel, python=python), theirs, home) == FAST

    place = place.rename(tmp_path / "an environment that was moved")
    assert starts(place / "bin", theirs, home) == FAST

    (tmp_path / "links").mkdir()
    for name in COMMANDS:
        (tmp_path / "links" / name).symlink_to(
            os.path.relpath(place, home) / Path("bin", name)
        )
    assert starts(tmp_path / "links", theirs, home) == FAST


def test_arguments_and_the_exit_code_are_passed_and_paths_are_absolute(
    wheel: Path, theirs: Path, home: Path, tmp_path: Path
) -> None:
    make_venv(tmp_path / "venv", wheel)
    words = ["a  b", "", "*", "'\"$HOME\\"]

    fixes = {
        "run_codex_task": "fix:   run_codex_task --help",
        "parse_codex_run": "fix:   parse_codex_run --help",
    }
    for command, fix in fixes.items():
        said = Report([f"bin/{command}", *words], tmp_path / "venv", home, theirs)

        assert (said.start, said.argv) == (FAST, [command, *words])
        assert said.code == 2
        assert [line[:7] for line in said.stderr.splitlines()] == ["error: ", fix[:7]]
        assert said.stderr.endswith(f"\n{fix}\n")
        assert all(map(os.path.isabs, said.path))


@pytest.mark.parametrize("mode", ["finder", "compat"])
def test_as_editable(
    wheels: Path, theirs: Path, home: Path, tmp_path: Path, mode: str
) -> None:
    place = make_venv(tmp_path / "venv", wheel_in(wheels / mode))

    assert starts(place, theirs, home) == WITH_SITE


def test_libraries_of_the_system_and_the_user_are_found_where_they_are_allowed(
    wheel: Path, theirs: Path, home: Path, tmp_path: Path
) -> None:
    place = make_venv(tmp_path / "venv", wheel, "--system-site-packages")
    version = "python{}.{}".format(*sys.version_info)
    users = home / ".local" / "lib" / version / "site-packages"
    users.mkdir(parents=True)

    said = Report([place / "codex-tasks", "--version"], theirs, home, theirs)

    assert (said.start, said.code) == (WITH_SITE, 0)
    assert str(users) in said.path
    assert starts(place, theirs, home) == WITH_SITE


@pytest.mark.parametrize("option", ["--user", "--prefix", "--target"])
def test_outside_of_a_virtual_environment_by_the_script_of_pip(
    wheel: Path, theirs: Path, home: Path, python: str, option: str
) -> None:
    where = () if option == "--user" else (home / "a place",)
    install(python, option, *where, wheel, home=home)
    (script,) = home.rglob("bin/run_codex_task")
    (package,) = home.rglob("*/runner/cli")

    # Python itself does not look into the last two.
    path = home if option == "--user" else package.parents[1]
    assert starts(script.parent, theirs, home, path) == BY_PIP


def test_by_pipx(wheel: Path, theirs: Path, home: Path) -> None:
    run(tool("pipx"), "install", wheel, home=home)

    assert starts(home / ".local" / "bin", theirs, home) == FAST


def test_by_uv_tool(wheel: Path, theirs: Path, home: Path) -> None:
    run(tool("uv"), "tool", "install", "--python", sys.executable, wheel, home=home)

    assert starts(home / ".local" / "bin", theirs, home) == FAST


def test_by_uv_as_links_to_its_cache(
    wheel: Path, theirs: Path, home: Path, tmp_path: Path
) -> None:
    uv, venv = tool("uv"), tmp_path / "venv"
    run(uv, "venv", "--python", sys.executable, venv, home=home)
    how = ("--link-mode", "symlink", "--python", venv)
    run(uv, "pip", "install", *how, wheel, home=home)

    assert starts(venv / "bin", theirs, home, home) == BY_PIP


def test_uninstall_becomes_the_installer(
    wheel: Path, theirs: Path, home: Path, tmp_path: Path
) -> None:
    uv, venv = tool("uv"), tmp_path / "venv"
    run(uv, "venv", "--python", sys.executable, venv, home=home)
    run(uv, "pip", "install", "--python", venv, wheel, home=home)
    command = venv / "bin" / "codex-tasks"

    done = subprocess.run(
        [command, "uninstall", "--purge"],
        cwd=theirs,
        env={"HOME": str(home), "PATH": str(uv.parent), "UV_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert f"uv pip uninstall --python {venv}/bin/python" in done.stderr
    assert not command.exists()
    assert not [*venv.rglob("runner")]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["pipx", "install"], "pipx uninstall codex-runner"),
        (["uv", "tool", "install"], "uv tool uninstall codex-runner"),
    ],
)
def test_uninstall_leaves_neither_a_command_nor_a_timer(
    wheel: Path, home: Path, argv: list[str], words: str
) -> None:
    program, *options = argv
    run(tool(program), *options, "--python", sys.executable, wheel, home=home)
    systemctl = home / "systemctl"
    systemctl.touch(0o700)
    path = f"{tool(program).parent}:{home}:{os.defpath}"

    def tasks(*words: str) -> str:
        done = subprocess.run(
            [home / ".local/bin/codex-tasks", *words],
            cwd=home,
            env={"HOME": str(home), "PATH": path, "UV_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    tasks("install-timer")
    said = tasks("uninstall", "--purge")

    assert words in said
    assert not [*home.rglob("codex-timer*"), *(home / ".local/bin").iterdir()]


# Waits for the file that its prompt names, and answers with it.
WAITING = """\
#!/bin/sh
prompt=$(cat)
id=$(cat /proc/sys/kernel/random/uuid)
echo '{"type":"thread.started","thread_id":"'$id'"}'
echo '{"type":"turn.started"}'
while [ ! -e "$prompt" ]; do sleep 0.2; done
item='"id":"1","type":"agent_message","text":"'$prompt'"'
echo '{"type":"item.completed","item":{'$item'}}'
echo '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}'
"""


def test_the_skill_is_in_the_wheel_byte_for_byte(wheel: Path) -> None:
    name = "runner/skills/codex-runner/SKILL.md"
    with zipfile.ZipFile(wheel) as made:
        assert made.read(name) == (ROOT / name).read_bytes()


def newer(wheel: Path, place: Path) -> Path:
    """Make the wheel of a newer version, with the same modules."""
    place.mkdir()
    made = place / wheel.name.replace(VERSION, NEWER)
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(made, "w") as new:
        for each in old.infolist():
            data = old.read(each)
            if each.filename.endswith(("METADATA", "RECORD", "runner/version.py")):
                data = data.replace(VERSION.encode(), NEWER.encode())
            each.filename = each.filename.replace(VERSION, NEWER)
            new.writestr(each, data)
    return made


def test_runs_go_on_while_the_suite_is_upgraded_and_downgraded(
    wheel: Path,
    home: Path,
    environment: dict[str, str],
    repo: Path,
    tmp_path: Path,
) -> None:
    codex = tmp_path / "codex"
    codex.write_text(WAITING)
    codex.chmod(0o700)
    place = make_venv(tmp_path / "venv", wheel)

    def tasks(*words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [place / "codex-tasks", *words],
            cwd=repo,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def said(command: subprocess.Popen[str]) -> str:
        out, err = command.communicate(timeout=120)
        assert command.returncode == 0, err
        return out.strip()

    prompts = [str(tmp_path / ("first" if n % 2 else "second")) for n in range(20)]
    # The first one writes the byte code for all.
    ids = [said(tasks("start", "--codex-bin", codex, prompts[0]))]
    others = [tasks("start", "--codex-bin", codex, prompt) for prompt in prompts[1:]]
    ids += map(said, others)

    install(place / "python", "--upgrade", newer(wheel, tmp_path / "new"), home=home)
    (tmp_path / "first").touch()
    said(tasks("status", "--wait", *ids[1::2]))
    assert said(tasks("--version")) == f"codex-tasks {NEWER}"
    install(place / "python", wheel, home=home)
    (tmp_path / "second").touch()
    said(tasks("status", "--wait", *ids[::2]))

    assert said(tasks("--version")) == f"codex-tasks {VERSION}"
    report = rows_of(said(tasks("status", "--json", *ids)))
    ends = [(each["outcome"], each["last_result"]) for each in report]
    assert ends == [("succeeded", prompt) for prompt in prompts]
    said(tasks("verify"))
