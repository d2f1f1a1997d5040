"""Give a session the name that Codex announces, in an order in which nobody is misled.

Its lock comes before its id, so that nobody can ask for it before it is ours; its id is
on record before its directory moves, and whoever waits for the id is told last. So
whoever knows the id finds the session, and whoever finds the record but not the files
looks for them where the id says.
"""

from __future__ import annotations

import contextlib

from parsers.struct import replace
from runner import clock, session_lock
from runner.errors import LedgerFault, RunnerError
from runner.model import SessionId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.config import Config
    from runner.exports.task_files import Chronicle
    from runner.supervisor.recorder import RunRecorder

_PAUSE_SECONDS = 1.0
# An index that is locked makes us wait for long: Codex must be attended meanwhile.
_REST_PER_WAIT = 10.0


class Naming:
    """Name the session of a run, as soon as the record takes its id.

    Args:
        keeper: the run and its record.
        chronicle: the files of its session.
        settings: for the state directory.
    """

    def __init__(
        self, keeper: RunRecorder, chronicle: Chronicle, settings: Config
    ) -> None:
        self._keeper = keeper
        self._chronicle = chronicle
        self._home = settings.state_home
        self._session: SessionId | None = None
        self._is_done = False
        self._not_before = 0.0

    def name(self, thread_id: str) -> bool:
        """Name the session; tell whether that is done or must be asked for again."""
        began = clock.monotonic()
        if began < self._not_before:
            return False
        if self._session is None:
            self._session = SessionId(thread_id)
            self._take_lock(self._session)
        self._is_done = self._publish(self._session)
        now = clock.monotonic()
        self._not_before = now + max(_PAUSE_SECONDS, _REST_PER_WAIT * (now - began))
        return self._is_done

    def finish(self) -> None:
        """Name it at last, when the record could not take its id before."""
        if self._session is not None and not self._is_done:
            self._is_done = self._publish(self._session)

    def _take_lock(self, session: SessionId) -> None:
        keeper = self._keeper
        if keeper.run.spec.resume_session == session:
            return
        with contextlib.suppress(RunnerError):
            taken = session_lock.take(
                self._home, keeper.ledger, session, keeper.run.run_id
            )
            if isinstance(taken, session_lock.Held):
                keeper.session_locks.append(taken.descriptor)

    def _publish(self, session: SessionId) -> bool:
        keeper = self._keeper
        if not keeper.keep(replace(keeper.run, session_id=session)):
            return False
        try:
            named = self._chronicle.name(keeper.run, session)
        except LedgerFault as error:
            keeper.warn(str(error))
            return False
        except RunnerError as error:
            keeper.warn(str(error))
            named = None
        if named is not None:
            keeper.keep(named)
            self._chronicle.note(named)
        keeper.channel.say(session=session)
        return True
