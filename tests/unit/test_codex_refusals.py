"""Why Codex ended before its turn began: its texts word for word, paths shortened."""

import re

import pytest

from runner.codex.stderr import _REFUSALS, error_class

THREAD = "01a22b2c-cb88-7760-b0fe-be14a920d397"
FAILED = "Error: thread/resume: thread/resume failed: "
ROLLOUT = f"/h/sessions/2026/11/30/rollout-2026-11-30T06-41-15-{THREAD}.jsonl"
STORE = "thread-store internal error: "
MAUVE = (
    "unknown variant `mauve`, expected one of `read-only`, `workspace-write`, "
    "`danger-full-access`\nin `sandbox_mode`\n\n"
)

# 0.169.0 and 0.171.0 write the same.
WRITER = f"""\
2026-11-30T06:38:06.346615Z ERROR codex_core::session::session: failed to initialize \
thread persistence: thread-store conflict: thread {THREAD} already has an active writer
2026-11-30T06:38:06.346838Z ERROR codex_core::session: Failed to create session: \
thread-store conflict: thread {THREAD} already has an active writer
{FAILED}thread {THREAD} already has an active writer (code -32600)
"""
UNKNOWN = f"{FAILED}no rollout found for thread id {THREAD} (code -32600)\n"
ARCHIVED = (
    f"{FAILED}session {THREAD} is archived. Run `codex unarchive {THREAD}` to "
    "unarchive it first. (code -32600)\n"
)
EMPTY = (
    f"{FAILED}failed to read thread: {STORE}failed to read session metadata {ROLLOUT}: "
    f"{STORE}failed to read session metadata {ROLLOUT}: rollout at {ROLLOUT} is empty "
    "(code -32603)\n"
)
UNTRUSTED = (
    "Not inside a trusted directory and --skip-git-repo-check was not specified.\n"
)
SYNTAX = """\
Error loading config.toml:
/h/config.toml:16:10: unclosed array, expected `]`
   |
16 | foo = [1,
   |          ^
"""
MISSING_HOME = """\
WARNING: proceeding, even though we could not create PATH aliases: CODEX_HOME points \
to "/nowhere", but that path does not exist
Error finding codex home: CODEX_HOME points to "/nowhere", but that path does not exist
"""
RENAMED = (
    f"{FAILED}This chat uses model provider “loopback”, which is no longer configured. "
    "Restore this provider’s configuration to continue. (code -32600), data: "
    '{"type":"modelProviderNotConfigured","modelProvider":"loopback"}\n'
)
UNREADABLE_RULES = """\
Error loading rules:
/h/rules/x.rules:2: starlark error: error: Parse error: unexpected new line, expected \
expression (problem is on or around line 2)
"""
LEGACY = (
    'Error: legacy `profile = "nope"` config is no longer supported; use `--profile '
    "nope` with `nope.config.toml` instead\n"
)
NO_MODEL = (
    "Error: thread/start: thread/start failed: No models are available. Set `model` "
    "explicitly or check your model catalog configuration. (code -32600)\n"
)
PARSER = """\
error: unexpected argument '--nonsense' found

  tip: to pass '--nonsense' as a value, use '-- --nonsense'

Usage: codex exec [OPTIONS] [PROMPT]
       codex exec [OPTIONS] <COMMAND> [ARGS]

For more information, try '--help'.
"""
COLOURED = (
    "\x1b[1m\x1b[31merror:\x1b[0m unexpected argument '\x1b[33m--nonsense\x1b[0m' "
    "found\n\nFor more information, try '\x1b[1m--help\x1b[0m'.\n"
)
SCHEMA = (
    "Failed to read output schema file /nope.json: No such file or directory "
    "(os error 2)\n"
)
BAD_SCHEMA = (
    "Output schema file /bad.json is not valid JSON: EOF while parsing an object at "
    "line 1 column 1\n"
)
LAST_MESSAGE = (
    'Error: Failed to open last message file "/nope/x": No such file or directory '
    "(os error 2)\n"
)
OSS = (
    "Error: No default OSS provider configured. Use --local-provider=provider or set "
    "oss_provider to one of: lmstudio, ollama in config.toml\n"
)

