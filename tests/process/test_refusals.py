"""What cannot work is refused with what is wrong and the fix; nothing is left."""

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support import stand_in as script
from support.processes import wait_until
from support.sabotage import FOREGROUND, SUPERVISOR, fails, sabotaged
from support.stand_in import StandIn
from support.tasks import CLOSING, Ended, Tasks, is_refused

OTHER = "01a1f000-0000-7000-8000-00000000000f"
REPO = "fix:   name a directory: --repo DIR"
TASK = 'fix:   --task "Fix the failing test"'
HELP = "fix:   run_codex_task --help"
LIKE_A_FLAG = "fix:   give it a value: --"
NO_VALUE = "fix:   leave it out, or give it a value: --"
NO_STREAM = "fix:   name a file: --json-out FILE"
ELSEWHERE = "fix:   use another state directory: export CODEX_RUNNER_HOME=DIR"


def contents(directory: Path) -> set[str]:
    """List the files below a directory, less the ledger and what tests put there."""
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if path.is_file()
        and not path.is_relative_to(directory / "state")
        and not path.is_relative_to(directory / "repo")
    }


BAD: dict[str, tuple[list[str], list[str]]] = {
    "an unknown flag": (["--frobnicate"], ["--frobnicate", HELP]),
    "a stray word": (["word"], ["word", HELP]),
    "an abbreviated flag": (
        ["--tas", "x"],
        ["--tas", "fix:   --task, or run_codex_task --help"],
    ),
    "a missing value": (["--timeout"], ["--timeout", LIKE_A_FLAG]),
    "a value that looks like a flag": (["--model", "-x"], ["--model", LIKE_A_FLAG]),
    "a repo that is not there": (["--repo", "nowhere"], ["nowhere", "directory", REPO]),
    "a repo that is a file": (["--repo", "file"], ["file", "directory", REPO]),
    "a repo without a name": (["--repo", ""], ["--repo is empty", NO_VALUE]),
    "an empty task": (["--task", ""], ["--task is empty", TASK]),
    "an option for a task": (
        ["--task", "--detach"],
        ["--task: expected one", LIKE_A_FLAG],
    ),
    "a blank task": (["--task", " \n\t"], ["--task", "empty", TASK]),
    "two prompts": (["--task", "a", "--task-file", "file"], ["not both"]),
    "a task file that is not there": (["--task-file", "none"], ["none", "No such"]),
    "a task file that is a directory": (["--task-file", "."], ["directory"]),
    "an empty task file": (["--task-file", "empty"], ["empty"]),
    "standard input without a task": (
        ["--task", "-"],
        ["standard input", "empty", TASK],
    ),
    "an empty continuation": (["--resume", OTHER, "--continue-prompt", " "], ["empty"]),
    "a session that is no UUID": (["--resume", "my-session"], ["my-session", "UUID"]),
    "a program without a name": (
        ["--codex-bin", ""],
        ["--codex-bin is empty", NO_VALUE],
    ),
    "a sandbox without a name": (["--sandbox="], ["--sandbox/-s is empty", NO_VALUE]),
    "an unknown sandbox": (
        ["-s", "workspace-wirte"],
        ["wirte", "read-only", "fix:   --sandbox read-only"],
    ),
    "no setting": (["-c", ""], ["--config/-c is empty", NO_VALUE]),
    "no verbosity": (["--verbosity", ""], ["--verbosity is empty", NO_VALUE]),
    "a huge number of seconds": (["--timeout", "4000d"], ["more than ten years"]),
    "nearly a UUID": (["--resume", OTHER[:-1]], ["UUID"]),
    "a session that is a path": (["--resume", "../../etc/passwd"], ["UUID"]),
    "a very long session": (["--resume", "x" * 5000], ["UUID"]),
    "a session in two lines": (["--resume", "a\nb"], ["UUID"]),
    "a flag in two lines": (["--a\nb"], ["--a b", HELP]),
    "a timeout in words": (["--timeout", "soon"], ["--timeout", "soon", "2h"]),
    "a negative timeout": (["--timeout=-1"], ["--timeout", "-1"]),
    "an endless timeout": (["--timeout", "inf"], ["--timeout", "inf"]),
    "no number at all": (["--stall-timeout", "nan"], ["--stall-timeout", "nan"]),
    "an empty number": (["--stall-timeout", ""], ["--stall-timeout", NO_VALUE]),
    "a huge number": (["--timeout", "1e30"], ["--timeout"]),
    "an unknown verbosity": (["--verbosity", "loud"], ["loud"]),
    "an empty notify command": (["--notify-cmd", " "], ["--notify-cmd"]),
    "an open quote": (["--notify-cmd", "echo 'a"], ["--notify-cmd"]),
    "a summary that is a directory": (["--json-out", "."], ["--json-out"]),
    "an event stream that is a directory": (
        ["--event-stream", "."],
        ["--event-stream .: is a directory, name a file"],
    ),
    "a summary on standard output": (
        ["--json-out", "/dev/stdout"],
        ["--json-out", NO_STREAM],
    ),
    "a summary on a descriptor": (
        ["--json-out", "/dev/fd/1"],
        ["/dev/fd/1", NO_STREAM],
    ),
    "events on standard error": (
        ["--event-stream", "/dev/stderr"],
        ["/dev/stderr", "fix:   name a file: --event-stream FILE"],
    ),
    "events on a way round": (
        ["--event-stream", "/proc/self/fd/1"],
        ["/proc/self", "fix:   name a file: --event-stream FILE"],
    ),
    "a repo with a very long name": (["--repo", "x" * 5000], ["--repo", REPO]),
    "a log directory that is a file": (
        ["--log-dir", "file"],
        ["--log-dir file: not a directory", "fix:   name a directory: --log-dir DIR"],
    ),
    "a log directory below a file": (
        ["--log-dir", "file/runs"],
        ["file/runs", "fix:   name another directory: --log-dir DIR"],
    ),
    "a log directory without a name": (["--log-dir", ""], ["--log-dir", NO_VALUE]),
}
FAULTS = {"a log directory below a file"}


