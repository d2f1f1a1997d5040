"""`codex-agent sessions`, `health`, `map` and `install-skill`."""

from __future__ import annotations

from parsers.paths import Path
from runner import clock, files
from runner.cli.agent import panes
from runner.cli.options import refuse
from runner.codex.binary import version_of
from runner.errors import FileFault
from runner.process.start import which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values

HELP_sessions = """\
List the tmux sessions in which the logs of jobs are shown.

  codex-agent sessions

0 listed, also when there are none; 2 wrong usage
"""
HELP = """\
Say whether Codex and tmux are here.

--codex-bin BIN   the binary [default: codex]

  codex-agent health

0 Codex is here; 1 it is not; 2 wrong usage
"""
HELP_map = """\
Write docs/CODEBASE_MAP.md: the files of a directory, with sizes and first lines.

-d, --dir DIR   the directory (default: here)
--force         replace a map that something else has written

  codex-agent map
  codex-agent start --map "Find dead code"

0 written; 1 it cannot be written; 2 wrong usage, or the map is not ours
"""
HELP_install_skill = """\
Install the skill that tells an agent how to use this suite.

--dir DIR   the directory of skills (default: ~/.claude/skills)

  codex-agent install-skill
  codex-agent install-skill --dir ~/.codex/skills

0 installed; 1 it cannot be written; 2 wrong usage
"""
_SKILL = "codex-runner"


def main(found: Values, context: Context) -> int:
    """Report Codex and tmux; only Codex is needed."""
    settings, has_tmux = context.settings, panes.is_there(context.settings)
    path = which(found.codex_bin, settings.search_path)
    version = version_of(found.codex_bin, settings) if path else None
    tmux = "OK" if has_tmux else f"not found; jobs run without it ({panes.MISSING})"
    fix = "not found (npm install -g @openai/codex)"
    state = "Ready" if path else "Not ready"
    told = {"codex": path, "version": version, "tmux": has_tmux, "ok": path is not None}
    lines = [f"tmux: {tmux}", f"codex: {version or path or fix}", f"Status: {state}"]
    context.tell(found, "health", told, lines)
    return 0 if path else 1


def main_sessions(found: Values, context: Context) -> int:
    """List the tmux sessions of jobs."""
    rows = panes.sessions(context.settings)
    lines = ["No active codex-agent sessions"]
    if rows:
        lines = [f"{'SESSION NAME':<30}  ATTACHED  CREATED", "-" * 60]
    for each in rows:
        attached = "yes" if each["attached"] != "0" else "no"
        created = clock.iso(clock.at(int(each["created"])))
        lines.append(f"{each['name']:<30}  {attached:<8}  {created}")
    context.tell(found, "sessions", {"sessions": rows}, lines)
    return 0


def main_map(found: Values, context: Context) -> int:
    """Write the codebase map."""
    from runner.prompt import code_map  # noqa: PLC0415 - for this alone

    base = Path(found.dir or ".").absolute()
    refuse((not files.is_directory(base), f"--dir {base}: no such directory"))
    path = code_map.write(base, context.settings.environment, is_forced=found.force)
    context.tell(found, "written", {"path": str(path)}, [f"Wrote {path}"])
    return 0


def main_install_skill(found: Values, context: Context) -> int:
    """Copy the skill into a directory of skills."""
    home = context.settings.environment.get("HOME", "")
    refuse((not (found.dir or home), "HOME is not set: name the directory with --dir"))
    place = Path(found.dir).absolute() if found.dir else Path(home) / ".claude/skills"
    source = Path(__file__).parent.parent.parent / "skills" / _SKILL / "SKILL.md"
    target = place / _SKILL / "SKILL.md"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    except OSError as error:
        raise FileFault("write", target, error) from error
    context.tell(found, "written", {"path": str(target)}, [f"Wrote {target}"])
    return 0
