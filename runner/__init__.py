"""The suite that supervises unattended Codex runs and keeps their ledger."""
