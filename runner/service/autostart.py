"""Start the timer after a reboot: a user unit of systemd, or an agent of launchd.

Both run `codex-tasks queue`, which starts the timer if something waits. Where neither
is there, a line for crontab does the same.
"""

from __future__ import annotations

import os
import sys

from parsers.light import suppress
from parsers.paths import Path
from parsers.struct import Struct
from runner import files
from runner.errors import UsageError
from runner.process.start import capture, which
from runner.service.containment import lingers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config

_NAME = "codex-timer"
_ASK_SECONDS = 5.0
_UNIT = """\
[Unit]
Description=Deliver the waiting prompts of codex-tasks

[Service]
Type=oneshot
RemainAfterExit=yes
KillMode=process
{variables}ExecStart={command}

[Install]
WantedBy=default.target
"""
_AGENT = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" \
"http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>Label</key><string>{name}</string>
<key>RunAtLoad</key><true/>
<key>AbandonProcessGroup</key><true/>
<key>ProgramArguments</key><array>{words}</array>
<key>EnvironmentVariables</key><dict>{variables}</dict>
</dict></plist>
"""


class Autostart(Struct):
    """Hold what is written, and where; without a `path` it is a line for crontab.

    `mark` names the state directory in it. `link` is what makes systemd start the unit.
    """

    text: str
    mark: str
    path: Path | None = None
    link: Path | None = None


def autostart(
    program: str, settings: Config, platform: str = sys.platform
) -> Autostart:
    """Build what starts the timer after a reboot.

    Args:
        program: the path of `codex-tasks`.
        settings: for the variables that the timer needs.
        platform: as `sys.platform`.

    Raises:
        UsageError: a path has a line break, or there is no home directory.
    """
    env = {
        "PATH": settings.search_path,
        "CODEX_HOME": str(settings.codex_home),
        "CODEX_RUNNER_HOME": str(settings.state_home),
    }
    words, mark = (program, "queue"), f"CODEX_RUNNER_HOME={settings.state_home}"
    if any("\n" in text for text in (*env.values(), *words)):
        message = f"a path has a line break: {[*env.values(), *words]}"
        raise UsageError(message)
    home = settings.environment.get("HOME")
    if home is None:
        message = "HOME is not set: it is where units and agents of a user are"
        raise UsageError(message)
    if platform == "darwin":
        path = Path(home) / "Library" / "LaunchAgents" / f"{_NAME}.plist"
        keys = (
            f"<key>{_xml(k)}</key><string>{_xml(v)}</string>" for k, v in env.items()
        )
        strings = (f"<string>{_xml(word)}</string>" for word in words)
        parts = {"words": "".join(strings), "variables": "".join(keys)}
        mark = f"<string>{_xml(env['CODEX_RUNNER_HOME'])}</string>"
        text = _AGENT.format(name=_NAME, **parts)
        return Autostart(text=text, mark=mark, path=path)
    if which("systemctl", settings.search_path) is None:
        assigned = " ".join(_shell(f"{name}={value}") for name, value in env.items())
        command = " ".join(map(_shell, words))
        text = f"@reboot env {assigned} {command} > /dev/null 2>&1\n"
        return Autostart(text=text, mark=_shell(mark))
    place = Path(settings.environment.get("XDG_CONFIG_HOME") or f"{home}/.config")
    units = place / "systemd" / "user"
    lines = (f"Environment={_unit(f'{name}={value}')}\n" for name, value in env.items())
    text = _UNIT.format(variables="".join(lines), command=" ".join(map(_unit, words)))
    name = f"{_NAME}.service"
    link = units / "default.target.wants" / name
    return Autostart(text=text, mark=_unit(mark), path=units / name, link=link)


def install(found: Autostart) -> None:
    """Write a unit or an agent, and enable it from the next login on.

    Raises:
        FileFault: it cannot be written.
    """
    if (path := found.path) is None:
        return
    files.make_directory(path.parent)
    files.export(path, found.text.encode())
    if found.link is not None:
        files.make_directory(found.link.parent)
        with suppress(FileExistsError):
            os.symlink(path, found.link)  # noqa: PTH211 - a light path has none


def starts(found: Autostart, settings: Config) -> str | None:
    """Say when what is installed starts the timer; None if it is not installed."""
    if found.path is None:
        lines = capture(["crontab", "-l"], settings.environment, _ASK_SECONDS) or ""
        mine = [line for line in lines.splitlines() if found.mark in line]
        return "at boot" if any(line.startswith("@reboot") for line in mine) else None
    is_enabled = found.link is None or found.link.exists()
    if not is_enabled or found.mark not in files.read_text(found.path):
        return None
    is_at_boot = found.link is not None and lingers(os.geteuid())
    return "at boot" if is_at_boot else "at the next login"


def remove(found: Autostart, settings: Config) -> str | None:
    """Remove a unit or an agent; say so, or what a person has to remove."""
    if found.path is None:
        is_there = starts(found, settings)
        return "remove the line with crontab -e" if is_there else None
    there = [each for each in (found.link, found.path) if each is not None]
    there = [each for each in there if os.path.lexists(each)]
    files.remove(there)
    return f"removed {found.path}" if there else None


def _unit(text: str) -> str:
    """Quote a word of a unit, in which % begins a specifier and $ a variable."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + escaped.replace("$", "$$") + '"'


def _shell(text: str) -> str:
    """Quote a word of a line for crontab, in which % is a line break."""
    return "'" + text.replace("'", "'\\''").replace("%", "\\%") + "'"


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
