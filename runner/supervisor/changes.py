"""What a run changes, for its record: git works in copies of the supervisor."""

from __future__ import annotations

from parsers import json_text, loose_json
from runner import clock
from runner.config import hook_environment
from runner.errors import RunnerError
from runner.lifecycle import snapshot, worktree
from runner.run_files import own_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.ledger.record import Json
    from runner.ledger.sessions import Worktree
    from runner.supervisor.beside import Beside, Task
    from runner.supervisor.recorder import RunRecorder

# In which a copy says that it gave up.
_MARGIN_SECONDS = 0.1


class ChangesWatch:
    """Have the files of a run looked at when Codex starts and when it has ended.

    In a worktree of the session its changes are counted, elsewhere in a repository
    there are two snapshots. Codex waits for neither, the verdict a short time.
    """

    def __init__(self, recorder: RunRecorder, beside: Beside, settings: Config) -> None:
        run = recorder.run
        self._recorder, self._beside, self._home = recorder, beside, settings.state_home
        # So its programs are not taken for those of Codex.
        self._environment = hook_environment(settings, run.run_id)
        self._is_wanted = run.spec.terms.snapshot and run.worktree is None
        self._top: str | None = None
        self._tasks: list[tuple[float, Task]] = []
        self._count: Task | None = None

    def begin(self) -> None:
        """Take the first snapshot."""
        if self._is_wanted:
            self._top = snapshot.repository_of(self._recorder.run.spec.repo)
            self._take(snapshot.BEGIN)

    def end(self) -> None:
        """Take the second one, or count what is in the worktree."""
        run = self._recorder.run
        self._take(snapshot.END)
        found = run.worktree and self._recorder.ledger.sessions.worktree(run.session)
        if found:
            self._count = self._beside.start(lambda: self._counted(found))

    def counted(self) -> Json:
        """Return what is in the worktree; an error is a warning of the run."""
        if self._count is None:
            return {}
        said = self._count.answer(worktree.SECONDS)
        told = loose_json.mapping(json_text.loads(said) if said else None)
        if why := told.get("error", None if told else "it took too long"):
            self._recorder.warn(f"the changes in its worktree are not counted: {why}")
            return {}
        return dict(told)

    def settle(self) -> None:
        """Wait until the snapshots are taken, or too late."""
        for began, task in self._tasks:
            late = began + snapshot.SECONDS + _MARGIN_SECONDS
            task.answer(max(0.0, late - clock.monotonic()))

    def _take(self, which: str) -> None:
        if (top := self._top) is not None:
            place = own_directory(self._home, self._recorder.run.run_id)
            task = self._beside.start(
                lambda: snapshot.record(which, top, place, self._environment)
            )
            self._tasks.append((clock.monotonic(), task))

    def _counted(self, found: Worktree) -> bytes:
        run_id = self._recorder.run.run_id
        own = own_directory(self._home, run_id)
        try:
            told = worktree.changes(found, own, self._environment)
        except (RunnerError, OSError) as error:
            told = {"error": str(error)}
        return json_text.dumps(told).encode()
