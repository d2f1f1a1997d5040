"""What ends a run is read in /proc/self/cgroup, on many systems, and in files."""

import os
import sys
from pathlib import Path

import pytest
from support.runs import settings

from runner.cli import codex_tasks
from runner.errors import UsageError
from runner.service import containment
from runner.service.containment import (
    contained,
    enter_scope,
    look,
    units_of,
    warning,
)

SSH = "0::/user.slice/user-1000.slice/session-3.scope\n"
SSH_HYBRID = """\
12:cpuset:/
4:memory:/user.slice/user-1000.slice/session-2.scope
1:name=systemd:/user.slice/user-1000.slice/session-2.scope
0::/user.slice/user-1000.slice/session-2.scope
"""
CRON_DEBIAN = "0::/system.slice/cron.service\n"
CRON_FEDORA = "0::/user.slice/user-1000.slice/session-c12.scope\n"
BACKUP = "0::/system.slice/backup.service\n"
RUNNER = "0::/system.slice/actions.runner.service\n"
MANAGER = "0::/user.slice/user-1000.slice/user@1000.service"
GNOME = f"{MANAGER}/app.slice/app-org.gnome.Terminal.slice/vte-spawn-8f6e1a52.scope\n"
OWN_SERVICE = f"{MANAGER}/app.slice/nightly.service\n"
SCOPE = f"{MANAGER}/app.slice/run-r1b2c.scope/codex-run-20261120-101201-512345-9f3a1c07"
ROOT_SCOPE = "0::/system.slice/run-r1b2c.scope\n"
DOCKER = "0::/\n"
DOCKER_V1 = """\
11:devices:/docker/3f1c0a8d5b6e
1:name=systemd:/docker/3f1c0a8d5b6e
0::/system.slice/containerd.service
"""
WSL = "0::/init.scope\n"
NO_SYSTEMD = "9:name=systemd:/\n8:pids:/\n4:memory:/tasks/30d2\n0::/\n"

LEAVES = "--scope starts it in a unit of its own"
KEPT = f"{LEAVES}, loginctl enable-linger keeps that after logout"
Facts = dict[str, str | bool]
USUAL: Facts = {
    "kill_mode": "control-group",
    "kills_at_logout": False,
    "lingers": False,
}
MODE_PROCESS: Facts = {"kill_mode": "process"}
AT_LOGOUT: Facts = {"kills_at_logout": True}
LINGERS: Facts = {"lingers": True}


@pytest.mark.parametrize(
    ("text", "facts", "end", "fix"),
    [
        (SSH, USUAL, None, None),
        (SSH, AT_LOGOUT, "at logout (KillUserProcesses=yes)", KEPT),
        (SSH_HYBRID, AT_LOGOUT, "at logout (KillUserProcesses=yes)", KEPT),
        (
            SSH,
            {**AT_LOGOUT, **LINGERS},
            "at logout (KillUserProcesses=yes)",
            LEAVES,
        ),
        (CRON_DEBIAN, MODE_PROCESS, None, None),
        (CRON_FEDORA, USUAL, None, None),
        (CRON_FEDORA, AT_LOGOUT, "at logout (KillUserProcesses=yes)", KEPT),
        (
            BACKUP,
            USUAL,
            "when the service backup.service ends (KillMode=control-group)",
            KEPT,
        ),
        (
            BACKUP,
            {**LINGERS, "kill_mode": "mixed"},
            "when the service backup.service ends (KillMode=mixed)",
            LEAVES,
        ),
        (
            RUNNER,
            LINGERS,
            "when the service actions.runner.service ends (KillMode=control-group)",
            LEAVES,
        ),
        (
            GNOME,
            USUAL,
            "with your last login session, as everything of user@1000.service",
            "loginctl enable-linger keeps it",
        ),
        (GNOME, LINGERS, None, None),
        (
            OWN_SERVICE,
            LINGERS,
            "when the service nightly.service ends (KillMode=control-group)",
            LEAVES,
        ),
        (SCOPE, LINGERS, None, None),
        (ROOT_SCOPE, LINGERS, None, None),
        (DOCKER, USUAL, None, None),
        (DOCKER_V1, USUAL, None, None),
        (WSL, USUAL, None, None),
        (NO_SYSTEMD, AT_LOGOUT, None, None),
        ("", USUAL, None, None),
        ("nonsense", USUAL, None, None),
    ],
)
def test_only_what_will_end_a_run_is_named_with_the_way_out(
    text: str, facts: Facts, end: str | None, fix: str | None
) -> None:
    units, known = units_of(text), {**USUAL, **facts}

    found = contained(units, **known) if units else None  # type: ignore[arg-type]  # as they are named

    assert (found and found.end, found and found.fix) == (end, fix)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "System":
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("runner.files.user_name", lambda number: f"user{number}")
    monkeypatch.setattr(containment, "_ROOT", tmp_path)
    return System(tmp_path)


