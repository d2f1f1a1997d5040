"""`codex-tasks completion`: a script for a shell, and its query at each TAB.

argparse finds the argument that takes the last word: it parses the line with a mark in
the place of that word.
"""

from __future__ import annotations

import os
import shlex
import sys
from argparse import SUPPRESS

from parsers.light import suppress
from runner.cli import codex_agent, codex_tasks, format
from runner.cli.agent import EFFORTS
from runner.cli.options import refuse
from runner.cli.parser import SHELLS, completion_script
from runner.config import SANDBOXES
from runner.config_files import KEYS
from runner.errors import RunnerError, UsageError
from runner.ledger.database import NAME
from runner.model import TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Action, ArgumentParser
    from collections.abc import Callable, Sequence

    from runner.cli.context import Context
    from runner.cli.options import Values

Pair = tuple[str, str]  # a word, what it means
Row = tuple[str, str, str]  # an id, its title, a note
HELP = """\
Print a script that completes the commands of this suite in a shell.

SHELL          bash, zsh or fish
--line TEXT
--piece TEXT

  eval "$(codex-tasks completion bash)"      in ~/.bashrc
  source <(codex-tasks completion zsh)       in ~/.zshrc, after compinit
  codex-tasks completion fish | source       in ~/.config/fish/config.fish

0 printed; 2 wrong usage
"""
_KINDS = {
    **dict.fromkeys(("FILE", "BIN", "GLOB"), "files"),
    **dict.fromkeys(("DIR", "URL"), "directories"),
}
_WORDS = {
    "LEVEL": EFFORTS,
    "MODE": SANDBOXES,
    "SETTING": tuple(KEYS),
    "SHELL": SHELLS,
    "STATE": tuple(TaskState),
}
_RECORDED = ("TASK", "SESSION", "RUN", "RUN_ID", "ID")
_ARCHIVED = (TaskState.ARCHIVED,)
_IN_USE = tuple(state for state in TaskState if state not in _ARCHIVED)
_STATES = {
    **{f"codex-tasks {each}": _IN_USE for each in ("send", "stop", "archive")},
    "codex-tasks unarchive": _ARCHIVED,
}
# Of a job: those that `kill` ends.
_ACTIVE = {"codex-agent kill": ("running", "pending")}
_MOST = 200
_MARK = "\0"


def main(found: Values, context: Context) -> int:
    """Print the script of a shell, or answer a query: a kind, then words."""
    wrong = f"SHELL: {found.shell!r} is none of {', '.join(SHELLS)}"
    refuse((found.shell not in SHELLS, wrong))
    if found.line is None:
        script = completion_script(found.shell)
        told = {"shell": found.shell, "script": script}
        context.tell(found, "completion", told, [script.rstrip("\n")])
        return 0
    program, *words = _split(found.line)
    parser, behind = _parser(program.rpartition("/")[2], words)
    states: Sequence[str] = _STATES.get(parser.prog, tuple(TaskState))
    states = _ACTIVE.get(parser.prog, states)
    kind, pairs = complete(parser, behind, lambda of: _recorded(context, states, of))
    head = ""
    if found.piece is not None:
        head = words[-1].removesuffix(_split(found.piece.lstrip("=:"))[-1])
    lines = [f"{w}\t{m}".removeprefix(head) for w, m in pairs if w.startswith(head)]
    context.output.lines([kind, *lines])
    return 0


def _split(line: str) -> list[str]:
    """Split a line as a shell does; the last word may be empty or its quote open."""
    for quote in ("", '"', "'"):
        with suppress(ValueError):
            *words, last = shlex.split(line + _MARK + quote)
            return [*words, last.removesuffix(_MARK)]
    return [line]


def _parser(program: str, words: list[str]) -> tuple[ArgumentParser, list[str]]:
    """Return the parser of what a line begins with, and the words behind that."""
    if program == "codex-bg" and "--" in words[:-1]:
        # What stands there is a line of another program.
        program, words = codex_agent.PROG, words[words.index("--") + 1 :]
        del words[: len(words) > 1 and words[0].rpartition("/")[2] == program]
        words = words if words[0] == "start" and words[1:] else ["start", *words]
    if program in {"run_codex_task", "parse_codex_run", "codex-bg"}:
        place = f"runner.cli.{program.replace('-', '_')}"
        __import__(place)  # 3 ms, for its lines only
        parser: ArgumentParser = sys.modules[place].build_parser()
        return parser, words
    found = (codex_agent if program == codex_agent.PROG else codex_tasks).PROGRAM
    if found.usual and words[1:] and words[0].startswith("-"):
        words = [found.usual, *words]
    if len(words) > 1 and words[0] in found.commands:
        return found.parser_of(words[0], found.load(words[0])), words[1:]
    return found.whole_parser(), words


