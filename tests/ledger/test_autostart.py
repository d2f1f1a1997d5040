"""What starts the timer after a reboot."""

import plistlib
import shlex
from pathlib import Path

import pytest

from parsers.paths import Path as LightPath
from parsers.struct import replace
from runner import config
from runner.cli import codex_tasks
from runner.config import Config
from runner.errors import UsageError
from runner.service.autostart import autostart, install, remove, starts

PROGRAM = "/opt/a b/codex-tasks"


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.touch(0o755)
    path = str(systemctl.parent)
    return config.load({"HOME": str(tmp_path), "PATH": path})


def test_a_unit_of_systemd_is_installed_and_removed(
    settings: Config, tmp_path: Path
) -> None:
    found = autostart(PROGRAM, settings, "linux")

    install(found)
    install(found)

    unit = tmp_path / ".config/systemd/user/codex-timer.service"
    text = unit.read_text()
    assert 'ExecStart="/opt/a b/codex-tasks" "queue"\n' in text
    assert f'Environment="CODEX_RUNNER_HOME={tmp_path}/.codex/tasks"\n' in text
    assert "KillMode=process\n" in text
    enabled = unit.parent / "default.target.wants" / unit.name
    assert enabled.resolve() == unit
    assert starts(found, settings) == "at the next login"
    assert remove(found, settings) == f"removed {unit}"
    assert not enabled.exists()
    assert not unit.exists()
    assert not remove(found, settings)
    assert not starts(found, settings)


def test_signs_of_a_unit_are_quoted(settings: Config) -> None:
    text = autostart('/o"p%t/$x', settings, "linux").text

    assert 'ExecStart="/o\\"p%%t/$$x" "queue"\n' in text


def test_an_agent_of_launchd_is_a_property_list(settings: Config) -> None:
    found = autostart("/opt/<a>&/codex-tasks", settings, "darwin")

    read = plistlib.loads(found.text.encode())
    assert read["ProgramArguments"] == ["/opt/<a>&/codex-tasks", "queue"]
    assert read["RunAtLoad"] is True
    assert read["EnvironmentVariables"]["CODEX_HOME"].endswith("/.codex")
    assert str(found.path).endswith("Library/LaunchAgents/codex-timer.plist")


def test_without_systemd_it_is_a_line_for_crontab(settings: Config) -> None:
    found = autostart("/o p%t/it's", replace(settings, search_path="/none"), "linux")

    assert found.path is None
    line = found.text.replace("\\%", "%")
    words = shlex.split(line)
    assert words[:2] == ["@reboot", "env"]
    assert words[5:7] == ["/o p%t/it's", "queue"]
    assert found.text.count("\n") == 1


def test_a_line_in_crontab_is_found_and_its_removal_is_told(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(settings, search_path="/none")
    other = replace(own, state_home=LightPath("/x"))
    found, table = autostart(PROGRAM, own, "linux"), [""]
    monkeypatch.setattr("runner.service.autostart.capture", lambda *_: table[0])

    table[0] = f"# {found.text}"
    assert starts(found, own) is None
    assert remove(found, own) is None
    table[0] = found.text

    assert starts(found, own) == "at boot"
    assert remove(found, own) == "remove the line with crontab -e"
    assert not starts(autostart(PROGRAM, other, "linux"), other)


def test_a_path_with_a_line_break_is_refused(settings: Config) -> None:
    odd = replace(settings, state_home=LightPath("/a\nb"))
    with pytest.raises(UsageError, match="a path has a line break"):
        autostart(PROGRAM, odd, "linux")


def test_the_command_prints_what_it_would_install(
    settings: Config, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("HOME", "PATH"):
        monkeypatch.setenv(name, settings.environment[name])
    monkeypatch.setattr("sys.argv", [__file__])

    assert codex_tasks.main(["install-timer", "--print"]) == 0

    assert f'ExecStart="{__file__}" "queue"' in capfd.readouterr().out
