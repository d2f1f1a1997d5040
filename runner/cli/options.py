"""The options of a command: the table that its help is made of, and its values.

Two readers are made from one table. `read_plain` takes a plain command line, in 0.1 ms.
Help, mistakes and everything unusual are left to argparse (`parser`), whose import
takes as long as the rest of a start.
"""

from __future__ import annotations

from parsers.struct import Struct
from runner import config
from runner.errors import UsageError
from runner.model import CodexOptions, Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from runner.config import Config

_LONGEST_NUMBER = 19
# How Codex is given a sandbox in its own arguments; it takes no `--sandbox` beside some
# of them.
_SANDBOX_WORDS = (
    *("-s", "--sandbox", "--full-auto", "--yolo", "--dangerously-bypass-approvals"),
    *("--approve-for-me", "sandbox_mode", "default_permissions"),
)
# Read with `codex_of`.
CODEX_OPTIONS = """\
--codex-bin BIN               the binary [default: codex]
--sandbox, -s MODE            read-only, workspace-write or danger-full-access
--model, -m MODEL             Codex's --model
--config, -c KEY=VALUE ...    a configuration value; repeatable
--skip-git-repo-check         also work outside of a git repository
"""
# Of commands that start a run in the background; `command.enter_scope` does it.
SCOPE_OPTION = """\
--scope                   start in a unit of systemd of its own, which outlives the
                          service, job or login session that this runs in
"""
# Of commands that draw on a terminal; `look.of` reads them.
SCREEN_OPTIONS = """\
--color {auto,always,never}  colours; with always a pipe gets what a terminal shows
                             [default: auto]
--ascii                      only signs of ASCII
"""


