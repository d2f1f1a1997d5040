"""The ledger: one SQLite file, the truth about runs, sessions and prompts."""
