"""Serve until a signal: `python -m runner.loopback`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from runner.loopback.scripted import demo, scripted
from runner.loopback.server import DEFAULT_MODEL, LoopbackServer, write_home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.loopback.reply import Responder

_LAST_PORT = 65535
RESPONDERS: dict[str, Responder] = {"scripted": scripted, "demo": demo}


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a server, print its address, and serve until a signal ends it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _parser().parse_args(arguments)
    try:
        with LoopbackServer(RESPONDERS[options.responder], port=options.port) as server:
            address = f"base_url={server.base_url}\n"
            if options.write_home is not None:
                write_home(options.write_home, server.config_toml(model=options.model))
                address += f"codex_home={options.write_home.absolute()}\n"
            sys.stdout.write(address)
            sys.stdout.flush()
            if options.until_stdin_ends:
                sys.stdin.buffer.read()
            while not options.until_stdin_ends:
                signal.pause()
    except OSError as error:
        sys.stderr.write(f"loopback: {error}\n")
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runner.loopback",
        description="A Responses API on 127.0.0.1 that drives the real Codex offline.",
        epilog=sys.modules[scripted.__module__].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=_port, default=0, help="0 takes a free one")
    parser.add_argument("--responder", choices=sorted(RESPONDERS), default="scripted")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="named in config.toml")
    parser.add_argument(
        "--write-home",
        type=Path,
        metavar="DIR",
        help="make DIR a CODEX_HOME that sends Codex here",
    )
    parser.add_argument(
        "--until-stdin-ends",
        action="store_true",
        help="end with the program that holds the other end of stdin",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= _LAST_PORT:
        message = f"{port} is no port: 0 to {_LAST_PORT}"
        raise argparse.ArgumentTypeError(message)
    return port


if __name__ == "__main__":
    sys.exit(main())
