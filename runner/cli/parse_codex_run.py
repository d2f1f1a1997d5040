"""`parse_codex_run`: what a run did, used and cost, from its files."""

from __future__ import annotations

import sys

from parsers import json_lines, loose_json
from parsers.paths import Path
from parsers.run_summary import bound, dollars, doubts, known_total
from runner import files
from runner.cli.command import enter, leave
from runner.cli.options import read_plain, refuse
from runner.cli.output import (
    Output,
    compact,
    document,
    error_json,
    has_json,
    is_terminal,
    note,
    report,
    visible,
)
from runner.errors import RunnerError
from runner.ledger import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.cli.options import Values
    from runner.cli.parser import Parser
    from runner.config import Config

PROG = "parse_codex_run"
_FIGURES = ("time", "tokens", "cost")
_COLUMNS = ("run", "outcome", *_FIGURES, "task")
_TASK_WIDTH = 60
_LEAST = 8
_OPTIONS = """\
which:
RUN_ID ...      a run of the ledger; a task (short id, thread id or title): its last run
--log FILE ...  a file of a run; of several streams of one thread each has its share
--meta FILE     its meta file (default: the one beside it)
--log-dir DIR   directory of runs that are not in the ledger [default: runs]
--model MODEL   prices a log that does not name its model
output:
--format {json,text}  json: one object a line (default for one run); text: one line for
                people (default for several; a table on a terminal)
--json          one JSON object, also of an error (docs/schemas)
--json-out FILE  write a copy of the summary
"""
_USAGE = f"{PROG} (--log FILE... [--meta FILE] | RUN_ID...) [options]"
_EXAMPLES = """\
  parse_codex_run 20261120-101201-512345-9f3a1c07
  parse_codex_run --log old/codex-run-1.log
  parse_codex_run --log first.jsonl --log resumed.jsonl
"""
_LOGS = """\
A log may be a run's events or its readable log, a log of the bash runner, a saved
`codex exec --json` stream of Codex 0.44 or newer (also with a prefix on each line, as
an array, or in UTF-16), or a Codex rollout file. Two runs in one file are refused.
"""
_CODES = """\
0 summarised, whatever the outcome; 1 the log is not of a run, or a file or the ledger
  cannot be used; 2 wrong usage, or no such file or run
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    output = Output()
    return enter(
        lambda settings: _command(parse(words), settings, output),
        output if has_json(words) else None,
    )


def parse(argv: Sequence[str]) -> Values:
    """Parse a command line.

    Raises:
        UsageError: it is wrong.
        SystemExit: help, the version or a completion script was printed.
    """
    found = read_plain(_OPTIONS, argv, {})
    if found is None:
        found = build_parser().values(argv)
    refuse(
        (
            bool(found.log) == bool(found.run_id),
            "give either --log FILE or one or more run ids",
        ),
        (found.meta is not None and len(found.log) != 1, "--meta needs one --log"),
        (found.model is not None and not found.log, "--model needs --log"),
        (
            found.json_out is not None and len(found.run_id + found.log) > 1,
            "--json-out takes one summary: give one run id or one --log",
        ),
    )
    if found.json_out is not None:
        refuse(
            (
                Path(found.json_out).is_dir(),
                f"--json-out {found.json_out}: is a directory, name a file",
            )
        )
    return found


def build_parser() -> Parser:
    """Build the parser; its help is the reference of the flags."""
    from runner.cli.help import GENERAL, About  # noqa: PLC0415 - for help and mistakes
    from runner.cli.parser import Parser  # noqa: PLC0415 - as above

    about = About(
        usage=_USAGE,
        summary="Summarise Codex runs: outcome, answer, changes, tokens and cost.",
        options=_OPTIONS + GENERAL,
        examples=_EXAMPLES,
        notes=(_LOGS,),
        codes=_CODES,
    )
    parser = Parser(_OPTIONS, about=about, prog=PROG)
    parser.add_general()
    return parser


def _command(wanted: Values, settings: Config, output: Output) -> int:
    # Importing the parsers costs 40 ms, which --help should not wait for.
    from runner.service import summarize  # noqa: PLC0415

    told: list[dict[str, object] | RunnerError] = []
    logs, model = [*map(Path, wanted.log)], wanted.model
    if wanted.meta is not None:
        (log,), meta = logs, Path(wanted.meta)
        told.append(summarize.summarize_log(log, meta, settings, model))
    else:
        told += summarize.summarize_logs(logs, settings, model)
    for run_id in wanted.run_id:
        try:
            told.append(summarize.summarize_run(run_id, Path(wanted.log_dir), settings))
        except RunnerError as error:
            told.append(error)
    found = [each for each in told if isinstance(each, dict)]
    faults = [each for each in told if isinstance(each, RunnerError)]
    for fault in faults:
        report(fault)
    code = max((fault.exit_code for fault in faults), default=0)
    for doubt in (each for summary in found for each in doubts(summary["warnings"])):
        note(doubt)
    if found and wanted.json_out is not None:
        copy = Path(wanted.json_out).absolute()
        files.copy_to(copy, record.encode(found[0], indent=2))
    usual = "text" if len(wanted.run_id + wanted.log) > 1 else "json"
    if wanted.json:
        errors = {"errors": [*map(error_json, faults)]} if faults else {}
        output.lines([document("run", {"runs": found, **errors})])
    else:
        _show(found, wanted.format or usual, settings, output)
    return code


def _show(
    found: list[dict[str, object]], wanted: str, settings: Config, output: Output
) -> None:
    if wanted == "json" and len(found) > 1:
        output.text(json_lines.written(found))
    elif wanted == "json":
        output.lines(map(compact, found))
    elif is_terminal() and len(found) > 1:
        from runner.cli import look, table  # noqa: PLC0415 - on a terminal only

        cells = zip(*map(_cells, found), strict=True)
        columns = [
            table.Column(
                name,
                told,
                is_right=name in _FIGURES,
                least=_LEAST if name == "task" else None,
            )
            for name, told in zip(_COLUMNS, cells, strict=True)
        ]
        seen = look.of(settings.environment, None, is_ascii=False)
        output.text(table.drawn([columns], seen))
    else:
        from parsers.run_summary import one_line  # noqa: PLC0415 - only for people

        output.lines(one_line(each) for each in found)


def _cells(found: Mapping[str, object]) -> list[str]:
    usage, cost = (loose_json.mapping(found.get(n)) for n in ("token_usage", "cost"))
    tokens, sign = known_total(usage), bound(usage)
    of_cost = "" if usage.get("total_tokens") is None else sign
    usd = dollars(cost.get("usd"), cost.get("unpriced"), of_cost)
    seconds = found.get("elapsed_seconds")
    task = str(found.get("task") or "")
    return [
        str(found.get("run_id") or "-"),
        str(found.get("outcome") or "-"),
        f"{seconds:.1f} s" if isinstance(seconds, int | float) else "-",
        "-" if tokens is None else f"{sign}{tokens:,}",
        "".join(usd or "-"),
        visible(" ".join(task.split()))[:_TASK_WIDTH],
    ]


if __name__ == "__main__":
    leave(main())
