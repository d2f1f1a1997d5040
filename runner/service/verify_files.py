"""Check that the files of a session's runs are there, besides their records."""

from __future__ import annotations

from functools import partial

from runner import files
from runner.exports import key_values
from runner.ledger import record
from runner.service import summarize
from runner.service.verify_findings import Finding
from runner.tail import RunTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.model import Run
    from runner.run_files import RunFiles
    from runner.service.verify_session import Case


def file_differences(case: Case) -> Iterator[Finding]:
    """Name what is missing of the runs that Codex was started for.

    Where nothing but the record is left, that was written again by a mend, which has
    said so.
    """
    for run in case.runs:
        paths = record.files_of(run.spec)
        if run.launched_at is None or not files.is_directory(paths.directory):
            continue
        expected = (paths.prompt, paths.events, paths.stderr, paths.log, paths.summary)
        missing = [path for path in expected if files.status(path) is None]
        if len(missing) < len(expected):
            yield from _missing(run, paths, missing)


def _missing(run: Run, paths: RunFiles, missing: list[Path]) -> Iterator[Finding]:
    made = {} if paths.events in missing else {paths.log: _log, paths.summary: _summary}
    for path in missing:
        write = made.get(path)
        yield Finding(
            subject=run.run_id,
            kind="files-missing",
            detail=f"{path} is not there",
            mend=partial(write, run, paths) if write else None,
        )


def _log(run: Run, paths: RunFiles) -> None:
    body = "".join(written.text for written in RunTail(paths).finish())
    head, foot = (
        key_values.text([*key_values.announcement(run), ""]),
        key_values.verdict(run),
    )
    text = f"{head}{body}\n{key_values.text(foot)}"
    files.replace(paths.log, text.encode(errors="backslashreplace"))


def _summary(run: Run, paths: RunFiles) -> None:
    text = record.encode(summarize.made_anew(run), indent=2)
    files.replace(paths.summary, text)