def complete(
    parser: ArgumentParser, words: Sequence[str], recorded: Callable[[str], list[Row]]
) -> tuple[str, list[Pair]]:
    """Return the kind of the last word (words, files, directories), then the words.

    Args:
        parser: the parser of the command; not usable afterwards.
        words: the words after its name, the last one incomplete.
        recorded: lists the ids and titles for a metavar.
    """
    *before, current = words or [""]
    name, equals, value = current.partition("=")
    has_options = "--" not in before
    is_option = current.startswith("-") and has_options
    head, begun = (name + equals, value) if is_option and equals else ("", current)
    given: list[Action] = []
    taking: list[Action] = []

    def take(action: Action, strings: Sequence[str]) -> str:
        (taking if _MARK in strings else given).append(action)
        return SUPPRESS  # so that argparse does nothing with it

    parser._get_values = take  # type: ignore[method-assign,assignment]  # noqa: SLF001 - see above
    with suppress(UsageError):
        parser.parse_known_args([*before, head + _MARK])
    if not taking or (is_option and not head):
        return "words", _flags(parser, given, current) if has_options else []
    (action, *_), metavar = taking, str(taking[0].metavar)
    if metavar in _RECORDED:
        pairs = _find(recorded(metavar), metavar, begun, before)
    else:
        helps = {e.dest: e.help for e in getattr(action, "_choices_actions", ())}
        if metavar == "SETTING" and set(before) & KEYS.keys():
            metavar = "MODE" if "sandbox" in before else "VALUE"
        choices = map(str, action.choices or _WORDS.get(metavar, ()))
        pairs = [(c, helps.get(c, "")) for c in choices if c.startswith(begun)]
    return _KINDS.get(metavar, "words"), [(head + word, means) for word, means in pairs]


def _flags(parser: ArgumentParser, given: Sequence[Action], begun: str) -> list[Pair]:
    """Return the options that are not given yet, or can be repeated."""
    return [
        (flag, each.help or "")
        for each in parser._actions  # noqa: SLF001 - argparse has no other way to tell
        if each.help != SUPPRESS
        and (each not in given or type(each.default) in {list, int})
        for flag in each.option_strings
        if flag.startswith(begun)
    ]


def _find(
    rows: Sequence[Row], metavar: str, begun: str, before: Sequence[str]
) -> list[Pair]:
    """Find runs and tasks by a prefix of their ids, else tasks by their titles."""
    if metavar == "RUN":  # of the task that is named before it: the note
        rows = [r for r in rows if r[2].startswith(tuple(filter(None, before)))] or rows
    shown = [
        (id_, title if title.isprintable() else "", note)
        for id_, title, note in rows
        if id_ not in before
    ]
    ids = [(i, title or n) for i, title, n in shown if i.startswith(begun.lower())]
    if not ids and metavar == "TASK":
        begun = begun.casefold()
        ids = [(t, i) for i, t, _ in shown if t.casefold().startswith(begun)]
    return ids[:_MOST]


def _recorded(context: Context, states: Sequence[str], metavar: str) -> list[Row]:
    """List ids and titles, newest first; create nothing and ignore errors."""
    if not os.path.exists(context.settings.state_home / NAME):  # noqa: PTH110 - never fails
        return []
    try:
        if metavar.startswith("RUN"):
            found = context.ledger.all("run_names")
            return [(row["run_id"], "", row["name"]) for row in found]
        if metavar == "ID":
            return _jobs(context, states)
        wanted = [each for each in TaskState if each in states]
        sessions = context.ledger.sessions.all(wanted)
    except RunnerError:
        return []
    return [(s.name, s.title or "", s.outcome or "running") for s in sessions]


def _jobs(context: Context, states: Sequence[str]) -> list[Row]:
    """List jobs of codex-agent, with a label or the beginning of the prompt."""
    from runner.service.jobs import Jobs  # noqa: PLC0415 - for its lines only

    with context.ledger.snapshot():
        rows = Jobs(context.ledger, context.settings).all(_MOST)
    is_any = tuple(states) == tuple(TaskState)
    return [
        (each["id"], each["label"] or format.line(each["prompt"]), each["status"])
        for each in rows
        if is_any or each["status"] in states
    ]