class System:
    """The files of a system, below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = settings(root / "home")

    def write(self, path: str, *lines: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text("".join(f"{line}\n" for line in lines))

    def end(self) -> str | None:
        return look(self.settings).end


def test_the_files_of_logind_say_whether_a_logout_ends_runs(system: System) -> None:
    system.write("proc/self/cgroup", SSH)
    assert system.end() is None

    system.write("usr/lib/systemd/logind.conf", "[Login]", "#KillUserProcesses=yes")
    assert system.end() is not None, "what this build does"

    system.write("etc/systemd/logind.conf", "[Login]", "KillUserProcesses=no")
    assert system.end() is None
    system.write("run/systemd/logind.conf.d/50-x.conf", "KillUserProcesses = yes")
    assert system.end() is not None
    system.write("etc/systemd/logind.conf.d/9.conf", "KillExcludeUsers=root user1000")
    assert system.end() is None
    system.write("etc/systemd/logind.conf.d/9.conf", "KillOnlyUsers=user7")
    assert system.end() is None
    system.write("etc/systemd/logind.conf.d/9.conf", "KillOnlyUsers=user7 user1000")
    assert system.end() is not None


def test_the_file_of_a_service_says_what_its_end_ends(system: System) -> None:
    system.write("proc/self/cgroup", "0::/system.slice/job@nightly.service")
    assert system.end() is not None

    system.write("usr/lib/systemd/system/job@.service", "[Service]", "KillMode=process")
    assert system.end() is None
    system.write("etc/systemd/system/job@.service", "[Service]")
    assert system.end() is not None
    system.write("etc/systemd/system/job@.service.d/x.conf", "KillMode=none")
    assert system.end() is None
    system.write("etc/systemd/system/job@nightly.service.d/x.conf", "KillMode=mixed")
    assert system.end() == "when the service job@nightly.service ends (KillMode=mixed)"


def test_a_service_of_the_user_is_one_too_and_lingering_is_seen(system: System) -> None:
    system.write("proc/self/cgroup", OWN_SERVICE)
    system.write("home/.config/systemd/user/nightly.service", "KillMode=process")
    assert str(system.end()).startswith("with your last login session")

    system.write("var/lib/systemd/linger/user1000")

    assert system.end() is None


def test_with_sudo_the_user_of_the_session_decides(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        "runner.files.user_name", lambda number: f"user{number}" if number else "root"
    )
    system.write("etc/systemd/logind.conf", "KillUserProcesses=yes")
    system.write("proc/self/cgroup", SSH)
    assert look(system.settings).fix == LEAVES, "the scope is one of the system"
    system.write("proc/self/cgroup", GNOME)
    assert system.end() is not None
    system.write("var/lib/systemd/linger/user1000")
    assert system.end() is None

    system.write("proc/self/cgroup", "0::/user.slice/user-0.slice/session-3.scope")
    assert system.end() is None, "logind spares root"
    system.write(
        "proc/self/cgroup", "0::/user.slice/user-0.slice/user@0.service/x.scope"
    )
    assert system.end() is not None, "also the systemd of root ends"


def test_a_warning_is_given_unless_the_caller_or_an_outer_run_knows(
    system: System,
) -> None:
    system.write("proc/self/cgroup", BACKUP)
    said = warning(system.settings)

    end = "when the service backup.service ends (KillMode=control-group)"
    assert said == f"the run will be ended {end}: {KEPT}"
    for name in ("CODEX_RUNNER_CONTAINED", "CODEX_RUNNER_RUN"):
        assert warning(settings(system.root, **{name: "1"})) is None


def test_what_the_queue_starts_is_warned_of_too(
    system: System, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", os.getuid)
    system.write("proc/self/cgroup", BACKUP)
    own = {"HOME": system.root, "PATH": "/none", "CODEX_RUNNER_TIMER": "0"}
    for name, value in {**own, "CODEX_RUNNER_HOME": system.root / "state"}.items():
        monkeypatch.setenv(name, str(value))
    later = ["--queue", "--not-before", "+1h"]

    assert codex_tasks.main(["start", *later, "Look."]) == 0
    name, first = capfd.readouterr()
    assert codex_tasks.main(["send", *later, name.strip(), "Again."]) == 0
    _, second = capfd.readouterr()

    end = "when the service backup.service ends (KillMode=control-group)"
    note = f"runs and the timer that start here will be ended {end}: {LEAVES}"
    for said in (first, second):
        assert note in said.splitlines()[-1]


Became = list[tuple[list[str], dict[str, str], int]]


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> Became:
    """Note what this process would become, with its environment and umask."""
    noted: Became = []

    def become(argv: list[str], environment: dict[str, str], _: object) -> None:
        noted.append((argv, environment, os.umask(0o077)))
        raise KeyboardInterrupt

    monkeypatch.setattr(containment, "become", become)
    return noted


def test_a_scope_is_asked_of_the_manager_of_the_user(
    system: System, became: Became
) -> None:
    program = system.root / "bin" / "systemd-run"
    at = settings(system.root, PATH=str(program.parent))
    words = ["python", "codex-tasks", "start", "--scope", "-t", "x", "--", "--scope"]

    with pytest.raises(UsageError, match="--scope needs systemd: no systemd-run"):
        enter_scope(words, at)
    system.write("bin/systemd-run")
    program.chmod(0o700)
    with pytest.raises(UsageError, match=r"there is no .*/run/user/1000/systemd/priv"):
        enter_scope(words, at)
    system.write("run/user/1000/systemd/private")
    with pytest.raises(KeyboardInterrupt):
        enter_scope(words, at)

    ((argv, _, _),) = became
    options = ["--user", "--scope", "--quiet", "--collect", "--"]
    kept = ["python", "codex-tasks", "start", "-t", "x", "--", "--scope"]
    assert argv == [str(program), *options, *kept]


def test_a_command_becomes_itself_in_the_scope_before_it_reads_or_writes(
    system: System, became: Became, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-I", "x", "start", "--scope"])
    monkeypatch.setenv("PATH", str(system.root / "bin"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    system.write("bin/systemd-run")
    (system.root / "bin/systemd-run").chmod(0o700)
    system.write("run/user/1000/systemd/private")
    before = os.umask(0o027)
    try:
        assert codex_tasks.main(["start", "--scope", "-"]) == 130
    finally:
        os.umask(before)

    ((argv, environment, umask),) = became
    assert argv[-4:] == [sys.executable, "-I", "x", "start"]
    assert environment["XDG_RUNTIME_DIR"] == "/run/user/1000"
    assert umask == 0o027
