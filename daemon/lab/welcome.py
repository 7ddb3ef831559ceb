"""What a newcomer reads when the lab starts: what this is, and what to try next. Pure."""

from __future__ import annotations

import shlex
from pathlib import Path

from daemon.settings import Settings, split_address

_RULE = "=" * 78


def welcome(
    settings: Settings,
    folder: Path,
    *,
    speed: float,
    usual_console: str,
    wish: str,
    program: str = "arimonitor",
) -> str:
    """The text for the terminal: every command in it can be copied as it stands.

    `wish` is the subject of a request that finds recordings. `program` is how this
    program is called here (it may not be on the PATH).
    """
    asterisk = settings.asterisk[0]
    console, web = settings.manager.listen, settings.http.listen[0]
    host, port = split_address(console)
    ctl = f"{program} ctl" if console == usual_console else f"{program} ctl --address {console}"
    elsewhere = "" if console == usual_console else f"; it is not on {usual_console} this time"
    password = asterisk.password.get_secret_value() if asterisk.password is not None else ""
    user, calls = f"{asterisk.username}:{password}", _path(folder / "calls")
    messages = settings.node.data_dir / "messages"
    inbox, toml = f"{_path(settings.mail.maildir)}/inbox/new", _path(folder / "arimonitor.toml")
    pace = "" if speed == 1 else f", {speed:g} times as fast as life"
    tries = (
        (f"the console; type help{elsewhere}", f"telnet {host} {port}"),
        ("how it is", f"{ctl} status"),
        ("the calls of this moment", f"{ctl} calls"),
        ("the events as they come", f"{ctl} events follow"),
        ("the phones of a client", f"{ctl} list 101"),
        ("the messages, as RabbitMQ would get them", f"tail -F {_path(messages)}/messages-*.jsonl"),
        ("a recorded call as messages", f"{program} replay {calls}/attended-transfer.jsonl.gz"),
        ("ask for recordings by mail: the request", f"cp {_path(folder / 'mails')}/recordings.eml {inbox}/"),
        ("or without a mail", f'{program} request -c {toml} --from portaria@example.com "{wish}"'),
        ("the answers: mails to open; their links play", f"ls {_path(settings.mail.maildir)}/outbox/new"),
        ("the requests", f"{ctl} queue"),
        ("try every connection", f"{program} check -c {toml}"),
        ("its health, and its metrics", f"curl http://{web}/health http://{web}/metrics"),
        ("ask the played Asterisk itself", f"curl -u {user} {asterisk.url}/ari/channels"),
        ("the log", f"tail -F {_path(settings.log.dir)}/ARI-*.LOG"),
    )  # fmt: skip
    lines = [
        _RULE,
        "ARIMONITOR LAB: nothing here is real.",
        f"Recorded calls of a real Asterisk are played again and again{pace}, by three",
        "companies that do not exist, to the same daemon that would watch yours.",
        "",
        f"Everything is in   {folder}",
        "  arimonitor.toml  the configuration     definitions/  clients and phones: edit them",
        f"  {'recordings/':<17}tones, as recordings  {'mails/':<14}requests to try",
        f"  {'state/messages/':<17}the messages          {'log/':<14}what the daemon says",
        "",
        "In another terminal:",
        "",
    ]
    for what, command in tries:
        lines += [f"  # {what}", f"  {command}"]
    lines += ["", "The first call begins in a moment. Ctrl-C ends the lab.", _RULE]
    return "\n".join(lines) + "\n"


def _path(path: Path) -> str:
    return shlex.quote(str(path))
