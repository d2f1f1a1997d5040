"""The prompt of Codex."""
