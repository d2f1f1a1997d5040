"""Open an idle session in Codex's own interface."""

from __future__ import annotations

import os

from parsers.paths import Path
from parsers.struct import Struct
from runner import config
from runner.codex.binary import interface_argv
from runner.codex.home import writer_of
from runner.errors import RunnerFault, SessionBusyError
from runner.ledger.sessions import PromptsWaitError
from runner.lifecycle.queue import next_request
from runner.process.fork import become
from runner.process.start import which

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from runner.config import Config
    from runner.ledger.ledger import Ledger
    from runner.ledger.sessions import Session


class Interface(Struct):
    """Hold the command line of Codex's interface, where it works, and its home."""

    argv: tuple[str, ...]
    directory: str
    codex_home: str


def interface_of(session: Session, ledger: Ledger, settings: Config) -> Interface:
    """Return how Codex's interface is opened with the settings of a session.

    Raises:
        SessionBusyError: a run or another program writes it, or prompts wait.
        UndeliverableError: it has no thread or no working directory.
        ArchivedError: it is archived.
        RunnerFault: there is no Codex.
    """
    name = session.short_id
    ledger.sessions.refuse_archived(session.key)
    if (holder := ledger.queue.holder(session.key)) is not None:
        raise SessionBusyError(name, holder, f"codex-tasks log -f {name}")
    if waiting := ledger.queue.waiting(session.key):
        raise PromptsWaitError(session.short_id, len(waiting), puts_away=True)
    request = next_request(session, b"", settings)
    codex, thread = request.codex, request.thread or ""
    pid = writer_of(Path(request.codex_home), thread)
    if pid is not None:
        raise SessionBusyError(name, "", f"codex-tasks log {name}", pid=pid)
    program = which(codex.bin, settings.search_path)
    if program is None:
        message = f"codex binary not found: {codex.bin}"
        raise RunnerFault(message, "codex-tasks doctor")
    return Interface(
        argv=(program, *interface_argv(codex, request.repo, thread)[1:]),
        directory=request.repo,
        codex_home=request.codex_home,
    )


def enter(interface: Interface, settings: Config) -> NoReturn:
    """Become Codex's interface, in the terminal of this process."""
    settings = config.at_codex_home(settings, interface.codex_home)
    os.umask(settings.umask)
    os.chdir(interface.directory)
    become([*interface.argv], settings.environment, ())
