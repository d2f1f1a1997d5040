"""`python -m runner COMMAND ...`: the commands of the suite, by their names."""

from runner.cli.main import start

start("python -m runner")
