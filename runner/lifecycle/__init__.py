"""The steps of a run, shared by supervisors and commands."""
