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
from runner.process.start import which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config

_NAME = "codex-timer"
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

    `link` is what makes systemd start the unit.
    """

    text: str
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
    words = (program, "queue")
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
        return Autostart(text=_AGENT.format(name=_NAME, **parts), path=path)
    if which("systemctl", settings.search_path) is None:
        assigned = " ".join(_shell(f"{name}={value}") for name, value in env.items())
        command = " ".join(map(_shell, words))
        return Autostart(text=f"@reboot env {assigned} {command} > /dev/null 2>&1\n")
    place = Path(settings.environment.get("XDG_CONFIG_HOME") or f"{home}/.config")
    units = place / "systemd" / "user"
    lines = (f"Environment={_unit(f'{name}={value}')}\n" for name, value in env.items())
    text = _UNIT.format(variables="".join(lines), command=" ".join(map(_unit, words)))
    name = f"{_NAME}.service"
    link = units / "default.target.wants" / name
    return Autostart(text=text, path=units / name, link=link)


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


def remove(found: Autostart) -> bool:
    """Remove a unit or an agent; return whether it was there."""
    paths = [each for each in (found.link, found.path) if each is not None]
    there = [each for each in paths if os.path.lexists(each)]
    files.remove(there)
    return bool(there)


def _unit(text: str) -> str:
    """Quote a word of a unit, in which % begins a specifier and $ a variable."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + escaped.replace("$", "$$") + '"'


def _shell(text: str) -> str:
    """Quote a word of a line for crontab, in which % is a line break."""
    return "'" + text.replace("'", "'\\''").replace("%", "\\%") + "'"


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
