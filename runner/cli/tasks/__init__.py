"""The commands of `codex-tasks`; a command loads its own module only.

A module has `HELP` (one line, the options as `Parser.describe` takes them, examples)
and `main(found, context)`, which returns the exit code. In a module of several
commands all but the first append `_name` to these names.
"""

from __future__ import annotations

COMMANDS = {
    "start": "start",
    "send": "start",
    "status": "status",
    "wait": "wait",
    "result": "log",
    "log": "log",
    "attach": "attach",
    "diff": "changes",
    "merge": "changes",
    "stop": "closing",
    "queue": "queue",
    "slots": "queue",
    "pause": "queue",
    "resume": "queue",
    "deliver": "queue",
    "retry": "queue",
    "install-timer": "autostart",
    "config": "config",
    "notify": "notify",
    "ls": "ls",
    "top": "ls",
    "archive": "closing",
    "unarchive": "closing",
    "rm": "closing",
    "prune": "closing",
    "import": "upkeep",
    "usage": "usage",
    "budget": "budget",
    "du": "disk",
    "reprice": "usage",
    "doctor": "upkeep",
    "verify": "upkeep",
    "migrate": "upkeep",
    "restore": "upkeep",
    "uninstall": "disk",
    "completion": "completion",
}
# Those that draw on a terminal, and take the options of `look`.
DRAWN = ("ls", "top", "status", "wait", "queue", "usage", "doctor", "log", "diff")
# The commands by what one wants to do.
OVERVIEW = """\
codex-tasks  Run Codex in the background; ask later what it did and cost.

run     start               start Codex on a prompt, in the background
        send                give a task its next prompt
        retry               queue the last prompt of a task again
        deliver             start a prompt that waits for a key of this shell
look    ls, top             list tasks; top, or ls --watch: live
        status              what a task does, did, costs and waits for
        log                 what it said and ran (-f: follow)
        result              its last answer
        wait                wait until tasks have finished
        diff                what it has changed
steer   stop                stop tasks and everything that they have started
        queue               see and change the prompts that wait
        pause, resume       hold the queue or a task, or let it go on
        slots               how many run at once
        attach              open an idle task in Codex itself
        merge               take the changes of its worktree into your branch
money   usage               tokens and cost by day, model, directory, task
        budget              what a day may cost
        reprice             price what had no price
keep    archive, unarchive  archive tasks, or restore them
        rm, prune           remove tasks; what they cost stays on record
        du                  the disk space that they take
        import              take in the history of other tools
set up  doctor              what would go wrong here, and the fix
        config              what is in force and where it comes from
        notify              send a test event to your program, server or desktop
        install-timer       let the queue go on after a reboot
        completion          complete commands, options and tasks
        uninstall           remove the suite
repair  verify              compare the ledger with its exports
        migrate, restore    from an older state directory, and to it

first   codex-tasks start "Fix the failing test"
more    codex-tasks COMMAND --help   codex-tasks doctor"""
# What a user may call a command, where that is not the beginning of a command. What
# may mean to remove something is not here (clean, purge).
WORDS = {
    **dict.fromkeys(("run", "new", "add", "exec", "create", "submit"), "start"),
    **dict.fromkeys(("kill", "cancel", "abort", "end", "terminate"), "stop"),
    **dict.fromkeys(("show", "view", "info", "inspect", "describe"), "status"),
    **dict.fromkeys(("list", "ps", "tasks", "sessions"), "ls"),
    **dict.fromkeys(("cost", "costs", "tokens", "price", "spent"), "usage"),
    **dict.fromkeys(("logs", "tail", "follow"), "log"),
    **dict.fromkeys(("answer", "output"), "result"),
    **dict.fromkeys(("prompt", "continue", "reply", "say"), "send"),
    **dict.fromkeys(("delete", "remove", "del"), "rm"),
    **dict.fromkeys(("check", "diagnose"), "doctor"),
    **dict.fromkeys(("settings", "set", "get"), "config"),
    **dict.fromkeys(("again", "redo", "rerun"), "retry"),
    **dict.fromkeys(("limit", "limits", "jobs", "parallel"), "slots"),
    **dict.fromkeys(("enqueue", "waiting"), "queue"),
    **dict.fromkeys(("open", "tui"), "attach"),
    **dict.fromkeys(("watch", "monitor"), "top"),
    "edit": "queue edit",
    "history": "ls -a",
    "version": "--version",
}
