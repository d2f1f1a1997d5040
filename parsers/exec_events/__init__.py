"""The event stream of `codex exec --json`."""
