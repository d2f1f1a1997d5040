"""A program of several commands: it finds the command, and shows what there is.

A command loads its own module only. The module has `HELP` (one line, the options as
`options.read_table` reads them, examples, exit codes) and `main(found, context)`, which
returns the exit code. In a module of several commands all but the first append `_name`
to these names.
"""

from __future__ import annotations

import sys

from parsers.struct import EMPTY, Struct
from runner import config_files
from runner.cli.command import enter
from runner.cli.context import Context
from runner.cli.options import SCREEN_OPTIONS, read_plain, read_table
from runner.cli.output import Output, has_json
from runner.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from runner.cli.options import Option, Values
    from runner.cli.parser import Parser
    from runner.config import Config

# Never suggested for a word that is only spelt like them.
# How like a command a word has to be, and how much of one is its beginning.
_NEAR, _BEGINNING = 0.75, 3
_DESTRUCTIVE = ("rm", "prune", "delete", "clean", "uninstall", "restore")
# They raise or show themselves that a file of settings is wrong.
_UNNOTED = ("start", "send", "config", "completion")
_COLUMN = 28  # of what a command does, in the list of all
_JSON = "--json   print one JSON object, also of an error (docs/schemas)\n"
_OUTPUT = "output:\n"


class Command(Struct):
    """Hold the function of a command and the parts of its help."""

    main: Callable[[Values, Context], int]
    summary: str
    options: str
    examples: str
    codes: str


