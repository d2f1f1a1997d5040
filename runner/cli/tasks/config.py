"""`codex-tasks config`: the settings that files, variables and options have."""

from __future__ import annotations

from parsers.paths import Path
from parsers.struct import as_dict
from runner import config_files
from runner.cli import format, table
from runner.cli.options import refuse
from runner.cli.output import compact
from runner.cli.table import Column
from runner.config_files import Setting
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.cli.context import Context
    from runner.cli.options import Values

HELP = """\
Show the settings in force and where they come from, or set one in runner.toml.

--working-dir DIR   of a run in this directory (default: here)
SETTING ...         the name of a setting, and the value to set; a list is separated by
                    commas (default: show all)

  codex-tasks config
  codex-tasks config sandbox
  codex-tasks config timeout 1h

0 done; 1 the file cannot be written; 2 wrong usage, or a file of settings is wrong
"""
_LEAST = 8


def main(found: Values, context: Context) -> int:
    """Show settings, or set one; return 2 when a file is wrong."""
    name, *values = found.setting or [""]
    known = ", ".join(config_files.KEYS)
    refuse(
        (name and name not in config_files.KEYS, f"{name!r} is none of {known}"),
        (len(values) > 1, "give one setting and one value"),
    )
    if values:
        config_files.save(context.settings, name, values[0])
    directory = Path(found.working_dir or ".").absolute()
    settings, faults = config_files.explain(context.settings, directory)
    settings |= {
        key: Setting(config_files.MASK, each.source, each.where)
        for key, each in settings.items()
        if config_files.KEYS[key].is_secret and each.value is not None
    }
    context.notes(faults)
    shown = {name: settings[name]} if name else settings
    rows = [{"key": key, **as_dict(each)} for key, each in shown.items()]
    context.tell(found, "config", {"settings": rows}, [] if values else _table(shown))
    if values and settings[name].source != "state directory":
        context.note(f"{settings[name].where} sets another {name}")
    return UsageError.exit_code if faults else 0


def _table(shown: dict[str, Setting]) -> list[str]:
    texts = [
        "-" if value is None else value if isinstance(value, str) else compact(value)
        for value in (each.value for each in shown.values())
    ]
    cells = [format.line(each.removesuffix(".0")) for each in texts]
    columns = [
        Column("Setting", list(shown)),
        Column("Value", cells, least=_LEAST),
        Column("From", [each.where or each.source for each in shown.values()]),
    ]
    return table.plain(columns)
