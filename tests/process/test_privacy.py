"""What a run is given stays where it belongs: no argv, no log, nobody else's eyes."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import stand_in as script
from support.forks import INTERPRETER
from support.guard import MARKER
from support.processes import command_line, processes_with, wait_until
from support.sabotage import SUPERVISOR, hold, sabotaged
from support.sessions import Sessions
from support.stand_in import StandIn
from support.tasks import Ended, Tasks, gone

LAST = [script.message("Done."), script.complete()]
ROOT = Path(__file__).resolve().parents[2]
SECRET = "squeamish-ossifrage"  # noqa: S105  # that is the point


def modes(*roots: Path) -> dict[str, int]:
    """List directories and files that more than their owner can get at."""
    paths = [path for root in roots for path in (root, *root.rglob("*"))]
    wanted = {True: 0o700, False: 0o600}
    found = {path: path.stat().st_mode & 0o777 for path in paths}
    return {str(p): mode for p, mode in found.items() if mode != wanted[p.is_dir()]}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_directories_are_0700_and_files_0600_whatever_the_umask(
    task: Tasks, stand_in: StandIn, state_home: Path, tmp_path: Path, umask: int
) -> None:
    stand_in.plays(*script.begin(), script.write("$CODEX_HOME/made", "x"), *LAST)
    old = os.umask(umask)
    try:
        ended = task(
            *("--json-out", tmp_path / "deep" / "er" / "copy.json"),
            *("--event-stream", tmp_path / "deep" / "stream"),
            *("--resume", script.THREAD),
        )
    finally:
        os.umask(old)

    assert ended.code == 0
    assert modes(task.log_dir, state_home, tmp_path / "deep") == {}
    (run,) = stand_in.runs
    assert run["umask"] == umask
    made = Path(task.cli.environment["CODEX_HOME"]) / "made"
    assert made.stat().st_mode & 0o777 == 0o666 & ~umask
    assert ended.meta["request"]["umask"] == umask


@pytest.mark.parametrize("way", ["--task", "--task-file", "stdin", "continue"])
def test_nothing_of_the_prompt_is_in_the_arguments_of_any_process(
    task: Tasks, stand_in: StandIn, marker: str, way: str
) -> None:
    go, prompt = task.place / "go", task.place / "prompt"
    stand_in.plays(*script.begin(), script.wait_for(go), script.complete())
    prompt.write_text(SECRET)
    # Forks have not the marker's variable from their start.
    arguments, env = ["--task-file", str(prompt)], {**INTERPRETER}
    if way == "continue":
        arguments = ["--resume", script.THREAD]
        env["CODEX_CONTINUE_PROMPT"] = SECRET
    elif way == "--task":
        arguments = ["--task", SECRET]
    if way == "stdin":
        with prompt.open("rb") as stdin:
            begun = task.start("--task", "-", stdin=stdin, env=env)
    else:
        begun = task.start(*arguments, env=env)
    files = begun.wait_running()
    wait_until(lambda: stand_in.runs)

    ours = set(processes_with(MARKER, marker)) - {begun.process.pid}
    lines = {pid: command_line(pid) for pid in ours}

    assert {files.supervisor(), files.codex()} <= set(lines)
    assert not [line for line in lines.values() if SECRET in line]
    assert stand_in.runs[0]["stdin"] == SECRET
    go.touch()
    assert begun.wait().code == 0


def test_the_log_and_the_output_tell_no_secret_and_no_environment(
    task: Tasks,
) -> None:
    ended = task(
        "-vv",
        *("-c", f"model_providers.x.env_key={SECRET}"),
        *("-c", f"api_key={SECRET}"),
        *("--config", f'http_headers={{Authorization="{SECRET}"}}'),
        env={"OPENAI_API_KEY": SECRET, "CODEX_API_KEY": SECRET, "MY_VAR": SECRET},
    )

    assert ended.code == 0
    assert SECRET not in ended.stdout + ended.stderr + ended.files.log
    assert SECRET not in ended.files.text(".summary.json")
    assert SECRET not in ended.files.text(".meta.json")


def test_a_masked_setting_reaches_codex_at_every_prompt(sessions: Sessions) -> None:
    session = sessions.start("-c", f"api_key={SECRET}", "Begin.")
    session.wait()
    assert session.send("Second.").code == 0
    session.wait()

    for run in sessions.stand_in.runs:
        assert f"api_key={SECRET}" in run["argv"]
    for words in (["status", "--json"], ["log", "--json"], ["status"]):
        assert SECRET not in sessions(*words, session.id).stdout
    for path in sessions.state_home.rglob("*.json"):
        assert SECRET not in path.read_text(), path
    verified = sessions("verify")
    assert verified.code == 0, verified


@pytest.mark.core
def test_codex_gets_the_callers_environment_and_the_id_of_its_run(
    task: Tasks, stand_in: StandIn
) -> None:
    task(env={"OPENAI_API_KEY": SECRET, "EMPTY": ""})

    given = dict(stand_in.runs[0]["env"])
    for shell_made in ("PWD", "SHLVL", "_", "OLDPWD"):
        given.pop(shell_made, None)
    assert given == {
        **task.cli.environment,
        "OPENAI_API_KEY": SECRET,
        "EMPTY": "",
        "CODEX_RUNNER_RUN": given["CODEX_RUNNER_RUN"],
        **{name: given[name] for name in ("LC_CTYPE",) if name in given},
    }


def test_codex_works_where_the_caller_is(task: Tasks, stand_in: StandIn) -> None:
    task("--sandbox", "read-only", "-m", "gpt-5", "-c", "a=1", "-c", "b=2")

    (run,) = stand_in.runs
    assert run["cwd"] == str(task.place)
    assert run["argv"] == [
        *("exec", "--json", "--cd", str(task.repo), "--sandbox", "read-only"),
        *("--model", "gpt-5", "--config", "a=1", "--config", "b=2", "-"),
    ]


def test_extra_arguments_reach_codex_in_front(task: Tasks, stand_in: StandIn) -> None:
    task("--resume", script.THREAD, "--", "--image", "a.png", "--", "-x")

    (run,) = stand_in.runs
    assert run["argv"][:5] == ["exec", "--image", "a.png", "--", "-x"]
    assert run["argv"][-3:] == ["resume", script.THREAD, "-"]


def test_packages_of_the_callers_own_do_not_disturb(
    task: Tasks, tmp_path: Path
) -> None:
    place = tmp_path / "theirs"
    for package in ("runner", "parsers", "json"):
        (place / package).mkdir(parents=True)
        (place / package / "__init__.py").write_text("raise SystemExit('theirs')\n")
    (place / "sitecustomize.py").write_text("raise SystemExit('theirs')\n")

    ended = task(cwd=place)

    assert ended.code == 0
    assert ended.fields["outcome"] == "succeeded"


def test_packages_of_the_suites_names_on_the_callers_path_do_not_disturb(
    task: Tasks, tmp_path: Path
) -> None:
    place = tmp_path / "theirs"
    for package in ("runner", "parsers"):
        (place / package).mkdir(parents=True)
        (place / package / "__init__.py").write_text("raise SystemExit('theirs')\n")
    command = ROOT / "bin" / "run_codex_task"
    ended = run_command(task, command, tmp_path, {"PYTHONPATH": str(place)})

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.fields["outcome"] == "succeeded"
    # Only a supervisor is told this.
    assert ended.meta["process_exit_code"] == 0


def run_command(
    task: Tasks, command: Path, place: Path, env: dict[str, str], *more: str
) -> Ended:
    """Run a command of `bin/` as a user does."""
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("bin/run_codex_task needs .venv, which is not there")
    done = subprocess.run(
        [command, *map(str, task.arguments()), *more],
        env=task.cli.env(env),
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def test_a_command_started_by_a_relative_path_finds_its_libraries(task: Tasks) -> None:
    command = Path("bin", "run_codex_task")
    ended = run_command(task, command, ROOT, {}, "--model", "gpt-5")

    assert (ended.code, ended.stderr) == (0, "")
    # The supervisor, which has changed its directory, loads the prices.
    assert ended.files.summary["cost"]["usd"] > 0


def test_no_byte_code_is_no_matter(task: Tasks) -> None:
    assert task(env={"PYTHONDONTWRITEBYTECODE": "1"}).code == 0


@pytest.mark.parametrize("variable", ["PYTHONOPTIMIZE", "PYTHONWARNINGS", "PYTHONUTF8"])
def test_pythons_own_variables_are_no_matter(task: Tasks, variable: str) -> None:
    values = {"PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "PYTHONUTF8": "0"}

    ended = task("--task", "Größe", env={variable: values[variable], "LC_ALL": "C"})

    assert ended.code == 0
    assert ended.stderr == ""
    assert ended.meta["task"] == "Größe"


def test_without_utf_8_mode_no_text_beyond_ascii_ends_a_supervisor(
    task: Tasks, stand_in: StandIn, state_home: Path
) -> None:
    text, ascii_only = (
        "Gr\u00f6\u00dfe \U0001f680",
        {
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
    )
    stand_in.plays(
        *script.begin(),
        script.err(text),
        script.message(text),
        *LAST[1:],
        thread=script.FRESH,
    )
    repo = task.place / text
    repo.mkdir()

    ended = task("--repo", repo, "--task", text, "-v", env=ascii_only)
    words = ("--working-dir", repo, "--codex-bin", stand_in.path, "--title", text)
    sent = task.cli("start", *words, text, command="codex_tasks", env=ascii_only)
    wait = ("status", "--wait", "--one", "--json", text)
    waited = task.cli(*wait, command="codex_tasks", env=ascii_only)

    assert ended.code == sent.returncode == waited.returncode == 0
    assert ended.meta["outcome"] == "succeeded"
    assert ended.meta["process_exit_code"] == 0  # only a supervisor is told this
    assert ended.meta["task"] == text
    assert ended.files.summary["final_message"] == text
    assert text in ended.files.log
    assert [run["stdin"] for run in stand_in.runs] == [text, text]
    status = json.loads(waited.stdout)
    assert (status["title"], status["state"]) == (text, "STOPPED")
    assert status["last_result"] == text
    assert os.fsencode(status["working_dir"]) == os.fsencode(repo)
    (supervisor_log,) = state_home.glob("runs/*/log")
    assert supervisor_log.read_text() == ""


def test_without_a_home_the_users_own_is_found_or_the_places_are_named(
    task: Tasks,
) -> None:
    assert task(env={"HOME": None}).code == 0
    assert task(env={"HOME": ""}).code == 0


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to become somebody unknown")
def test_a_user_that_nobody_knows_gets_one_error_or_a_run(
    task: Tasks, tmp_path: Path
) -> None:
    argv = task.cli.argv(*task.arguments())
    home = {"HOME": None, "CODEX_RUNNER_HOME": None, "CODEX_HOME": None}
    done = subprocess.run(
        ["unshare", "-U", *argv],  # noqa: S607  # a user that is not mapped
        env=task.cli.env(home),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 1}
    told = [line[:7] for line in done.stderr.splitlines()]
    assert done.returncode == 0 or told in (["error: "], ["error: ", "fix:   "])


def test_a_prompt_of_a_megabyte_passes(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    prompt = tmp_path / "prompt"
    prompt.write_text("x" * 1_048_576)

    ended = task("--task-file", prompt)

    assert ended.code == 0
    assert len(stand_in.runs[0]["stdin"]) == 1_048_576
    assert len(ended.meta["task"]) == 2000
    assert ended.meta["task_file"] == str(prompt)


@pytest.mark.parametrize(
    "prompt", ["-", "--help", "-x", "--", "=", "$(reboot)", "\n-\n"]
)
def test_a_prompt_of_any_shape_is_a_prompt(
    task: Tasks, stand_in: StandIn, tmp_path: Path, prompt: str
) -> None:
    file = tmp_path / "prompt"
    file.write_text(prompt)
    assert task("--task-file", file).code == 0
    if prompt != "-":
        assert task(f"--task={prompt}").code == 0

    assert {run["stdin"] for run in stand_in.runs} == {prompt}


def test_a_prompt_beyond_ascii_reaches_codex_byte_for_byte(
    task: Tasks, stand_in: StandIn, tmp_path: Path
) -> None:
    text = "caf\u00e9\r\n\t\u2028 \U0001f600 \x00\x1b[1m"
    prompt = tmp_path / "prompt"
    prompt.write_bytes(text.encode())

    ended = task("--task-file", prompt)

    assert ended.code == 0
    assert ended.files.path(".prompt").read_bytes() == text.encode()
    assert ended.meta["task"] == text
    assert stand_in.runs[0]["stdin"] == text


def test_names_of_any_shape_are_names(task: Tasks, stand_in: StandIn) -> None:
    for name in (
        "with space",
        "new\nline",
        "quote'\"",
        "-x",
    ):
        repo = task.place / name
        repo.mkdir()

        ended = task("--repo", f"./{name}", "--log-dir", f"./{name}/runs")

        assert ended.code == 0, ended
        assert stand_in.runs[-1]["argv"][3] == str(repo)
        (meta,) = (repo / "runs").glob("*.meta.json")
        assert '"outcome": "succeeded"' in meta.read_text()
        assert ended.block[-1] == "summary_json"


def test_a_directory_whose_path_codex_cannot_read_is_refused(task: Tasks) -> None:
    repo = task.place / os.fsdecode(b"stray\xff")
    repo.mkdir()

    ended = task("--repo", repo)

    assert ended.code == 2
    assert "the path is not UTF-8: Codex refuses it" in ended.stderr


def test_nothing_is_left_when_all_is_over(task: Tasks, marker: str) -> None:
    ended = task()

    wait_until(lambda: processes_with(MARKER, marker) == [])
    assert gone(*(run["pid"] for run in task.stand_in.runs))
    left = task.log_dir.iterdir()
    names = {path.name.partition(ended.files.run_id)[2] for path in left}
    assert names == {
        *(".prompt", ".events.jsonl", ".stderr", ".log"),
        *(".meta.json", ".summary.json"),
    }


@pytest.mark.parametrize("suffix", [".prompt", ".stderr", ".events.jsonl", ".log"])
def test_a_link_in_the_place_of_a_file_of_a_run_is_not_followed(
    task: Tasks, stand_in: StandIn, tmp_path: Path, suffix: str
) -> None:
    private = tmp_path / "private"
    private.write_text("a secret")
    held = hold(tmp_path)
    begun = task.start(env=sabotaged(held.at(SUPERVISOR, "open", "/owner")))
    wait_until(held.reached.exists, what="the files of the run")
    (made,) = task.log_dir.glob(f"*{suffix}")
    made.unlink()
    made.symlink_to(private)
    held.go.touch()

    ended = begun.wait()

    assert ended.code != 0
    assert "Too many levels of symbolic links" in ended.stderr
    assert private.read_text() == "a secret"
    assert stand_in.runs == []


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o755])
def test_a_directory_that_others_may_write_into_is_warned_of(
    task: Tasks, mode: int
) -> None:
    task.log_dir.mkdir()
    task.log_dir.chmod(mode)

    ended = task()
    examined = task("--doctor", "--json")

    assert ended.code == 0
    warned = [each for each in ended.meta["warnings"] if "may replace files" in each]
    assert len(warned) == (mode == 0o777), "nobody else is in the group of this user"
    assert examined.stdout.count(f'"chmod go-w {task.log_dir}"') == len(warned)
    assert (f"chmod go-w {task.log_dir}" in ended.stderr) == bool(warned)
