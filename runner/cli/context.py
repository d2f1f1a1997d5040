"""The settings, the ledger and standard output of a command."""

from __future__ import annotations

from functools import cached_property

from parsers.light import contextmanager, suppress
from runner.cli.output import Output, note
from runner.errors import RunnerError
from runner.ledger.ledger import Ledger
from runner.model import TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runner.config import Config
    from runner.ledger.sessions import Session


class Context:
    """Open the ledger and standard output on first use."""

    def __init__(self, settings: Config) -> None:
        self.settings = settings
        self.output = Output()
        self._noted: set[str] = set()

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.state_home)

    def sweep(self) -> Mapping[int, str]:
        """Judge abandoned runs and deliver prompts, before the ledger is read.

        Returns:
            Per session key, why the state of its run cannot be determined here.
        """
        from runner.lifecycle.recover import sweep  # noqa: PLC0415 - not for a new run

        swept = sweep(self.ledger, self.settings)
        self.notes(swept.faults)
        return swept.unknown

    def session(self, text: str) -> Session:
        """Find the session that a text names."""
        return self.sessions([text])[0]

    def sessions(self, texts: Sequence[str]) -> list[Session]:
        """Find the sessions that texts name, each once."""
        from runner.service import lookup  # noqa: PLC0415 - not for a new run

        return lookup.find_all(texts, self.ledger)

    @contextmanager
    def waiting(self, keys: Iterable[int]) -> Iterator[None]:
        """Wait for sessions in a block; at a Ctrl-C name those that go on."""
        try:
            yield
        except KeyboardInterrupt:
            names = []
            with suppress(RunnerError):
                found = map(self.ledger.sessions.get, keys)
                names = [each.name for each in found if each.state is TaskState.RUNNING]
            if names:
                what = " ".join(names)
                text = f"still running: {what} (codex-tasks stop {what} ends it)"
                note(text, is_interrupting=True)
            raise

    @staticmethod
    def note(text: str) -> None:
        note(text)

    def note_containment(self) -> None:
        """Note what will end a run that was just started in the background."""
        from runner.service import containment  # noqa: PLC0415 - while Codex starts

        if why := containment.warning(self.settings):
            note(why)

    @staticmethod
    def fault(name: str, error: Exception) -> None:
        """Write the error of one of several tasks, which is named once."""
        text = str(error)
        note(text if name in text else f"{name}: {text}")

    def notes(self, texts: Iterable[str]) -> None:
        """Write notes; a text that was a note before is not repeated."""
        for text in texts:
            if text not in self._noted:
                self._noted.add(text)
                note(text)
