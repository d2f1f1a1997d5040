"""Logs for people: Codex's human mode, the bash runner's logs and our transcripts.

Codex 0.50 to 0.169 writes headings (`user`, `exec`, `codex`, `tokens used`, …) with the
texts below them when it is called without `--json`. The bash runner
`run_codex_task.sh` and this suite put `key=value` blocks around them. A prompt or a
tool can print anything, so a fact is taken only from a line that Codex or a runner
wrote:

* the session id from the banner, which precedes the prompt, else the last block;
* `tokens used` after an answer, or as the very last thing that Codex wrote;
* fields from the last block.

Our transcripts indent each text, so there a text is never mistaken for a heading.
"""

from __future__ import annotations

from parsers.accounting.tokens import Usage, read_usage
from parsers.exec_events.events import is_reconnect
from parsers.exec_events.summary import EventSummary, keep
from parsers.facts import OTHER_THREAD, Facts, warn
from parsers.light import pattern
from parsers.struct import replace
from parsers.text import strip, uuid
from parsers.text_logs import figures

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, Literal

    from parsers.facts import Ended

    _Style = Literal["codex", "ours"]

_LONGEST: Final = 65_536  # bytes; a longer line is part of a text
_MESSAGE_LINES: Final = 20_000
_INDENT: Final = "  "
_SPOKEN: Final = frozenset({"user", "codex", "thinking", "exec"})
_TOKENS: Final = "tokens used"
_OF_TOOLS: Final = ("exec", "user", _TOKENS)  # what follows these may be a tool's
_CHANGED: Final = "file update (completed)"
_BANNER: Final = "OpenAI Codex v"
_EVENT: Final = b'{"type":'
# Bytes: control sequences may precede an event, or what a CI system, `docker compose`
# or `kubectl` writes before each line.
_EVENT_PLACE: Final = 200
_BANNER_LINES: Final = {
    "codex_version": pattern(rf"{_BANNER}([0-9]\S*)(?: .*)?"),
    "cwd": pattern(r"workdir:\s*(.+)"),
    "session_id": pattern(rf"(?i){figures.TIME}session id:\s*(\S+)"),
    "model": pattern(rf"{figures.TIME}model:\s*(\S+)"),
}
_BAD_OUTCOME: Final = pattern(r"(?:exited -?[0-9]+|failed|declined): ")
_FAILURE: Final = pattern(r"(?:ERROR|turn failed): (.*)")
_CHANGE: Final = pattern(r"([ADM]) (.+)")
_KINDS: Final = {"A": "add", "D": "delete", "M": "update"}
_FIELD: Final = pattern(r"([a-z][a-z0-9_]*)=(.*)")
_FIRST: Final = "codex_run_id"
_SECOND: Final = "codex_exit_code"
_GLUED: Final = pattern(rf"{_FIRST}=(\S+)$")


def read_text_log(lines: Iterable[bytes]) -> Facts:
    """Read a log for people; never raises on its contents."""
    log = _TextLog()
    for line in lines:
        log.feed(line)
    return log.facts()