REFUSED = [
    ("writer", WRITER),
    ("thread_gone", UNKNOWN),
    ("thread_gone", ARCHIVED),
    ("thread_gone", EMPTY),
    ("untrusted", UNTRUSTED),
    ("configuration", SYNTAX),
    ("configuration", f"Error loading config.toml: {MAUVE}"),
    ("configuration", "Error: Model provider `nowhere` not found\n"),
    ("configuration", RENAMED),
    ("configuration", UNREADABLE_RULES),
    ("configuration", LEGACY),
    ("configuration", NO_MODEL),
    ("configuration", MISSING_HOME),
    ("option", PARSER),
    ("option", COLOURED),
    ("option", "Error parsing -c overrides: Invalid override (missing '='): foo\n"),
    ("option", "Error: Unknown feature flag: nonsense\n"),
    ("option", SCHEMA),
    ("option", BAD_SCHEMA),
    ("option", LAST_MESSAGE),
    ("option", OSS),
]

GONE = f"failed to resolve rollout path `{ROLLOUT}`: file does not exist"
OLDER = [
    ("thread_gone", f"{FAILED}{GONE} (code -32600)\n"),
    ("thread_gone", f"{FAILED}failed to load rollout `{ROLLOUT}`: empty session file"),
    ("thread_gone", "Error: failed to parse conversation ID from rollout file\n"),
    ("thread_gone", "Error: failed to parse thread ID from rollout file\n"),
    ("configuration", "Error: TOML parse error at line 16, column 11\n   |\n"),
    ("configuration", f"Error: {MAUVE}"),
    ("configuration", "Error: config profile `nope` not found\n"),
]

FULL = "No space left on device (os error 28)"
NOT_KNOWN = [
    "",
    "Error: No such file or directory (os error 2)\n",
    f"Error: failed to initialize in-process app-server client: {FULL}\n",
    f"{FAILED}list_turns is not supported yet (code -32601)\n",
    "No prompt provided via stdin.\n",
    (
        "Failed to read prompt from stdin: input is not valid UTF-8 (invalid byte at "
        "offset 5). Convert it to UTF-8 and retry (e.g., `iconv -f <ENC> -t UTF-8 "
        "prompt.txt`).\n"
    ),
    (
        "Error: turn/start: turn/start failed: Input exceeds the maximum length of "
        "1048576 characters. (code -32602), data: "
        '{"input_error_code":"input_too_large","max_chars":1048576,'
        '"actual_chars":1048577}\n'
    ),
    "ChatGPT login is required, but an API key is currently being used. Logging out.\n",
    (
        "Error: thread/start: thread/start failed: error creating thread: Fatal error: "
        "Failed to initialize session: required MCP servers failed to initialize: x: "
        "No such file or directory (os error 2) (code -32603)\n"
    ),
]


@pytest.mark.parametrize(("named", "text"), REFUSED)
def test_what_codex_writes_today_is_named(named: str, text: str) -> None:
    assert error_class(text) == named


@pytest.mark.parametrize(("named", "text"), OLDER)
def test_what_older_versions_wrote_is_named(named: str, text: str) -> None:
    assert error_class(text) == named


@pytest.mark.parametrize("text", NOT_KNOWN)
def test_anything_else_is_not_named(text: str) -> None:
    assert error_class(text) is None


def test_a_text_in_the_middle_of_a_line_is_no_refusal() -> None:
    quoted = "".join(f"> {line}" for line in WRITER.splitlines(keepends=True))

    assert error_class(quoted) is None
    assert error_class(f"he said: {UNTRUSTED}") is None


def test_a_warning_before_it_does_not_hide_a_refusal() -> None:
    warning = "WARNING: proceeding, even though we could not create PATH aliases\n"

    assert error_class(warning + UNTRUSTED) == "untrusted"


@pytest.mark.parametrize("beginning", [beginning for _, beginning, _ in _REFUSALS])
def test_each_line_of_the_table_is_needed(beginning: str) -> None:
    texts = [text for _, text in REFUSED + OLDER]

    assert any(re.search(f"^{beginning}", text, re.MULTILINE) for text in texts)
