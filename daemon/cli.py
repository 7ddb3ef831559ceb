"""The command line: what `arimonitor` understands, and its exit statuses. Entry.

run      the daemon         lab      the same on recorded calls
check    try every connection that the configuration names
ctl      one console command on a running daemon
console  the console with history and completion
replay   captured ARI events to messages, or compared with another system's
tokens   the tokens of those who ask by mail
request  a request, as a mail would make it
recordings     find, send, index
import-config  the old system's files as one arimonitor.toml
secret   encrypt a secret for the configuration
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from daemon import __version__, logs
from daemon.console import client
from daemon.errors import ArimonitorError, ConfigurationError, FatalError
from daemon.settings import Settings
from daemon.settings import file as settingsfile
from daemon.settings.keys import secrets
from daemon.shell import importer, recordings, request, tokens

log = logging.getLogger("arimonitor")

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; its exit status. Usage errors end with 2."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except ConfigurationError as error:
        for problem in error.problems:
            print(f"arimonitor: {problem}", file=sys.stderr)
        return EXIT_FAILED
    except ArimonitorError as error:
        print(f"arimonitor: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # Whoever read us has gone (`arimonitor replay ... | head`): nothing is wrong, and nothing
        # may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        return 130


def run(arguments: argparse.Namespace) -> int:
    """`arimonitor run`: the daemon in the foreground."""
    from daemon.app import Extras

    def read() -> Settings:
        return _settings(arguments)

    return _serve(read(), Extras(reread=read, terminal=arguments.console))


def lab(arguments: argparse.Namespace) -> int:
    """`arimonitor lab`: the daemon on embedded parts, with recorded calls played to it."""
    from daemon.app import Extras
    from daemon.lab.scenery import prepare

    scenery = prepare(arguments.dir, speed=arguments.speed, console=arguments.listen)
    print(scenery.welcome, flush=True)
    extras = Extras(
        reread=lambda: scenery.settings, terminal=arguments.console, lab=True, services=(scenery.server,)
    )
    return _serve(scenery.settings, extras, quiet=True)


def _serve(settings: Settings, extras: object, *, quiet: bool = False) -> int:
    from daemon.app import Daemon, Extras
    from daemon.runtime.signals import Signals
    from daemon.starting import data_folder

    if not isinstance(extras, Extras):
        raise TypeError("extras are app.Extras")
    data_folder(settings)
    options = logs.LogOptions(
        dir=settings.log.dir,
        level=settings.log.level,
        keep_days=settings.log.keep_days,
        debug="verbose" if settings.log.debug_verbose else "on" if settings.log.debug else "off",
        timezone=ZoneInfo(settings.node.timezone),
        json=settings.log.format == "json",
        echo="never" if extras.terminal or quiet else "auto",
        secrets=secrets(settings),
    )
    signals = Signals()
    signals.install()
    system = logs.configure(options)
    if quiet and not extras.terminal and system.terminal is not None:
        shown = logs.Shown(system.terminal.fileno())
        shown.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
        logging.getLogger("arimonitor.calls").addHandler(shown)
    fatal = ""
    try:
        Daemon(settings, system, os.environ, extras).run(signals)
    except ConfigurationError as error:
        fatal = "\n".join(error.problems)
    except FatalError as error:
        fatal = str(error)
    finally:
        if fatal:
            log.critical("arimonitor can't go on: %s", fatal)
        system.close()
        signals.restore()
    for line in fatal.splitlines():
        print(f"arimonitor: {line}", file=sys.stderr)
    return EXIT_FAILED if fatal else EXIT_OK


def check(arguments: argparse.Namespace) -> int:
    """`arimonitor check`: 0 when everything that the configuration names works."""
    from daemon import preflight
    from daemon.probes import try_broker, try_websocket

    checks = preflight.run(_settings(arguments), websocket=try_websocket, broker=try_broker)
    print(preflight.as_json(checks) if arguments.json else preflight.as_table(checks))
    return EXIT_OK if all(each.ok for each in checks) else EXIT_FAILED


def ctl(arguments: argparse.Namespace) -> int:
    """`arimonitor ctl`: one command on a running daemon."""
    words, as_json = list(arguments.words), arguments.json
    if not words:
        print("arimonitor ctl: which command? `arimonitor ctl help` lists them", file=sys.stderr)
        return EXIT_USAGE
    if words and words[-1] == "--json":
        words, as_json = words[:-1], True
    return client.ctl(arguments.address, words, as_json, sys.stdout, sys.stderr, os.environ)


def console(arguments: argparse.Namespace) -> int:
    """`arimonitor console`: the console with history and completion."""
    return client.interactive(arguments.address)


def replay(arguments: argparse.Namespace) -> int:
    """`arimonitor replay`: captured events to messages."""
    from daemon.calls.replay import run_replay
    from daemon.directory.loader import load

    return run_replay(
        arguments.trace,
        arguments.format,
        arguments.compare,
        sys.stdout,
        sys.stderr,
        timezone=ZoneInfo(arguments.timezone),
        server=arguments.server,
        directory=load(arguments.definitions).directory if arguments.definitions else None,
    )


def encrypt(arguments: argparse.Namespace) -> int:
    """`arimonitor secret encrypt`: reads the secret from the terminal or standard input."""
    import getpass

    from daemon.secretbox import encrypt as encrypted

    del arguments
    key = os.environ.get("ARIMONITOR_KEY", "")
    if not key:
        print("arimonitor: set ARIMONITOR_KEY first; `arimonitor secret key` makes one", file=sys.stderr)
        return EXIT_FAILED
    secret = getpass.getpass("Secret: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not secret:
        print("arimonitor: there is no secret to encrypt", file=sys.stderr)
        return EXIT_FAILED
    print(encrypted(secret, key))
    return EXIT_OK


def new_key(arguments: argparse.Namespace) -> int:
    """`arimonitor secret key`: a new key for ARIMONITOR_KEY."""
    from daemon.secretbox import new_key as fresh

    del arguments
    print(fresh())
    return EXIT_OK


def _settings(arguments: argparse.Namespace) -> Settings:
    return settingsfile.load(settingsfile.resolve(arguments.config, os.environ), os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="arimonitor",
        description="Watches Asterisk through ARI and publishes every call to RabbitMQ.",
    )
    parser.add_argument("--version", action="version", version=f"arimonitor {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("run", help="the daemon, in the foreground")
    _config(command)
    command.add_argument("--console", action="store_true", help="the console on this terminal")
    command.set_defaults(command=run)

    command = commands.add_parser("lab", help="the daemon on recorded calls: to see and try everything")
    command.add_argument("--dir", type=Path, default=None, metavar="DIR", help="where its files go")
    command.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="N times the pace of life")
    command.add_argument("--listen", default=None, metavar="HOST:PORT", help="of the console")
    command.add_argument("--console", action="store_true", help="the console on this terminal")
    command.set_defaults(command=lab)

    command = commands.add_parser("check", help="tries every connection that the configuration names")
    _config(command)
    command.add_argument("--json", action="store_true")
    command.set_defaults(command=check)

    command = commands.add_parser("ctl", help="one console command on a running daemon")
    _address(command)
    command.add_argument("--json", action="store_true")
    command.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND [ARG...]")
    command.set_defaults(command=ctl)

    command = commands.add_parser("console", help="the console with history and completion")
    _address(command)
    command.set_defaults(command=console)

    command = commands.add_parser("replay", help="captured ARI events to messages")
    command.add_argument("trace", type=Path, metavar="TRACE.jsonl[.gz]")
    command.add_argument("--format", choices=("v3", "v2.7"), default="v3")
    command.add_argument("--compare", type=Path, metavar="GOLDEN.jsonl", help="another system's messages")
    command.add_argument("--server", default="replay", help="the Asterisk's name in the messages")
    command.add_argument(
        "--definitions", type=Path, metavar="DIR", help="definition files, for clients and GUIDs"
    )
    command.add_argument("--timezone", default="America/Sao_Paulo", type=_timezone)
    command.set_defaults(command=replay)

    importer.add(commands)
    request.add(commands)
    tokens.add(commands)
    recordings.add(commands)

    command = commands.add_parser("secret", help="secrets for the configuration")
    actions = command.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser("encrypt", help="encrypts what it reads, with $ARIMONITOR_KEY")
    action.set_defaults(command=encrypt)
    action = actions.add_parser("key", help="a new key for $ARIMONITOR_KEY")
    action.set_defaults(command=new_key)
    return parser


def _config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="default: $ARIMONITOR_CONFIG, then /etc/arimonitor"
    )


def _address(command: argparse.ArgumentParser) -> None:
    command.add_argument("--address", default=client.DEFAULT_ADDRESS, metavar="HOST:PORT")


def _speed(text: str) -> float:
    speed = float(text)
    if not 0.1 <= speed <= 100:
        raise argparse.ArgumentTypeError("from 0.1 to 100")
    return speed


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError) as error:
        raise argparse.ArgumentTypeError(f"no time zone is called {text!r}") from error
    return text
