"""The ledger: the SQLite index over the run files."""
