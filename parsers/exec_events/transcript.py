"""The lines of `codex exec --json` (0.50 to 0.169) as text for people.

It is pure: a log can be made again from its events. Headings begin at the first column,
and texts of a prompt, a model or a tool are indented below them. So no text can be
mistaken for a heading, and `parsers.text_logs.read` can read the log.
"""

from __future__ import annotations

from parsers.exec_events import events, items
from parsers.struct import Struct
from parsers.text import painted, strip, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from parsers.accounting.tokens import Usage

OUTPUT_LINES: Final = 100  # kept at each end of a command's output
LINE_LENGTH: Final = 2_000
_COMMAND_LENGTH: Final = 120
_INDENT: Final = "  "
_OUTCOMES: Final = {"completed": "succeeded", "": "ended"}
_LETTERS: Final = {"add": "A", "delete": "D", "update": "M"}
# Colours by the first word of a heading; a failure always has the same colour.
_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"
_HEADINGS: Final = {
    **dict.fromkeys(("exec", "plan", "file", "tool", "agents:", "web"), _BOLD),
    **dict.fromkeys(("thinking", "[stderr]", "session", "tokens"), _DIM),
    **dict.fromkeys(("Token", "thread"), _DIM),
    **dict.fromkeys(("ERROR:", "turn", "exited", "failed:", "declined:", "run"), _RED),
    **dict.fromkeys(("note:", "warning:", "unreadable", "not"), _YELLOW),
    "user": "1;36",
    "codex": "1;35",
    "succeeded:": _GREEN,
}
_FAILED: Final = ("failed", "(failed)", "declined", "(declined)")
_BODIES: Final = {
    **dict.fromkeys(("thinking", "[stderr]"), _DIM),
    **dict.fromkeys(("ERROR:", "turn", "run"), _RED),
}
_CHANGES: Final = {"A": _GREEN, "D": _RED, "M": _YELLOW}


class Form(Struct, kw_only=False):
    """Hold how texts are shown: whether whole, and what is made of their characters.

    By default control characters are replaced by their codes, of a command's output
    the first and the last `OUTPUT_LINES` lines are kept, and long lines are cut.
    """

    is_whole: bool = False
    show: Callable[[str], str] = visible


_USUAL: Final = Form()


def render(line: bytes, event: events.Event | None = None, form: Form = _USUAL) -> str:
    """Render a line; "" when there is nothing to show, else a text with a newline.

    `event` is the line if it was decoded already.
    """
    said = ""
    match event or events.decode(line):
        case events.ItemEvent(phase="completed", item=item):
            said = _completed(item, form)
        case (
            events.ItemEvent(phase="started", item=item)
            | events.ItemEvent(item=items.TodoList() as item)
        ):
            said = _started(item, form)
        case events.ThreadStarted(thread_id=thread_id):
            said = f"session id: {thread_id}\n\n"
        case events.TurnFailed(message=message):
            said = _heading("turn failed: ", message, form)
        case events.ErrorReported(message=message, is_reconnect=is_reconnect):
            said = _heading("note: " if is_reconnect else "ERROR: ", message, form)
        case events.UnknownEvent(type=name):
            said = _heading("not known to this version: event ", name, form)
        case events.Undecodable():
            text = line[: 4 * LINE_LENGTH].decode("utf-8", "replace").strip(" \t\r\n\0")
            text = text.replace("\n", " ")
            said = _heading("unreadable line: ", text, form) if text else ""
        case events.ItemEvent() | events.TurnStarted() | events.TurnCompleted():
            pass  # the usage of a completed turn is that of the whole thread
    return said


