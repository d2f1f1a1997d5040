"""What a TAB is answered, whatever the shell: told in process, without a ledger."""

from pathlib import Path

import pytest
from support.programs import PROGRAMS as SEVERAL

from runner.cli import codex_bg, codex_tasks, parse_codex_run, run_codex_task
from runner.cli.main import COMMANDS as PROGRAMS
from runner.cli.parser import SHELLS
from runner.cli.tasks import completion
from runner.model import TaskState

ROOT = Path(__file__).parents[2]
TITLE = "Rate: it's $5 (ü)"
# The newest first: an id, a title, a note.
TASKS = [
    ("01b2", "Fix the tests", "failed"),
    ("01a1", TITLE, "succeeded"),
    ("77aa", "", "at work"),
    ("77ab", "two\nlines", "stopped"),
]
JOBS = [("3f9a1c07", "A label", "running"), ("91be40d2", "Fix it", "completed")]
RUNS = [("20261121-1", "", "01b2"), ("20261120-2", "", "01a1")]


class Asked:
    """Asks the command as a shell does, and notes what it looks up."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.states: list[tuple[str, ...]] = []
        self.capfd = capfd
        monkeypatch.setenv("CODEX_RUNNER_HOME", "/nowhere")
        monkeypatch.setattr(completion, "_recorded", self._recorded)

    def _recorded(
        self, _house: object, states: tuple[str, ...], metavar: str
    ) -> list[tuple[str, str, str]]:
        self.states.append(states)
        if metavar == "ID":
            return JOBS
        return RUNS if metavar.startswith("RUN") else TASKS

    def lines(self, line: str, piece: str | None = None) -> list[str]:
        more = [] if piece is None else [f"--piece={piece}"]
        code = codex_tasks.main(["completion", "bash", f"--line={line}", *more])
        out, err = self.capfd.readouterr()
        assert (code, err) == (0, "")
        return out.splitlines()

    def kind(self, line: str) -> str:
        return self.lines(line)[0]

    def pairs(self, line: str, piece: str | None = None) -> list[list[str]]:
        kind, *lines = self.lines(line, piece)
        assert kind == "words"
        return [each.split("\t") for each in lines]

    def words(self, line: str, piece: str | None = None) -> list[str]:
        return [word for word, _ in self.pairs(line, piece)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Asked:
    return Asked(monkeypatch, capfd)


@pytest.mark.parametrize("program", SEVERAL)
def test_commands_are_completed_with_what_they_do(asked: Asked, program: str) -> None:
    assert asked.words(f"{program} ") == list(SEVERAL[program].commands)
    name, command = "kill" if program == "codex-agent" else "rm", SEVERAL[program]
    assert [name, command.load(name).summary] in asked.pairs(f"{program} {name[0]}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("codex-tasks st", ["start", "status", "stop"]),
        ("codex-tasks rm", ["rm"]),
        ("codex-tasks no-such-", []),
        ("codex-tasks --v", ["--version"]),
        ("codex-tasks usage --s", ["--since"]),
        ("codex-tasks usage --by ", ["day", "model", "repo", "session"]),
        ("codex-tasks usage --by m", ["model"]),
        ("codex-tasks usage --by=m", ["--by=model"]),
        ("codex-tasks usage --no-such=m", []),
        ("codex-tasks start --sandbox=w", ["--sandbox=workspace-write"]),
        ("codex-tasks start -s d", ["danger-full-access"]),
        ("codex-tasks ls --state ", ["RUNNING", "STOPPED", "DIED", "ARCHIVED"]),
        ("codex-tasks ls --state RUNNING A", ["ARCHIVED"]),
        ("codex-tasks completion ", list(SHELLS)),
        ("codex-tasks config re", ["retries", "recoveries"]),
        ("codex-tasks config --json sandbox r", ["read-only"]),
        ("codex-tasks config model ", []),
        ("run_codex_task --sandbox ", [*completion._WORDS["MODE"]]),
        ("/some/bin/run_codex_task --verb", ["--verbosity"]),
        ("run_codex_task --verbosity=h", ["--verbosity=high"]),
        ("parse_codex_run --format ", ["json", "text"]),
        ("parse_codex_run --print-completion f", ["fish"]),
        ("codex-agent st", ["start", "status"]),
        ("codex-agent start -r x", ["xhigh"]),
        ("codex-agent -r x", ["xhigh"]),
        ("codex-agent start --sandbox=w", ["--sandbox=workspace-write"]),
        ("codex-agent jobs --l", ["--limit"]),
        ("codex-bg --w", ["--watch-turns"]),
        ("codex-bg -t -- codex-agent start -r m", ["minimal", "medium"]),
        ("codex-bg -t -- start --wo", ["--worktree"]),
        ("codex-bg -- /some/bin/codex-agent -s r", ["read-only"]),
        ("codex-bg -- --wo", ["--worktree"]),
        ("codex-bg -- start ", []),
    ],
)
def test_options_and_their_values_are_completed(
    asked: Asked, line: str, words: list[str]
) -> None:
    assert asked.words(line) == words


def test_options_are_completed_with_their_help(asked: Asked) -> None:
    assert asked.pairs("codex-tasks rm --h") == [
        ["--help", "show this help message and exit"]
    ]


@pytest.mark.parametrize(
    "line", ["run_codex_task ", "codex-tasks usage ", "codex-tasks deliver 01b2 "]
)
def test_where_only_options_can_stand_they_are_offered(asked: Asked, line: str) -> None:
    assert "--help" in asked.words(line)


def test_an_option_is_offered_once_unless_it_can_be_repeated(asked: Asked) -> None:
    offered = asked.words("codex-tasks start --model m --image f -s read-only --")

    assert "--image" in offered
    assert "--model" not in offered
    assert "--sandbox" not in offered
    assert "-v" in asked.words("run_codex_task -v -")


def test_hidden_options_are_not_offered(asked: Asked) -> None:
    assert asked.words("codex-tasks completion --") == ["--help", "--json"]


@pytest.mark.parametrize(
    "line",
    [
        "codex-tasks send 01b2 ",
        "codex-tasks start ",
        "codex-tasks start --model ",
        "codex-tasks start --title=",
        "codex-tasks status -- --j",
        "run_codex_task --repo . -- --mod",
    ],
)
def test_what_only_the_caller_knows_is_not_completed(asked: Asked, line: str) -> None:
    assert asked.words(line) == []


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("codex-tasks start --config-file ", "files"),
        ("codex-tasks start --codex-bin=", "files"),
        ("codex-tasks start --working-dir ", "directories"),
        ("codex-tasks import one ", "directories"),
        ("run_codex_task --task-file x", "files"),
        ("run_codex_task --repo ", "directories"),
        ("parse_codex_run --log '", "files"),
        ("parse_codex_run --log-dir=x", "directories"),
        ("codex-agent start -d ", "directories"),
        ("codex-agent start --file ", "files"),
        ("codex-bg -- codex-agent start -f ", "files"),
    ],
)
def test_file_names_are_left_to_the_shell(asked: Asked, line: str, kind: str) -> None:
    assert asked.lines(line) == [kind]


def test_tasks_are_completed_by_their_ids_with_their_titles(asked: Asked) -> None:
    assert asked.pairs("codex-tasks status ") == [
        ["01b2", "Fix the tests"],
        ["01a1", TITLE],
        ["77aa", "at work"],
        ["77ab", "stopped"],
    ]
    assert asked.words("codex-tasks result 01A") == ["01a1"]
    assert asked.words("codex-tasks status --json 01b2 0") == ["01a1"]


def test_jobs_are_completed_by_their_ids_with_their_labels(asked: Asked) -> None:
    assert asked.pairs("codex-agent status ") == [[job, said] for job, said, _ in JOBS]
    assert asked.words("codex-agent await-turn --any 3f9a1c07 ") == ["91be40d2"]
    assert asked.words("codex-agent start --after 9") == ["91be40d2"]
    assert asked.words("codex-agent kill 3") == ["3f9a1c07"]
    assert asked.states[-1] == ("running", "pending")
    assert asked.words("codex-agent status Fix") == []


def test_tasks_are_completed_by_their_titles_in_any_case(asked: Asked) -> None:
    assert asked.pairs("codex-tasks rm fix") == [["Fix the tests", "01b2"]]
    assert asked.words("codex-tasks rm two") == []


@pytest.mark.parametrize("begun", ["Rate", "Rate:", "Rate:\\ it", '"Rate: it', "'Rate"])
def test_a_title_is_found_however_it_is_quoted(asked: Asked, begun: str) -> None:
    assert asked.words(f"codex-tasks status {begun}") == [TITLE]


def test_no_more_tasks_are_offered_than_can_be_read(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "_MOST", 3)

    assert len(asked.words("codex-tasks status ")) == 3


@pytest.mark.parametrize(
    ("command", "states"),
    [
        ("send", {"RUNNING", "STOPPED", "DIED"}),
        ("stop", {"RUNNING", "STOPPED", "DIED"}),
        ("archive", {"RUNNING", "STOPPED", "DIED"}),
        ("unarchive", {"ARCHIVED"}),
        ("status", set(TaskState)),
    ],
)
def test_only_tasks_that_a_command_takes_are_looked_up(
    asked: Asked, command: str, states: set[str]
) -> None:
    assert asked.words(f"codex-tasks {command} 01b") == ["01b2"]
    assert [*map(set, asked.states)] == [states]


def test_runs_are_completed_by_their_ids_with_their_tasks(asked: Asked) -> None:
    assert asked.pairs("parse_codex_run ") == [[run, task] for run, _, task in RUNS]
    assert asked.words("parse_codex_run 20261121-1 2") == ["20261120-2"]
    assert asked.words("codex-tasks log --run=20261121") == ["--run=20261121-1"]


def test_of_a_task_that_is_named_only_its_runs_are_offered(asked: Asked) -> None:
    assert asked.words("codex-tasks result 01a1 --run ") == ["20261120-2"]
    assert asked.words("codex-tasks result Fix --run ") == ["20261121-1", "20261120-2"]


def test_a_session_is_completed_by_its_id_alone(asked: Asked) -> None:
    assert asked.words("run_codex_task --resume 01b") == ["01b2"]
    assert asked.words("run_codex_task --resume Fix") == []


@pytest.mark.parametrize(
    ("line", "piece", "words"),
    [
        ("usage --by=", "=", ["day", "model", "repo", "session"]),
        ("usage --by=mo", "mo", ["model"]),
        ('usage --by="mo', '"mo', ["model"]),
        ("usage --b", "--b", ["--by"]),
        ("status Rate:", ":", [" it's $5 (ü)"]),
        ("status Rate:\\ it", "\\ it", [" it's $5 (ü)"]),
        ("status rate:", ":", []),  # what stands before the piece stays as it is
        ("status 'Rate: i", "'Rate: i", [TITLE]),
        ("status ", "", ["01b2", "01a1", "77aa", "77ab"]),
    ],
)
def test_bash_is_told_what_comes_in_the_place_of_its_piece(
    asked: Asked, line: str, piece: str, words: list[str]
) -> None:
    assert asked.words(f"codex-tasks {line}", piece) == words


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_prints_the_one_script(
    shell: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert codex_tasks.main(["completion", shell]) == 0
    script, _ = capfd.readouterr()
    for main in (run_codex_task.main, parse_codex_run.main, codex_bg.main):
        with pytest.raises(SystemExit, match="0"):
            main(["--print-completion", shell])
        assert capfd.readouterr() == (script, "")

    code = [each.split() for each in script.splitlines() if each[:1] != "#"]
    assert any(set(PROGRAMS) <= set(words) for words in code)