class _TextLog:
    def __init__(self) -> None:
        self._events = EventSummary()  # of a log whose Codex printed events
        self._figures = _Figures()
        self._blocks = _Blocks()
        self._style: _Style | None = None
        self._heading: str | None = None
        self._is_below_heading = False
        self._said: list[str] = []
        self._message: str | None = None
        self._banner: dict[str, str] = {}
        self._errors: list[str] = []
        self._failure: str | None = None
        self._commands_run = 0
        self._commands_failed = 0
        self._files: dict[str, str] = {}
        self._warnings: dict[str, int] = {}
        self._banners = 0

    def feed(self, line: bytes) -> None:
        if self._style is None and (at := line.find(_EVENT, 0, _EVENT_PLACE)) >= 0:
            self._events.feed(line[at:])
        elif len(line) > _LONGEST:
            self._take_text(line[:_LONGEST].decode("utf-8", "replace"))
        else:
            text = line.decode("utf-8", "replace").replace("\0", "")
            self._take(strip(text).rstrip())

    def facts(self) -> Facts:
        self._close()
        fields, banner = self._blocks.fields, self._banner.get
        if self._events.thread_id or self._events.ended:
            cost = self._figures.cost
            return replace(
                self._events.facts(), kind="log", fields=fields, cost_usd=cost
            )
        is_ours = self._style == "ours"
        is_completed = self._figures.of_codex is not None
        is_begun = bool(self._banner.keys() & {"codex_version", "session_id"})
        if not (is_begun or fields or is_completed or self._message):
            return Facts(kind="log")  # `ERROR: …` and `model: …` are not Codex's alone
        well: Ended | None = "completed" if is_completed else None
        return Facts(
            kind="log",
            session_id=banner("session_id") or uuid(fields.get("codex_session_id")),
            has_begun=is_completed,
            turns=self._banners,
            model=banner("model")
            or fields.get("model")
            or fields.get("model_selected"),
            final_message=self._message,
            commands_run=self._commands_run if is_ours else None,
            commands_failed=self._commands_failed if is_ours else None,
            files_changed=self._files if is_ours else None,
            errors=tuple(self._errors),
            warnings=self._warnings,
            ended=well if self._failure is None else "failed",
            failure=self._failure,
            usage=self._figures.usage,
            total_tokens=self._figures.total,
            uncached_tokens=self._figures.uncached,
            is_share=self._figures.is_share,
            cost_usd=self._figures.cost,
            codex_version=banner("codex_version"),
            cwd=banner("cwd"),
            fields=fields,
        )

    def _take(self, text: str) -> None:
        if self._is_below_heading and text and self._style != "codex":
            # The line after a heading shows which tool wrote the log.
            self._style = "ours" if text.startswith(_INDENT) else "codex"
        self._is_below_heading = False
        is_of_tool = self._style != "ours" and self._heading in _OF_TOOLS
        if self._style == "ours" and (text.startswith(_INDENT) or not text):
            self._take_text(text.removeprefix(_INDENT))
        elif self._blocks.take(text):
            self._close()
            self._figures.take_named(text)
        elif self._figures.take(text, is_doubtful=is_of_tool):
            self._close()
            self._heading, self._failure = _TOKENS, None
        elif text in _SPOKEN or self._style == "ours":
            self._open(text)
        elif self._heading == _TOKENS:
            self._take_own_line(text)  # the answer once more, or a runner's cost
        else:
            self._take_failure(text)
            if self._heading is None:
                self._take_own_line(text)
            self._take_text(text)

    def _open(self, text: str) -> None:
        """Begin the section of a heading (ours: any line at the first column)."""
        self._close()
        self._heading = text
        self._is_below_heading = text in _SPOKEN
        if self._style == "ours":
            self._take_own_line(text)
        self._take_failure(text)
        self._commands_run += text == "exec"
        self._commands_failed += _BAD_OUTCOME.match(text) is not None

    def _close(self) -> None:
        if self._heading == "codex":
            self._message = "\n".join(self._said).strip()
        self._heading, self._said = None, []

    def _take_own_line(self, text: str) -> None:
        """Take a line that Codex or a runner wrote: a banner, a figure, a cost."""
        if text.startswith(_BANNER):
            self._style = "codex"
            self._banners += 1
        for name, form in _BANNER_LINES.items():
            if (found := form.fullmatch(text)) is None:
                continue
            value: str | None = found.group(1)
            if name == "session_id":
                self._style = self._style or "ours"  # Codex's has a banner above
                value = uuid(value)
            is_codex = name != "cwd" or "codex_version" in self._banner
            if value is not None and is_codex:
                first = self._banner.setdefault(name, value)
                if name == "session_id" and value != first and self._banners > 1:
                    warn(self._warnings, OTHER_THREAD)
        self._figures.take_named(text)

    def _take_failure(self, text: str) -> None:
        found = _FAILURE.fullmatch(text)
        if found is None or is_reconnect(found.group(1)):
            self._failure = self._failure if text not in _SPOKEN else None
            return
        self._failure = found.group(1)
        keep(self._errors, self._failure)

    def _take_text(self, text: str) -> None:
        """Take a line of the text of a prompt, a model or a tool."""
        if self._heading == "codex" and len(self._said) < _MESSAGE_LINES:
            self._said.append(text)
        elif self._heading == _CHANGED:
            change = _CHANGE.fullmatch(text)
            if change is not None:
                self._files[change.group(2)] = _KINDS[change.group(1)]


class _Figures:
    """The figures of a log; where Codex printed its own, they win over all others."""

    def __init__(self) -> None:
        self.cost: float | None = None
        self.is_share = False
        self._own: int | Usage | None = None
        self._doubtful: int | Usage | None = None
        self._named: dict[str, int] = {}
        self._is_awaited = False  # the line above is a label without its figure
        self._is_label_doubtful = False

    def take(self, text: str, *, is_doubtful: bool) -> bool:
        """Take a line; return whether it is one of Codex's own figures.

        A doubtful one may be a tool's: it counts only when nothing comes after it.
        """
        if self._is_awaited and not text:
            return True
        is_label, figure = figures.tokens_used(text)
        usage, is_share = figures.token_usage(text)
        found = usage if figure is None else figure
        self.is_share = self.is_share or is_share
        if self._is_awaited and not is_label:
            found, is_doubtful = figures.count(text), self._is_label_doubtful
        self._is_awaited = is_label and found is None
        self._is_label_doubtful = is_doubtful
        if found is not None and is_doubtful:
            self._doubtful = found
        elif found is not None:
            self._own, self._doubtful = found, None
        elif text:
            self._doubtful = None
        return is_label or found is not None

    def take_named(self, text: str) -> None:
        """Take a line that Codex or a runner wrote, not a prompt, a model or a tool."""
        self._named.update(figures.parts(text))
        cost = figures.cost(text)
        self.cost = self.cost if cost is None else cost

    @property
    def of_codex(self) -> int | Usage | None:
        """Codex's own figure, which it prints when a turn is completed."""
        return self._own if self._doubtful is None else self._doubtful

    @property
    def usage(self) -> Usage | None:
        if isinstance(self.of_codex, Usage):
            return self.of_codex
        has_both = self._named.keys() >= {"input_tokens", "output_tokens"}
        return read_usage(self._named) if has_both and self.of_codex is None else None

    @property
    def total(self) -> int | None:
        return self._named.get("total_tokens") if self.of_codex is None else None

    @property
    def uncached(self) -> int | None:
        return None if isinstance(self.of_codex, Usage) else self.of_codex


class _Blocks:
    """The fields of a log's last `key=value` block."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self._is_open = False
        self._glued_run_id: str | None = None

    def take(self, line: str) -> bool:
        """Take a line; return whether it belongs to a block."""
        found = _FIELD.fullmatch(line)
        name, value = found.groups() if found else ("", "")
        # An output without a final newline may precede the block's first field.
        is_second = name == _SECOND and not self._is_open
        run_id = self._glued_run_id if is_second else None
        if name == _FIRST:
            run_id = value
        if run_id is not None:
            self.fields = {_FIRST: run_id}
        self._is_open = bool(name) and (self._is_open or run_id is not None)
        if self._is_open:
            self.fields[name] = value
        glued = _GLUED.search(line)
        self._glued_run_id = glued.group(1) if glued and not self._is_open else None
        return self._is_open