class Program(Struct):
    """Hold what makes a program.

    `commands` names the module of each command, in `package`; `words` are what a user
    may call them. `overview` lists them. `notes` are paragraphs of the help, each of
    commands with an argument of that name. A line that begins with no command is one of
    the command `usual`, unless its text is a single word: that is a mistake for a
    command. `wrong_usage` are the exit codes of usage errors that are not 2.
    """

    prog: str
    package: str
    commands: Mapping[str, str]
    overview: str
    words: Mapping[str, str] = EMPTY
    drawn: Collection[str] = ()
    notes: Mapping[str, str] = EMPTY
    usual: str | None = None
    wrong_usage: Mapping[str, int] = EMPTY

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run the command and return its exit code."""
        words = list(sys.argv[1:] if argv is None else argv)
        output = Output()
        as_json = output if has_json(words) else None
        code = self.wrong_usage.get(words[0] if words else "", UsageError.exit_code)
        return enter(lambda settings: self._run(words, settings, output), as_json, code)

    def _run(self, words: list[str], settings: Config, output: Output) -> int:
        first = words[0] if words else ""
        if first in self.commands:
            return self._command(first, words[1:], settings, output)
        if first in {"help", "-h", "--help"}:
            return self._help(words[1:], settings, output)
        is_option, is_word = first.startswith("-"), len(first.split()) == 1
        if self.usual and first != "--version" and (is_option or not is_word) and words:
            return self._command(self.usual, words, settings, output, is_named=False)
        if words and not is_option:
            raise self._unknown(words)
        if words:
            self.whole_parser().values(words)
        self._show_overview(output)
        return 0 if words else UsageError.exit_code

    def _command(
        self,
        name: str,
        words: Sequence[str],
        settings: Config,
        output: Output,
        *,
        is_named: bool = True,
    ) -> int:
        command = self.load(name)
        found = read_plain(command.options, words, {})
        if found is None:
            found = self.parser_of(name, command).values(words)
        if not is_named:
            self._refuse_word(words, command, found)
        context = Context(settings, output, found)
        if name not in _UNNOTED:
            context.notes(config_files.explain(settings)[1])
        return command.main(found, context)

    def _refuse_word(
        self, words: Sequence[str], command: Command, found: Values
    ) -> None:
        """Refuse a text of a single word after options: `--json jobs` starts nothing.

        Raises:
            UsageError: the text is a single word, and does not stand for a file.
        """
        names = [each.name for each in read_table(command.options) if not each.words]
        given = [word for name in names for word in getattr(found, name)]
        if len(given) == 1 and len(given[0].split()) == 1 and given[0] != "-":
            word, rest = given[0], [*words]
            if word in self.commands:
                rest.remove(word)
                message = f"the command {word!r} comes first"
                raise UsageError(message, " ".join([self.prog, word, *rest]))
            raise self._unknown(given)

    def _help(self, words: list[str], settings: Config, output: Output) -> int:
        """Show the help of a command, or the list of all."""
        known = self.words.get(words[0].lower(), words[0]) if words else ""
        if (name := known.split()[0] if known else "") in self.commands:
            return self._command(name, ["--help"], settings, output)
        if words:
            raise self._unknown(words)
        self._show_overview(output)
        return 0

    def _show_overview(self, output: Output) -> None:
        from runner.cli.help import fitted  # noqa: PLC0415 - for this alone

        output.lines([fitted(self.overview, _COLUMN)])

    def _unknown(self, words: list[str]) -> UsageError:
        """Say that there is no such command, and which one is meant.

        A command that removes is suggested only for a word that means it.
        """
        import difflib  # noqa: PLC0415 - for a mistake alone

        name, rest, known = words[0].lower(), words[1:], [*self.commands, *self.words]
        begun = [each for each in self.commands if each.startswith(name)]
        near = begun if len(name) >= _BEGINNING and begun else []
        near = near or difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
        meant = self.words.get
        found = meant(name) or next((meant(each, each) for each in near), "")
        if name not in self.words and found in _DESTRUCTIVE:
            found = ""
        way = f"{self.prog} {found or '--help'}"
        if found and rest:
            from shlex import join  # noqa: PLC0415 - as above

            way = f"{way} {join(rest)}"
        elif found in self.commands:
            table = read_table(self.load(found).options)
            needed = (
                o.value for o in table if not o.words and "(default" not in o.told
            )
            said = ('"PROMPT"' if each == "PROMPT" else each for each in needed)
            way = " ".join((way, *said))
        return UsageError(f"there is no command {words[0]!r}", way)

    def load(self, name: str) -> Command:
        """Load a command."""
        place = f"{self.package}.{self.commands[name]}"
        __import__(place)
        module, part = sys.modules[place], name.replace("-", "_")
        part = f"_{part}" if hasattr(module, f"main_{part}") else ""
        main, words = (getattr(module, f"{each}{part}") for each in ("main", "HELP"))
        summary, *options, examples, codes = words.split("\n\n")
        return Command(
            main=main,
            summary=summary,
            options=_with_common("".join(options), is_drawn=name in self.drawn),
            examples=examples,
            codes=codes,
        )

    def parser_of(self, name: str, command: Command) -> Parser:
        """Build the parser of one command."""
        from runner.cli.help import About  # noqa: PLC0415 - for help and mistakes
        from runner.cli.parser import Parser  # noqa: PLC0415 - as above

        options = [*read_table(command.options)]
        shown = [each for each in options if each.told]
        values = {each.value for each in shown}
        about = About(
            usage=" ".join([self.prog, name, *_usage(shown)]),
            summary=command.summary,
            options=command.options,
            examples=command.examples,
            codes=command.codes,
            notes=tuple(text for word, text in self.notes.items() if word in values),
        )
        return Parser(command.options, about=about, prog=f"{self.prog} {name}")

    def whole_parser(self) -> Parser:
        """Build the parser of all commands, for the help and for completions."""
        from runner.cli.parser import Parser  # noqa: PLC0415 - for help and mistakes

        parser = Parser("", prog=self.prog)
        parser.add_general(has_script=False)
        commands = parser.add_subparsers(
            title="commands", metavar="COMMAND", parser_class=Parser
        )
        for name in self.commands:
            command = self.load(name)
            told, options = command.summary, command.options
            commands.add_parser(name, help=told, description=told, options=options)
        return parser


def _with_common(options: str, *, is_drawn: bool) -> str:
    """Add the options that many commands have, among those about its output."""
    lines = options.splitlines(keepends=True)
    has_json = any(line.startswith("--json ") for line in lines)
    more = ("" if has_json else _JSON) + (SCREEN_OPTIONS if is_drawn else "")
    if _OUTPUT in lines:
        return options.replace(_OUTPUT, f"{_OUTPUT}{more}", 1)
    has_groups = any(line.endswith(":\n") for line in lines)
    return f"{options.rstrip()}\n{_OUTPUT}{more}" if has_groups else f"{more}{options}"


def _usage(options: Sequence[Option]) -> Iterator[str]:
    """Write the words of a command line; an argument with a default is optional."""
    if any(each.words for each in options):
        yield "[options]"
    for each in options:
        if not each.words:
            yield f"[{each.spelt}]" if "(default" in each.told else each.spelt
