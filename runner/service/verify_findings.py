"""What a check of the index against the files finds, and what mends it."""

from __future__ import annotations

from parsers.struct import Struct, replace
from runner.errors import RunnerError
from runner.model import RunId

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Whom a session is held for while it is looked at.
HOLDER = RunId("codex-tasks verify")


class Difference(Struct):
    """Hold one difference between the index and the files.

    `subject` is a session, a run or a path below the state directory, `kind` says in
    one word what is wrong with it, `detail` says it to people. One whose mend has
    failed is not repairable.
    """

    subject: str
    kind: str
    detail: str
    is_repairable: bool
    mended: bool = False


class Finding(Struct):
    """Hold a difference and what mends it, None when nothing of ours can.

    `hides` is a session that cannot be judged before it is mended.
    """

    subject: str
    kind: str
    detail: str
    mend: Callable[[], object] | None = None
    hides: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.subject, self.kind, self.detail


class Findings:
    """Collect differences, each once, and mend them when that is wanted.

    Args:
        is_repairing: mend what can be mended, as soon as it is found.
    """

    def __init__(self, *, is_repairing: bool) -> None:
        self.is_repairing = is_repairing
        self.hidden: set[str] = set()
        self._found: dict[tuple[str, str, str], Difference] = {}

    @property
    def differences(self) -> tuple[Difference, ...]:
        return tuple(self._found.values())

    def take(self, findings: Iterable[Finding]) -> bool:
        """Take what was found; tell whether any of it has been mended."""
        mended = False
        for finding in findings:
            mended |= self._take(finding)
        return mended

    def _take(self, finding: Finding) -> bool:
        before = self._found.get(finding.key)
        if before is not None:
            # It is still so after it was mended: once is enough.
            self._found[finding.key] = replace(
                before, mended=False, is_repairable=False
            )
            return False
        difference = Difference(
            subject=finding.subject,
            kind=finding.kind,
            detail=finding.detail,
            is_repairable=finding.mend is not None,
        )
        if self.is_repairing and finding.mend is not None:
            difference = _mended(difference, finding.mend)
        self._found[finding.key] = difference
        if finding.hides is not None and not difference.mended:
            self.hidden.add(finding.hides)
        return difference.mended


def _mended(difference: Difference, mend: Callable[[], object]) -> Difference:
    try:
        mend()
    except (RunnerError, OSError) as error:
        why = f"{difference.detail}; it cannot be mended: {error}"
        return replace(difference, detail=why, is_repairable=False)
    return replace(difference, mended=True)
