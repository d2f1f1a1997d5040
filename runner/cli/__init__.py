"""The commands: parse arguments, call one service, render its result."""