@pytest.mark.core
@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_with_the_fix_and_leaves_nothing(
    task: Tasks, tmp_path: Path, stand_in: StandIn, what: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").write_text("")
    before = contents(tmp_path)
    arguments, words = BAD[what]

    ended = task(*arguments)

    assert is_refused(ended, 1 if what in FAULTS else 2, *words), ended
    assert contents(tmp_path) == before
    assert stand_in.records == []


def test_bytes_that_are_no_text_are_refused_like_any_other(
    task: Tasks, tmp_path: Path
) -> None:
    stray = os.fsdecode(b"\xff\xfe")

    for flag in ("--resume", "--repo", "--task-file", "--timeout", "--verbosity"):
        ended = task(flag, stray)
        assert is_refused(ended, 2, *([REPO] if flag == "--repo" else [])), ended
    assert task("--log-dir", tmp_path / stray).code == 0
    assert task.parse(stray).code == 2
    assert "Traceback" not in task.parse(stray).stderr


@pytest.mark.parametrize(
    "words", [("--task-file", "prompt"), ("--task", "-"), ("start", "-")]
)
def test_a_prompt_that_is_no_text_is_refused_by_every_command_alike(
    task: Tasks, stand_in: StandIn, state_home: Path, words: tuple[str, str]
) -> None:
    prompt = task.place / "prompt"
    prompt.write_bytes(b"caf\xe9 \xff")
    by = "codex_tasks" if "start" in words else "run_codex_task"
    arguments = words if "start" in words else task.arguments(*words)

    with prompt.open("rb") as stdin:
        begun = task.cli.start(*arguments, command=by, stdin=stdin)
        out, err = begun.communicate(timeout=30)

    ended = Ended(begun.returncode, out.decode(), err.decode())
    assert is_refused(ended, 2, "not UTF-8 (byte 3): Codex refuses it"), ended
    assert stand_in.runs == []
    assert task.all == []
    assert not list(state_home.glob("runs/*"))


@pytest.mark.core
def test_without_a_repo_or_a_prompt_nothing_is_done(task: Tasks) -> None:
    for arguments, fix in (
        ([], REPO),
        (["--task", "x"], REPO),
        (["--repo", str(task.repo)], TASK),
    ):
        done = task.cli(*arguments)

        assert is_refused(Ended(done.returncode, done.stdout, done.stderr), 2, fix)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CODEX_TIMEOUT_SECONDS", "soon"), ("CODEX_LOG_VERBOSITY", "loud")],
)
def test_a_bad_variable_is_named(task: Tasks, variable: str, value: str) -> None:
    ended = task(env={variable: value})

    assert is_refused(ended, 2, variable, value)
    assert not task.log_dir.exists()


def test_a_task_file_that_may_not_be_read_is_named(task: Tasks) -> None:
    ended = task("--task-file", f"/proc/{os.getpid()}/mem")

    assert is_refused(ended, 2, "/mem")
    assert not task.log_dir.exists()


def test_a_run_without_a_session_cannot_be_carried_on(
    task: Tasks, stand_in: StandIn
) -> None:
    stand_in.plays(script.leave(1))
    first = task()

    ended = task("--resume", first.files.run_id)

    assert is_refused(ended, 2, first.files.run_id, "no session")
    assert len(task.all) == 1