class Values:
    """The values of a command line, each under the name of its option."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # noqa: ANN401 - of any option


class Option(Struct):
    """Hold one line of a table.

    `words` are the spellings of an option, none for an argument. `value` is the name of
    its value, "" for a flag. `is_many` is true for what can be repeated, `takes_many`
    for an option with several values.
    """

    group: str | None
    words: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    is_many: bool
    takes_many: bool
    default: str | None
    told: str

    @property
    def name(self) -> str:
        """Name its value among the `Values`."""
        long = [word for word in self.words if word.startswith("--")]
        word = (long or self.words or (self.value.lower(),))[0]
        return word.lstrip("-").replace("-", "_")

    @property
    def spelt(self) -> str:
        """Spell it as in a help: `-n, --lines N`."""
        name = ", ".join(sorted(self.words, key=len))
        value = f"{self.value}..." if self.is_many and not self.words else self.value
        return f"{name} {value}".strip()

    @property
    def initial(self) -> object:
        """Return the value that it has when it is not given."""
        if self.words and not self.value:
            return 0 if self.is_many else False
        return [] if self.is_many else self.default


def read_table(table: str) -> Iterator[Option]:
    """Read a table of options and arguments, which is the text of their help.

    Each line is `-n, --lines N  HELP`; indented lines below continue the help. Without
    the N the option is a flag; `N ...` can be repeated, `N+ ...` takes many values;
    `{a,b}` are choices; `[default: x]` in the help is the default. `TASK` is an
    argument, `TASK ...` any number of them. A line that ends with a colon begins a
    group. An option without help is hidden.
    """
    group = None
    for line in table.replace("\n  ", " ").splitlines():
        usage, _, told = line.partition("  ")
        if usage.endswith(":"):
            group = usage[:-1]
            continue
        *words, last = usage.replace(", ", " ").split()
        is_many = last == "..."
        words += [] if is_many else [last]
        value = "" if words[-1].startswith("-") else words.pop()
        has_default = "[default: " in told
        default = told.partition("[default: ")[2].partition("]")[0]
        yield Option(
            group=group,
            words=tuple(words),
            value=value.removesuffix("+"),
            choices=tuple(value[1:-1].split(",")) if value.startswith("{") else (),
            is_many=is_many,
            takes_many=value.endswith("+"),
            default=default if has_default else None,
            told=" ".join(told.split()),
        )


def read_plain(
    table: str, words: Sequence[str], defaults: Mapping[str, object]
) -> Values | None:
    """Read a command line; None when argparse has to look at it."""
    options = list(read_table(table))
    named = {word: option for option in options for word in option.words}
    arguments = [option for option in options if not option.words]
    values = Values()
    found = vars(values)
    found.update({option.name: option.initial for option in options})
    found.update(defaults)
    rest = iter(words)
    for word in rest:
        value: object = word
        option = next(iter(arguments), None)
        if word.startswith("-") and word != "-":
            option = named.get(word.partition("=")[0])
            value = None if option is None else _value(option, word, rest)
        elif option is not None and not option.is_many:
            arguments.remove(option)
        if option is None or not _is_plain(option, value):
            return None
        is_list = option.is_many and option.value
        found[option.name] = [*found[option.name], value] if is_list else value
    return None if any(not option.is_many for option in arguments) else values


def _value(option: Option, word: str, rest: Iterator[str]) -> object:
    """Return the value of an option, True for a flag; None when it is unusual."""
    name, equals, value = word.partition("=")
    if not option.value:
        return None if equals or option.is_many else True
    if equals:
        return value if name.startswith("--") else None
    return next(rest, None)


def _is_plain(option: Option, value: object) -> bool:
    """Return whether a value cannot be a mistake: empty, an option, a wrong choice."""
    if value is True or option.takes_many or not isinstance(value, str):
        return value is True
    is_odd = not value or (value.startswith("-") and value != "-")
    return not is_odd and (not option.choices or value in option.choices)


def refuse(*cases: tuple[object, str] | tuple[object, str, str]) -> None:
    """Raise the message of the first case that holds; a third part is the hint.

    Raises:
        UsageError: a case holds.
    """
    for holds, *told in cases:
        if holds:
            raise UsageError(*told)


def sandbox_of(found: Values) -> str | None:
    """Read `--sandbox`.

    Raises:
        UsageError: Codex has no such sandbox.
    """
    mode: str | None = found.sandbox
    wrong = f"--sandbox: {mode!r} is none of {', '.join(config.SANDBOXES)}"
    ways = "--sandbox read-only, or --sandbox workspace-write"
    refuse((mode is not None and mode not in config.SANDBOXES, wrong, ways))
    return mode


def codex_of(
    found: Values, settings: Config, extra: tuple[str, ...] = ()
) -> CodexOptions:
    """Read the options of `CODEX_OPTIONS`.

    A model that is given to Codex in another way (`-- -m`, `-c model=…`) is the run's.
    What is given in no way is that of the settings.

    Args:
        found: the command line.
        settings: those in force for the run.
        extra: more arguments for Codex.

    Raises:
        UsageError: the sandbox is unknown.
    """
    model, named = found.model, taken(extra, "-m", "--model")
    if model is None and named is not None:
        model, extra = named
    later = [value for _, _, value in _found(extra, "-c", "--config")]
    for setting in () if model else reversed((*found.config, *later)):
        name, _, value = setting.partition("=")
        if name.strip() == "model":
            model = value.strip().strip("\"'")
            break
    sandbox = sandbox_of(found)
    words = (word.removeprefix("--config=") for word in (*extra, *found.config))
    has_sandbox = any(w.removeprefix("-c").startswith(_SANDBOX_WORDS) for w in words)
    if sandbox is None and not has_sandbox:
        sandbox = settings.sandbox
    return CodexOptions(
        bin=found.codex_bin,
        sandbox=sandbox,
        model=model or settings.model,
        overrides=tuple(found.config),
        skip_git_repo_check=found.skip_git_repo_check,
        extra=extra,
    )


def taken(
    words: tuple[str, ...], short: str, long: str
) -> tuple[str, tuple[str, ...]] | None:
    """Take an option out of Codex's arguments; return its value and the rest.

    None when it is not there exactly once: Codex then refuses it.
    """
    found = _found(words, short, long)
    if len(found) != 1:
        return None
    ((begin, end, value),) = found
    return value, (*words[:begin], *words[end:])


def _found(words: Sequence[str], short: str, long: str) -> list[tuple[int, int, str]]:
    """Find an option in arguments: where it begins and ends, and its value."""
    found, at = list[tuple[int, int, str]](), 0
    while at < len(words):
        word, end = words[at], at + 1
        if word in {short, long} and end < len(words):
            end += 1
            found.append((at, end, words[at + 1]))
        elif word.startswith(f"{long}="):
            found.append((at, end, word.partition("=")[2]))
        elif word[:2] == short and word != short:
            found.append((at, end, word[2:].removeprefix("=")))
        at = end
    return found


def limits_of(found: Values, settings: Config) -> Limits:
    """Read `--timeout` and `--stall-timeout`.

    Raises:
        UsageError: a value is not a number of seconds.
    """
    timeout = settings.timeout_seconds
    if found.timeout is not None:
        timeout = config.seconds(found.timeout, "--timeout")
    stall = settings.stall_seconds
    if found.stall_timeout is not None:
        stall = config.seconds(found.stall_timeout, "--stall-timeout")
    return Limits(timeout=timeout, stall=stall)


def whole_number(
    text: str | None, name: str, what: str, *, least: int = 0, fix: str = ""
) -> int | None:
    """Read a count; None means all. `fix` is that of an argument.

    Raises:
        UsageError: the text is not a whole number, or below the least.
    """
    if text is None:
        return None
    is_number = text.isascii() and text.isdecimal()
    if is_number and len(text) >= _LONGEST_NUMBER:
        return None  # above any possible count
    if not is_number or int(text) < least:
        message = f"{name} {text!r} is not a number of {what}, {least} or more"
        raise UsageError(message, f"{name} {max(least, 1)}" if name[0] == "-" else fix)
    return int(text)
