"""The commands of `codex-agent`; see `runner.cli.program`."""

from __future__ import annotations

COMMANDS = {
    "start": "start",
    "send": "start",
    "jobs": "jobs",
    "status": "jobs",
    "await-turn": "jobs",
    "capture": "output",
    "output": "output",
    "watch": "output",
    "attach": "output",
    "diff": "output",
    "merge": "output",
    "kill": "closing",
    "delete": "closing",
    "clean": "closing",
    "sessions": "tools",
    "health": "tools",
    "map": "tools",
    "install-skill": "tools",
    "migrate": "storage",
    "verify-storage": "storage",
}
# What Codex takes as `model_reasoning_effort`.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
OVERVIEW = """\
codex-agent  Run a team of Codex agents; each is a job with a short id.

run     start "PROMPT"      start a job (also without the word start)
        send                give a job its next text
        await-turn          wait until a turn has ended; print the answer
look    jobs                list jobs (--json: for programs)
        status              one job
        capture             the last lines of what a job said and ran
        output              all of it
        watch               follow it
        attach              how to open the job in Codex's own interface
take    diff                what a job has changed
        merge               take the changes of its worktree into your branch
end     kill                end jobs, with every process that they have started
        delete              remove jobs with their files
        clean               remove jobs that ended more than 7 days ago
set up  health              is Codex here, and tmux
        map                 write docs/CODEBASE_MAP.md, for start --map
        sessions            the tmux sessions of jobs
        install-skill       install the skill for agents
        migrate             take in the jobs of the older codex-agent
        verify-storage      compare the job records of the table and the files

first   codex-agent start "Fix the failing test"
more    codex-agent COMMAND --help   codex-tasks --help"""
WORDS = {
    **dict.fromkeys(("run", "new", "exec", "spawn", "create"), "start"),
    **dict.fromkeys(("list", "ls", "ps"), "jobs"),
    **dict.fromkeys(("stop", "cancel", "abort"), "kill"),
    **dict.fromkeys(("rm", "remove"), "delete"),
    **dict.fromkeys(("wait", "await"), "await-turn"),
    **dict.fromkeys(("log", "logs", "tail"), "output"),
    **dict.fromkeys(("show", "info"), "status"),
    **dict.fromkeys(("follow",), "watch"),
    **dict.fromkeys(("doctor", "check"), "health"),
    **dict.fromkeys(("say", "reply", "continue"), "send"),
}
