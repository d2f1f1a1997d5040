"""The detached process that owns one Codex process."""
