"""`codex-tasks`: sessions of Codex, started in the background and managed by id."""

from __future__ import annotations

import sys

from parsers.struct import Struct
from runner import config_files
from runner.cli import tasks
from runner.cli.command import enter, leave
from runner.cli.context import Context
from runner.cli.options import SCREEN_OPTIONS, read_plain, read_table
from runner.cli.output import Output, has_json
from runner.cli.tasks import COMMANDS, DRAWN, OVERVIEW, WORDS
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.cli.options import Option, Values
    from runner.cli.parser import Parser
    from runner.config import Config

PROG = "codex-tasks"
# Never suggested for a word that is only spelt like them.
_DESTRUCTIVE = ("rm", "prune", "uninstall", "restore")
# How like a command a word has to be, and how much of one is its beginning.
_NEAR, _BEGINNING = 0.75, 3
# They raise or show themselves that a file of settings is wrong.
_UNNOTED = ("start", "send", "config", "completion")
_COLUMN = 28  # of what a command does, in the list of all
_JSON = "--json   print one JSON object, also of an error (docs/schemas)\n"
_OUTPUT = "output:\n"
_TASK = """\
A TASK is a short id, a thread id, a unique prefix of one (at least 4 digits of a short
id, 6 of a thread id), a run id, or a title. Put `--` before an argument that starts
with `-`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    output = Output()
    as_json = output if has_json(words) else None
    return enter(lambda settings: _command(words, settings, output), as_json)


def _command(words: list[str], settings: Config, output: Output) -> int:
    if words and words[0] in COMMANDS:
        command = load(words[0])
        found = read_plain(command.options, words[1:], {})
        if found is None:
            found = parser_of(words[0], command).values(words[1:])
        context = Context(settings, output, found)
        if words[0] not in _UNNOTED:
            context.notes(config_files.explain(settings)[1])
        return command.main(found, context)
    if words and words[0] in {"help", "-h", "--help"}:
        return _help(words[1:], settings, output)
    if words and not words[0].startswith("-"):
        raise _unknown(words)
    if words:
        whole_parser().values(words)
    _show_overview(output)
    return 0 if words else UsageError.exit_code


def _help(words: list[str], settings: Config, output: Output) -> int:
    """Show the help of a command, or the list of all."""
    name = WORDS.get(words[0].lower(), words[0]).split()[0] if words else ""
    if name in COMMANDS:
        return _command([name, "--help"], settings, output)
    if words:
        raise _unknown(words)
    _show_overview(output)
    return 0


def _show_overview(output: Output) -> None:
    from runner.cli.help import fitted  # noqa: PLC0415 - for this alone

    output.lines([fitted(OVERVIEW, _COLUMN)])


def _unknown(words: list[str]) -> UsageError:
    """Say that there is no such command, and which one is meant.

    A command that removes is suggested only for a word that means it.
    """
    import difflib  # noqa: PLC0415 - for a mistake alone

    name, rest = words[0].lower(), words[1:]
    begun = [
        each for each in COMMANDS if each.startswith(name) and len(name) >= _BEGINNING
    ]
    known = [*COMMANDS, *WORDS]
    near = begun or difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
    found = WORDS.get(name) or next((WORDS.get(each, each) for each in near), "")
    if name not in WORDS and found in _DESTRUCTIVE:
        found = ""
    way = f"{PROG} {found or '--help'}"
    if found and rest:
        from shlex import join  # noqa: PLC0415 - as above

        way = f"{way} {join(rest)}"
    elif found in COMMANDS:
        table = read_table(load(found).options)
        needed = (o.value for o in table if not o.words and "(default" not in o.told)
        said = ('"PROMPT"' if each == "PROMPT" else each for each in needed)
        way = " ".join((way, *said))
    return UsageError(f"there is no command {words[0]!r}", way)


class Command(Struct):
    """Hold the function of a command and the parts of its help."""

    main: Callable[[Values, Context], int]
    summary: str
    options: str
    examples: str
    codes: str


def load(name: str) -> Command:
    """Load a command."""
    place = f"{tasks.__name__}.{COMMANDS[name]}"
    __import__(place)
    module = sys.modules[place]
    part = f"_{name}" if hasattr(module, f"main_{name}") else ""
    main, words = (getattr(module, f"{each}{part}") for each in ("main", "HELP"))
    summary, *options, examples, codes = words.split("\n\n")
    return Command(
        main=main,
        summary=summary,
        options=_with_common("".join(options), is_drawn=name in DRAWN),
        examples=examples,
        codes=codes,
    )


def _with_common(options: str, *, is_drawn: bool) -> str:
    """Add the options that many commands have, among those about its output."""
    lines = options.splitlines(keepends=True)
    has_json = any(line.startswith("--json ") for line in lines)
    more = ("" if has_json else _JSON) + (SCREEN_OPTIONS if is_drawn else "")
    if _OUTPUT in lines:
        return options.replace(_OUTPUT, f"{_OUTPUT}{more}", 1)
    has_groups = any(line.endswith(":\n") for line in lines)
    return f"{options.rstrip()}\n{_OUTPUT}{more}" if has_groups else f"{more}{options}"


def parser_of(name: str, command: Command) -> Parser:
    """Build the parser of one command."""
    from runner.cli.help import About  # noqa: PLC0415 - for help and mistakes
    from runner.cli.parser import Parser  # noqa: PLC0415 - as above

    options = [*read_table(command.options)]
    shown = [each for each in options if each.told]
    about = About(
        usage=" ".join([PROG, name, *_usage(shown)]),
        summary=command.summary,
        options=command.options,
        examples=command.examples,
        codes=command.codes,
        notes=(_TASK,) if any(each.value == "TASK" for each in shown) else (),
    )
    return Parser(command.options, about=about, prog=f"{PROG} {name}")


def _usage(options: Sequence[Option]) -> Iterator[str]:
    """Write the words of a command line; an argument with a default is optional."""
    if any(each.words for each in options):
        yield "[options]"
    for each in options:
        if not each.words:
            yield f"[{each.spelt}]" if "(default" in each.told else each.spelt


def whole_parser() -> Parser:
    """Build the parser of all commands, for the help and for completions."""
    from runner.cli.parser import Parser  # noqa: PLC0415 - for help and mistakes

    parser = Parser("", prog=PROG)
    parser.add_general(has_script=False)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=Parser
    )
    for name in COMMANDS:
        command = load(name)
        told, options = command.summary, command.options
        commands.add_parser(name, help=told, description=told, options=options)
    return parser


if __name__ == "__main__":
    leave(main())
