"""Check that the files of a session's runs are there, besides their records."""

from __future__ import annotations

from functools import partial

from runner import artifacts, block, record
from runner.service import summarize
from runner.service.verify_findings import Finding
from runner.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.artifacts import RunFiles
    from runner.model import Run
    from runner.service.verify_session import Case


def file_differences(case: Case) -> Iterator[Finding]:
    """Name what is missing of the runs that Codex was started for.

    Where nothing but the record is left, that was written again by a mend, which has
    said so.
    """
    for run in case.runs:
        files = record.files_of(run.spec)
        if run.launched_at is None or not artifacts.is_directory(files.directory):
            continue
        expected = (files.prompt, files.events, files.stderr, files.log, files.summary)
        missing = [path for path in expected if artifacts.status(path) is None]
        if len(missing) < len(expected):
            yield from _missing(run, files, missing)


def _missing(run: Run, files: RunFiles, missing: list[Path]) -> Iterator[Finding]:
    made = {} if files.events in missing else {files.log: _log, files.summary: _summary}
    for path in missing:
        write = made.get(path)
        yield Finding(
            subject=run.run_id,
            kind="files-missing",
            detail=f"{path} is not there",
            mend=partial(write, run, files) if write else None,
        )


def _log(run: Run, files: RunFiles) -> None:
    body = "".join(written.text for written in Watch(files).finish())
    head, foot = block.text([*block.announcement(run), ""]), block.verdict(run)
    text = f"{head}{body}\n{block.text(foot)}"
    artifacts.replace(files.log, text.encode(errors="backslashreplace"))


def _summary(run: Run, files: RunFiles) -> None:
    text = record.encode(summarize.made_anew(run), indent=2)
    artifacts.replace(files.summary, text)