def test_a_current_directory_that_is_gone_is_named(task: Tasks, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = task.cli.argv(*task.arguments())
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$0"; exec "$@"', gone, *command],  # noqa: S607  # any sh
        cwd=gone,
        env=task.cli.env(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert is_refused(Ended(done.returncode, done.stdout, done.stderr), 2, "directory")


@pytest.mark.parametrize(
    ("place", "fix"),
    [
        ("state", ELSEWHERE),
        ("logs", "fix:   name another directory: --log-dir DIR"),
        ("json-out", "fix:   name another path: --json-out PATH"),
        ("stream", "fix:   name another path: --event-stream PATH"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(
    task: Tasks, place: str, fix: str
) -> None:
    sealed = "/proc/sealed/dir"
    env: dict[str, str | None] = {}
    arguments = []
    match place:
        case "state":
            env["CODEX_RUNNER_HOME"] = sealed
        case "logs":
            arguments = ["--log-dir", sealed]
        case "json-out":
            arguments = ["--json-out", f"{sealed}/out.json"]
        case _:
            arguments = ["--event-stream", f"{sealed}/stream"]

    ended = task(*arguments, env=env)

    assert is_refused(ended, 1, "/proc/sealed", fix)
    assert task.all == []


REPAIR = "fix:   codex-tasks verify --repair"
UPDATE = "fix:   update this version, or use another state directory: "
FIXES = {"damaged": REPAIR, "newer": UPDATE, "a directory": REPAIR, "cut short": REPAIR}


@pytest.mark.parametrize("kind", FIXES)
def test_a_ledger_that_cannot_be_used_is_named_and_stays_as_it_is(
    task: Tasks, state_home: Path, kind: str
) -> None:
    ledger = state_home / "ledger.db"
    state_home.mkdir()
    if kind == "cut short":
        task()
        with closing(sqlite3.connect(ledger)) as db:
            db.execute("pragma wal_checkpoint(truncate)")
        ledger.write_bytes(ledger.read_bytes()[:5000])
        shutil.rmtree(task.log_dir)
    else:
        make_unusable(ledger, kind)
    before = ledger.read_bytes() if ledger.is_file() else b""

    ended = task()

    assert is_refused(ended, 1, str(ledger), FIXES[kind]), ended
    assert task.all == []
    assert (ledger.read_bytes() if ledger.is_file() else b"") == before


@pytest.mark.parametrize("kind", ["damaged", "newer", "a directory"])
def test_beside_an_old_index_that_cannot_be_read_no_empty_ledger_is_made(
    task: Tasks, state_home: Path, kind: str
) -> None:
    index = state_home / "runs.db"
    state_home.mkdir()
    make_unusable(index, kind)
    before = index.read_bytes() if index.is_file() else b""

    ended = task()

    old = "fix:   with version 0.2, which wrote it: codex-tasks verify --repair"
    fix = old if kind == "damaged" else FIXES[kind]
    assert is_refused(ended, 1, str(index), fix), ended
    assert task.all == []
    assert not (state_home / "ledger.db").exists()
    assert (index.read_bytes() if index.is_file() else b"") == before


def make_unusable(path: Path, kind: str) -> None:
    match kind:
        case "damaged":
            path.write_bytes(b"no database " * 1000)
        case "newer":
            with closing(sqlite3.connect(path)) as db:
                db.execute("pragma user_version = 99")
        case _:
            path.mkdir()


def under_limit(task: Tasks, size: int, *arguments: object) -> Ended:
    """Run with a limit on the size of any file that is written."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    done = subprocess.run(
        task.cli.argv(*task.arguments(*arguments)),
        env=task.cli.env(),
        cwd=task.place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        preexec_fn=limit,  # the child runs no threads
        timeout=30,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("size", [0, 1, 1000, 5000])
def test_a_disk_that_takes_nothing_is_named_and_nothing_is_half_written(
    task: Tasks, stand_in: StandIn, size: int
) -> None:
    ended = under_limit(task, size)

    assert is_refused(ended, 1, "cannot use the ledger", ELSEWHERE), ended
    assert not task.log_dir.exists() or list(task.log_dir.iterdir()) == []
    assert stand_in.runs == []


@pytest.mark.parametrize("text", [".prompt", ".events", ".log"])
def test_a_disk_that_is_full_at_any_file_leaves_none(
    task: Tasks, stand_in: StandIn, text: str
) -> None:
    ended = task(env=sabotaged(fails(SUPERVISOR, "open", text)))

    assert is_refused(ended, 1, "No space left")
    assert list(task.log_dir.iterdir()) == []
    assert stand_in.runs == []
    assert task().code == 0


def test_a_meta_file_that_the_disk_refuses_at_the_start_is_written_later(
    task: Tasks,
) -> None:
    ended = task(env=sabotaged(fails(SUPERVISOR, "open", ".meta.json")))

    assert ended.code == 0
    assert ended.meta["outcome"] == "succeeded"


def test_a_supervisor_that_cannot_be_started_is_told_and_leaves_nothing(
    task: Tasks, tmp_path: Path, state_home: Path, stand_in: StandIn
) -> None:
    before = contents(tmp_path)
    point = fails(FOREGROUND, "os.fork", "")

    ended = task(env=sabotaged(point))

    told = "cannot start a supervisor: No space left on device"
    assert is_refused(ended, 1, told), ended
    assert contents(tmp_path) == before
    assert not state_home.exists()
    assert stand_in.runs == []
    assert task().code == 0


def test_a_record_that_cannot_be_made_whole_leaves_no_row_and_no_file(
    task: Tasks, state_home: Path, stand_in: StandIn
) -> None:
    point = fails(SUPERVISOR, "sqlite3.execute", "insert into runs")

    ended = task(env=sabotaged(point))

    assert is_refused(ended, 1, "disk is full", ELSEWHERE), ended
    assert list(task.log_dir.iterdir()) == []
    assert list(state_home.glob("runs/*")) == []
    with closing(sqlite3.connect(state_home / "ledger.db")) as db:
        for table in ("runs", "sessions", "prompts"):
            assert db.execute(f"select count(*) from {table}").fetchone() == (0,)  # noqa: S608  # a name from above
    assert stand_in.runs == []


def test_a_disk_that_fills_up_during_the_run_costs_a_warning_not_the_verdict(
    task: Tasks,
) -> None:
    points = [fails(SUPERVISOR, "open", ".summary.json.")]
    ended = task("--json-out", task.place / "copy.json", env=sabotaged(*points))

    assert ended.code == 0
    assert ended.fields["outcome"] == "succeeded"
    assert any("No space left" in each for each in ended.meta["warnings"])
    # The warning is written to the exports later, when there is room again.
    wait_until(lambda: "No space left" in ended.files.text(".summary.json"))
    assert not list(task.log_dir.glob(".*"))
    assert "warning: cannot write" in ended.stderr


@pytest.mark.parametrize("flag", ["--json-out", "--event-stream"])
def test_a_report_that_cannot_be_written_is_a_warning(task: Tasks, flag: str) -> None:
    ended = task(flag, "/dev/full")

    assert ended.code == 0
    assert ended.block == CLOSING
    warned = [each for each in ended.meta["warnings"] if "/dev/full" in each]
    assert len(warned) == 1
    assert "No space left" in warned[0]
    assert ended.stderr.splitlines() == [f"run_codex_task: warning: {warned[0]}"]


@pytest.mark.parametrize("flag", ["--json-out", "--event-stream"])
def test_a_report_to_nowhere_is_no_matter(task: Tasks, flag: str) -> None:
    ended = task(flag, "/dev/null")

    assert ended.code == 0
    assert ended.meta["warnings"] == {}


TINY = """
mount -t tmpfs -o size=$SIZE none "$PLACE" && exec "$@"
"""


def can_mount() -> bool:
    done = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"],  # noqa: S607  # any
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.skipif(
    sys.platform != "linux" or not can_mount(), reason="nothing can be mounted here"
)
@pytest.mark.parametrize("size", ["4k", "16k", "64k"])
def test_a_tiny_disk_never_makes_a_verdict_lie(
    task: Tasks, stand_in: StandIn, tmp_path: Path, size: str
) -> None:
    place = tmp_path / "tiny"
    place.mkdir()
    stand_in.plays(
        *script.begin(),
        script.fill(200_000),
        script.out("\n"),
        script.message("All done."),
        script.complete(),
    )
    report = tmp_path / "report"
    show = f'"$@"; code=$?; cp -r {place}/. {report}; exit $code'
    done = subprocess.run(
        [
            *("unshare", "-Urm", "--kill-child", "sh", "-c", TINY, "sh"),
            *("sh", "-c", show, "sh"),
            *task.cli.argv(*task.arguments("--log-dir", place / "runs")),
        ],
        env=task.cli.env({"SIZE": size, "PLACE": str(place)}),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    ended = Ended(done.returncode, done.stdout, done.stderr)

    assert "Traceback" not in ended.stderr
    assert ended.code != 0
    if ended.stdout:
        assert ended.fields["outcome"] in {"failed", "lost", "not_started"}, ended
        parsed = task.parse(ended.fields["codex_run_id"])
        assert f'"outcome":"{ended.fields["outcome"]}"' in parsed.stdout
    else:
        assert is_refused(ended, 1, "No space left"), ended


def test_a_pipe_without_a_reader_is_refused_and_not_waited_for(task: Tasks) -> None:
    pipe = task.place / "pipe"
    os.mkfifo(pipe)

    ended = task("--event-stream", pipe, timeout=10)

    fix = "fix:   name another file: --event-stream FILE"
    assert is_refused(ended, 1, str(pipe), fix), ended
    assert task.all == []
