"""A command pays only for what it uses: what a bare start must not import."""

import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.codex_home import ROOT
from support.commands import Cli
from support.stand_in import StandIn, ordinary

pytestmark = pytest.mark.core

PROBE = """
import sys
from runner.cli.{command} import main
try:
    main(["--help"])
except SystemExit:
    pass
print(*sorted(sys.modules), file=sys.stderr)
"""
COMMANDS = ("run_codex_task", "parse_codex_run")
# Each of these costs between 3 and 140 ms, and none of them is needed to say --help.
HEAVY = {
    "asyncio",
    "dataclasses",
    "email",
    "genai_prices",
    "http",
    "hypothesis",
    "inspect",
    "jsonlines",
    "logging",
    "msgspec",
    "multiprocessing",
    "parsers.exec_events",
    "parsers.rollouts",
    "plumbum",
    "psutil",
    "pydantic",
    "runner.loopback",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "tomllib",
    "typing",
    "uuid",
}


def loaded_by(command: str, cli: Cli) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE.format(command=command)],
        capture_output=True,
        text=True,
        check=True,
        env=cli.environment,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(command: str, cli: Cli) -> None:
    assert loaded_by(command, cli) & HEAVY == set()


@pytest.mark.parametrize("command", [*COMMANDS, "codex_tasks"])
def test_help_touches_no_state(command: str, cli: Cli) -> None:
    done = cli.start("--help", command=command)

    assert done.wait(30) == 0
    assert not (cli.cwd / "state").exists()
    assert not (cli.cwd / "runs").exists()


SUMMARISED = """
import sys
sys.path += {places!r}
from runner.cli.parse_codex_run import main
assert main(["--log", {log!r}]) == 0
print(*sorted(sys.modules), file=sys.stderr)
"""


def test_a_summary_is_read_without_regular_expressions(cli: Cli) -> None:
    log = ROOT / "tests/unit/parsers/data/events-0.169-two.jsonl"
    places = [str(ROOT), sysconfig.get_path("purelib")]
    script = SUMMARISED.format(log=str(log), places=places)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=cli.environment,
    )

    assert {"enum", "json", "re"} & set(done.stderr.split()) == set()


INTERRUPTED = """
import os, signal, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "runner.cli.command":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
from runner.cli import main
sys.argv.insert(1, {command!r})
main.start()
"""


@pytest.mark.parametrize("command", [*COMMANDS, "codex-tasks"])
def test_ctrl_c_while_a_command_is_loaded_is_silent(command: str, cli: Cli) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", INTERRUPTED.format(command=command), "--help"],
        capture_output=True,
        text=True,
        env=cli.environment,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


ATTENDED = """
import os, signal, sys
from pathlib import Path

import runner.supervisor.main
from runner.supervisor.loop import SuperviseLoop
from runner import config
from runner.ledger.ledger import Ledger
from runner.lifecycle.handoff import StatusPipe
from runner.lifecycle.launch import prepare_run
from runner.model import Claimed, CodexOptions, Launched, Report, RunRequest
from runner.clock import now
from runner.process.signals import WAITED, SignalInbox
from runner.process.table import child, this_process
from runner.supervisor.recorder import RunRecorder

settings, here = config.load(), str(Path.cwd())
signal.pthread_sigmask(signal.SIG_BLOCK, WAITED)
asked = RunRequest(
    prompt=b"Do it.", repo=here, cwd=here, umask=0o22, codex=CodexOptions(bin="true"),
    codex_home=here, report=Report(event_stream=f"{here}/stream"),
)
# A command does this, in another process.
run_id = prepare_run(asked, Ledger(settings.state_home), settings).run.run_id
ledger = Ledger(settings.state_home)
recorder = RunRecorder(ledger.runs.find(run_id), ledger, StatusPipe(os.pipe()[1]))
recorder.claim(Claimed(supervisor=this_process()))
del sys.modules["runner.ledger.queue"]
pid = os.spawnlp(os.P_NOWAIT, "true", "true")
recorder.advance(Launched(codex=child(pid), at=now()))
loop = SuperviseLoop(recorder, SignalInbox(), settings)
before = set(sys.modules)
loop.attend(pid)
assert ledger.runs.find(run_id).is_finished
print(*(name for name in sys.modules if name not in before))
"""


