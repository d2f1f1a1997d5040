"""Codex's error message: the line on standard error that says why it ended."""

from pathlib import Path

import pytest

from runner.codex.stderr import error_message, read_tail

TRUST = "Not inside a trusted directory and --skip-git-repo-check was not specified."
USAGE = "error: unexpected argument '-C' found"
LOADING = "Error loading config.toml:"
DRAWING = '  |\n1 | model = "x\n  |          ^\n'


NOTICES = """\
WARNING: proceeding, even though we could not create PATH aliases: Refusing to create
warning: Untrusted project-local configuration is disabled. Run `codex exec --trust` to
"""
PANIC = """\

thread 'codex-main' (16865) panicked at /rustc/59807616/stdio.rs:1:9:
failed printing to stdout: No space left on device (os error 28)
stack backtrace:
   0: <unknown>
   1: std::panicking::begin_panic
             at ./library/std/src/panicking.rs:1:5
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
"""
CAUSED = """\
Error: Failed to write "/dev/full"

Caused by:
    No space left (os error 28)

Stack backtrace:
   0: <unknown>
"""
OF_NODE = """\

<--- Last few GCs --->


#
# Fatal javascript OOM in GC during deserialization
#
"""
THROWN = """\
node:internal/modules/cjs/loader:1143
  throw err;
  ^

Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/opt/codex.js'
    at Module._resolveFilename (node:internal/modules/cjs/loader:1140:15) {
  code: 'MODULE_NOT_FOUND',
}

Node.js v20.11.0
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", None),
        (PANIC, " ".join(PANIC.splitlines()[1:3])),
        (CAUSED, 'Error: Failed to write "/dev/full": No space left (os error 28)'),
        (OF_NODE, "Fatal javascript OOM in GC during deserialization"),
        (
            THROWN,
            "Error [ERR_MODULE_NOT_FOUND]: Cannot find module '/opt/codex.js'",
        ),
        ("FATAL ERROR: heap\n 1: 0xb8 node::Abort()\n", "FATAL ERROR: heap"),
        ("thread 'x' has overflowed its stack\nfatal runtime error: stack overflow\n",
         "fatal runtime error: stack overflow"),
        ("/usr/bin/env: 'node': No such file\n", "/usr/bin/env: 'node': No such file"),
    ],
)  # fmt: skip
def test_a_notice_or_a_frame_is_never_the_cause(text: str, message: str | None) -> None:
    assert error_message(f"{NOTICES}{text}") == message
    assert error_message(f"{text}{NOTICES}") == message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", None),
        ("\n \n", None),
        (f"{TRUST}\n", TRUST),
        (f"\n{TRUST}", TRUST),
        ("Reading prompt from stdin...\nNo prompt provided via stdin.\n", None),
        (f"{USAGE}\n\nUsage: codex exec\n\nFor more information, try --help.\n", USAGE),
        ("WARNING: proceeding\n2026-11-20T10:00:00.1Z  WARN x: y\nError: bad\n", "bad"),
        (f"{LOADING}\n/c.toml:1:3: bad\n{DRAWING}", f"{LOADING} /c.toml:1:3: bad"),
        (
            f"{LOADING} no string\nin `model`\n\n",
            f"{LOADING} no string in `model`",
        ),
        (
            "error: bad 'x'\n  [possible values: y]\n\nUsage: z\n",
            "x' [possible values: y]",
        ),
        ("\x1b[31mError: red\x1b[0m\n", "Error: red"),
        ("Reading prompt from stdin...\n", None),
        ("thread 'main' panicked at a.rs:1:\nindex out of bounds\n", "panicked"),
    ],
)
def test_the_error_message_is(tmp_path: Path, text: str, words: str | None) -> None:
    path = tmp_path / "stderr"
    path.write_text(text)

    found = error_message(read_tail(path))

    if "No prompt" in text:
        words = "No prompt provided"
    assert (found is None) if words is None else (words in str(found))


def test_a_message_is_bounded_and_made_of_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / "stderr"
    path.write_bytes(b"noise\n" * 100_000 + b"\xff\0" + b"x" * 10_000)

    assert len(error_message(read_tail(path)) or "") == 500


def test_without_a_file_there_is_no_message(tmp_path: Path) -> None:
    assert error_message(read_tail(tmp_path / "none")) is None
    assert error_message(read_tail(tmp_path)) is None