def render_stderr(line: bytes, form: Form = _USUAL) -> str:
    """Render a line that Codex wrote to its standard error."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    return _heading("[stderr] ", strip(text), form) if text.strip() else ""


def render_prompt(text: bytes, form: Form = _USUAL) -> str:
    """Render the prompt of a run."""
    return _block("user", text.decode("utf-8", "replace"), form)


def render_tokens(
    usage: Usage | None, thread: Usage | None = None, *, sign: str = ""
) -> str:
    """Render the tokens of a completed run, or of its thread when they are unknown.

    The total is that of the summary: with cached input, which Codex's own texts omit.
    `sign` says that it is a bound.
    """
    if usage is None:
        return "" if thread is None else f"thread total: {_figures(thread)}"
    total = f"tokens used\n{sign}{usage.total_tokens:,}\n"
    has_parts = usage.input_tokens > 0  # a log may tell the total alone
    return total + (f"Token usage: {_figures(usage, sign)}" if has_parts else "")


def render_end(run_id: str, outcome: str, error: str | None) -> str:
    """Render the end of a run that did not succeed."""
    reason = (error or "").encode("utf-8", "replace").decode()
    return _heading(
        f"run {run_id} {outcome}" + (": " if reason else ""), reason, _USUAL
    )


def coloured(said: str) -> str:
    """Colour a text that one of the functions above has rendered."""
    word = ""
    lines = []
    for line in said.split("\n"):
        if not line.startswith(_INDENT):
            word = line.partition(" ")[0] or word
            colour = _HEADINGS.get(word, "")
            if colour == _BOLD and line.endswith(_FAILED):
                colour = _RED
        elif word == "file":
            colour = _CHANGES.get(line.split(maxsplit=1)[0], "")
        else:
            colour = _BODIES.get(word, "")
        lines.append(painted(line, colour))
    return "\n".join(lines)


def _started(item: items.Item, form: Form) -> str:
    match item:
        case items.Command(command=command):
            return _block("exec", command, form)
        case items.McpToolCall(server=server, tool=tool):
            return _block(f"tool {server}.{tool}", "", form)
        case items.CollabToolCall(tool=tool, prompt=prompt):
            return _block(f"agents: {tool}", prompt or "", form)
        case items.TodoList(todos=todos):
            steps = (f"[{'x' if todo.is_done else ' '}] {todo.text}" for todo in todos)
            return _block("plan", "\n".join(steps), form)
        case _:
            return ""


def _completed(item: items.Item, form: Form) -> str:
    said = ""
    match item:
        case items.AgentMessage(text=text):
            said = _block("codex", text, form)
        case items.Reasoning(text=text):
            said = _block("thinking", text, form)
        case items.Command(command=command, exit_code=code, status=status):
            outcome = f"exited {code}" if code else _OUTCOMES.get(status, status)
            name = _shortened(" ".join(command.split()), _COMMAND_LENGTH)
            said = _block(f"{outcome}: {name}", _bounded(item.output, form), form)
        case items.FileChange(changes=changes, status=status):
            edits = (f"{_LETTERS.get(each.kind, '?')} {each.path}" for each in changes)
            said = _block(f"file update ({status})", "\n".join(edits), form)
        case items.McpToolCall(tool=tool, status=status, error=error, result=result):
            heading = f"tool {item.server}.{tool} {status}"
            said = _block(heading, _bounded(error or result, form), form)
        case items.CollabToolCall(tool=tool, status=status):
            threads = "\n".join(item.receiver_thread_ids)
            said = _block(f"agents: {tool} {status}", threads, form)
        case items.WebSearch(query=query):
            said = _block("web search", query, form)
        case items.ItemError(message=message):
            said = _heading("warning: ", message, form)
        case items.UnknownItem(type=name):
            said = _heading("not known to this version: item ", name, form)
        case _:
            pass  # a plan, whose last update said the same
    return said


def _figures(usage: Usage, sign: str = "") -> str:
    return (
        f"total={sign}{usage.total_tokens:,} input={usage.input_tokens:,} "
        f"({usage.cached_input_tokens:,} cached) output={usage.output_tokens:,} "
        f"(reasoning {usage.reasoning_output_tokens:,})\n"
    )


def _heading(heading: str, text: str, form: Form) -> str:
    first, *rest = _lines(text, form) or [""]
    shown = visible(heading).replace("\n", " ")
    return f"{shown}{first}".rstrip() + "\n" + _indented(rest)


def _block(heading: str, text: str, form: Form) -> str:
    shown = visible(heading).replace("\n", " ").rstrip()
    return f"{shown}\n{_indented(_lines(text, form))}\n"


def _indented(lines: list[str]) -> str:
    return "".join(f"{_INDENT}{line}".rstrip() + "\n" for line in lines)


def _lines(text: str, form: Form) -> list[str]:
    # Cut first: the code of a control character is longer than the character.
    lines = text.rstrip().split("\n")
    cut = lines if form.is_whole else [_shortened(each, LINE_LENGTH) for each in lines]
    shown = form.show("\n".join(cut)).rstrip()
    return shown.split("\n") if shown else []


def _bounded(output: str, form: Form) -> str:
    lines = output.rstrip().split("\n")
    left_out = len(lines) - 2 * OUTPUT_LINES
    if left_out <= 0 or form.is_whole:
        return output
    note = f"… {left_out:,} lines left out …"
    return "\n".join((*lines[:OUTPUT_LINES], note, *lines[-OUTPUT_LINES:]))


def _shortened(line: str, length: int) -> str:
    if len(line) <= length:
        return line
    return f"{line[:length]}… ({len(line) - length:,} characters left out)"
