"""The settings, the ledger and standard output of a command."""

from __future__ import annotations

from functools import cached_property

from parsers.light import contextmanager, suppress
from runner.cli.output import Output, document, error_json, note, pretty, report
from runner.errors import LedgerFault, RunnerError, RunnerFault
from runner.ledger.ledger import Ledger
from runner.model import TaskState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from runner.cli.look import Look
    from runner.cli.options import Values
    from runner.config import Config
    from runner.ledger.sessions import Session
    from runner.service.lookup import Found
    from runner.service.older import OlderTasks


# The variable that asks for the JSON of version 0.2.
_FORM, _OLD_FORM = "CODEX_RUNNER_JSON", "0.2"
_OLDER = (
    "this state directory has tasks of an older codex-tasks, which are shown as they"
    " are (codex-tasks import imports them, with their usage)"
)


class Context:
    """Open the ledger and standard output on first use."""

    def __init__(
        self,
        settings: Config,
        output: Output | None = None,
        found: Values | None = None,
    ) -> None:
        self.settings = settings
        self.output = output or Output()
        self._found = vars(found) if found else {}
        self._noted: set[str] = set()
        self._errors: list[dict[str, str | None]] = []

    def tell(
        self,
        found: Values,
        kind: str,
        told: Mapping[str, object],
        lines: Iterable[str] = (),
    ) -> None:
        """Print the object of a command with --json, else lines for people.

        The object has the errors of single tasks, too. What was a bare list in version
        0.2 is one again with CODEX_RUNNER_JSON=0.2.
        """
        if not found.json:
            self.output.lines(lines)
        elif kind == "tasks" and self.settings.environment.get(_FORM) == _OLD_FORM:
            self.output.lines([pretty(told["tasks"])])
        else:
            errors = {"errors": self._errors} if self._errors else {}
            self.output.lines([document(kind, {**told, **errors})])

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.state_home)

    @cached_property
    def look(self) -> Look:
        """How standard output is drawn on."""
        from runner.cli import look  # noqa: PLC0415 - not for a new run

        colour, is_ascii = self._found.get("color"), self._found.get("ascii", False)
        return look.of(self.settings.environment, colour, is_ascii=is_ascii)

    @property
    def is_coloured(self) -> bool:
        """Whether standard output has colours."""
        return self.look.has_colour

    def tell_sent(
        self, found: Values, key: int, run_id: str | None, lines: Iterable[str] = ()
    ) -> None:
        """Print what became of a prompt: the run that it has started, or that it waits.

        `waiting` are the numbers of all prompts of its task that wait.
        """
        if not found.json:
            self.output.lines(lines)
            return
        session, waiting = self.ledger.sessions.get(key), self.ledger.queue.waiting(key)
        names = {"id": session.name, "short_id": session.short_id}
        more = {"session_id": session.thread, "run_id": run_id}
        numbers = [prompt.id for prompt in waiting]
        self.tell(found, "sent", {**names, **more, "waiting": numbers})

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
        """Find the session that a text names, to change it: an older task is imported.

        Raises:
            NoSuchTaskError, UsageError: as `lookup.find`.
            SessionBusyError: it is an older task that is running.
        """
        (task,) = self.found([text])
        if task.older is None:
            return task.session
        return task.older.take(task.session, self.ledger)

    def found(self, texts: Sequence[str]) -> list[Found]:
        """Find the sessions that texts name, each once, also those of older tasks."""
        from runner.service.search import find_any  # noqa: PLC0415 - not for a new run

        found = [find_any(text, self.ledger, self.settings) for text in texts]
        if any(each.older for each in found):
            self._name_import()
        return list({each.session.name: each for each in found}.values())

    def all(
        self, states: Collection[TaskState], *, is_counted: bool = False
    ) -> list[Found]:
        """Return the tasks in some states, the newest first, older ones included."""
        from runner.service.lookup import Found  # noqa: PLC0415 - not for a new run

        found = self.ledger.sessions.all(states)
        tasks = [Found(session=each, ledger=self.ledger) for each in found]
        if (older := self.older(states, is_counted=is_counted)) is not None:
            tasks += older.found(states)
            tasks.sort(key=lambda each: each.session.updated_at, reverse=True)
        return tasks

    def older(
        self,
        states: Collection[TaskState] = tuple(TaskState),
        *,
        is_counted: bool = False,
    ) -> OlderTasks | None:
        """Return the tasks of an older tool that were not imported, if there are any.

        Those in some states, and perhaps others.
        """
        from runner.service.lookup import older_tasks  # noqa: PLC0415 - not for a new run

        if not (places := older_tasks(self.ledger, states)):
            return None
        from runner.service.older import OlderTasks  # noqa: PLC0415 - see above

        self._name_import()
        return OlderTasks(places, self.settings, is_counted=is_counted)

    def _name_import(self) -> None:
        """Say once in a state directory that older tasks can be imported."""
        with suppress(LedgerFault):
            if self.ledger.write("save_setting", name="older", value="named"):
                self.note(_OLDER)

    @contextmanager
    def waiting(
        self, tasks: Iterable[Found], *, are_jobs: bool = False
    ) -> Iterator[None]:
        """Wait for sessions in a block; at a Ctrl-C name those that go on."""
        try:
            yield
        except KeyboardInterrupt:
            names = []
            with suppress(RunnerError):
                found = [each.ledger.sessions.get(each.session.key) for each in tasks]
                running = [s for s in found if s.state is TaskState.RUNNING]
                names = [each.short_id for each in running]
            if names:
                what = " ".join(names)
                command = "codex-agent kill" if are_jobs else "codex-tasks stop"
                text = f"still running: {what} ({command} {what} ends it)"
                note(text, is_interrupting=True)
            raise

    @staticmethod
    def note(text: str) -> None:
        note(text)

    def note_containment(self, *, is_queued: bool = False) -> None:
        """Note what will end what was just started in the background."""
        from runner.service import containment  # noqa: PLC0415 - while Codex starts

        if why := containment.warning(self.settings, is_queued=is_queued):
            note(why)

    def called(self, name: str, short_id: str) -> str:
        """Return what a line calls a task: in a pipe scripts know its whole id."""
        return short_id if self.look.is_drawn else name

    def fault(self, name: str, error: RunnerError | OSError, short_id: str = "") -> int:
        """Write the error of one of several tasks; return the exit code."""
        if isinstance(error, OSError):
            error = RunnerFault(str(error))
        report(error, short_id or name)
        self.keep(error, name)
        return error.exit_code

    def keep(self, error: RunnerError, name: str = "") -> None:
        """Add an error to the object that the command prints."""
        self._errors.append(error_json(error, name))

    def notes(self, texts: Iterable[str]) -> None:
        """Write notes; a text that was a note before is not repeated."""
        for text in texts:
            if text not in self._noted:
                self._noted.add(text)
                note(text)
