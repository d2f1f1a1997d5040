"""Read what Codex runs leave behind: pure functions from text to values."""