def attended(cli: Cli, *before: str) -> list[str]:
    """Attend a Codex that ends at once; give the modules that were loaded for it."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", "\n".join([*before, ATTENDED])],
        capture_output=True,
        text=True,
        env=cli.environment,
        cwd=cli.cwd,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_a_supervisor_loads_nothing_of_the_suite_once_codex_works(cli: Cli) -> None:
    """An upgrade of the suite in mid-run costs no verdict."""
    loaded = attended(cli)

    assert [each for each in loaded if each.startswith(("runner", "parsers"))] == []


def test_a_library_that_cannot_be_loaded_costs_a_report_and_no_verdict(
    cli: Cli,
) -> None:
    attended(cli, "import sys", "sys.modules['jsonlines'] = None")


# Notes the modules that are loaded, without those in C, when the run is recorded and
# when its id is printed.
RECORDING = """
import os, sys
sys.path += {path!r}
from runner.cli import main
write = os.write

def heard(descriptor, data):
    if b"codex_run_id=" in bytes(data) and (descriptor == 1 or b"recorded" in data):
        with open({seen!r} + str(os.getpid()), "w") as file:
            for name, module in sys.modules.items():
                if (getattr(module, "__file__", None) or "").endswith(".py"):
                    print(name, file=file)
        os.write = write
    return write(descriptor, data)

os.write = heard
main.start()
"""
OF_PYTHON = """
__future__ _collections_abc _frozen_importlib_external abc codecs collections
collections.abc encodings encodings.aliases encodings.utf_8 functools genericpath io
keyword operator os os.path posixpath reprlib stat types zipimport
"""
OF_RUNNER = """
cli cli.command cli.context cli.main cli.options cli.output cli.run_codex_task cli.terms
clock codex codex.binary codex.home config config_files errors exports
exports.key_values exports.queue_files exports.run_exports files ledger
ledger.database ledger.ledger
ledger.prompts ledger.queue ledger.record ledger.runs ledger.sessions ledger.settings
ledger.short_ids
lifecycle
lifecycle.handoff lifecycle.launch locks model process process.fork process.libc
process.signals process.start process.table process.tree prompt prompt.read run_files
service service.request terms version
"""
OF_PARSERS = "facts json_text light loose_json paths run_summary struct text"


def test_an_id_is_printed_before_anything_else_is_loaded(
    cli: Cli, repo: Path, stand_in: StandIn, tmp_path: Path
) -> None:
    stand_in.plays(*ordinary())
    words = ("--repo", str(repo), "--task", "hello", "--codex-bin", str(stand_in.path))
    assert cli(*words).returncode == 0, "it makes the ledger"
    places = [str(ROOT), sysconfig.get_path("purelib")]
    script = RECORDING.format(path=places, seen=f"{tmp_path}/seen-")
    argv = [
        sys.executable,
        "-I",
        "-S",
        "-X",
        "utf8",
        "-c",
        script,
        "run_codex_task",
        *words,
    ]

    run = cli.launch(argv)

    assert run.wait(30) == 0
    reports = [set(path.read_text().split()) for path in tmp_path.glob("seen-*")]
    assert len(reports) == 2, "of the command, and of the copy that records the run"
    allowed = {"runner", "parsers", *OF_PYTHON.split()}
    allowed |= {f"runner.{name}" for name in OF_RUNNER.split()}
    allowed |= {f"parsers.{name}" for name in OF_PARSERS.split()}
    # One run id in sixteen ends with no short id: the next candidate is a hash.
    allowed.add("hashlib")
    assert set.union(*reports) <= allowed
