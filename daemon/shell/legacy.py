"""The old system's files read, and written as TOML. Pure.

monitor_config.txt has KEY=VALUE lines; servers_config.json the servers, in any
of the forms that were found: {"servers": {...}}, {NAME: {...}}, {NAME:
"audio"}, or a list of objects with a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.settings.schema import toml

_SECRET = "# a secret: better in a file of its own (0600), named by {key}_file"  # noqa: S105
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_IMAP = {
    "gmail.com": "imap.gmail.com",
    "googlemail.com": "imap.gmail.com",
    "outlook.com": "outlook.office365.com",
}
_UNUSED = {
    "LOG_FILE": "[log] dir is a folder; the daemon rotates by itself",
    "QUEUE_PROCESSOR_LOG": "there is one log, in [log] dir",
    "PROCESSOR_SCRIPT": "the daemon does it itself",
}


class NotUnderstood(Exception):
    """A file that can't be converted; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Legacy:
    """The texts of the files; None where there is none."""

    config: str
    servers: object = None


def convert(legacy: Legacy, now: datetime, tokens_file: str = "") -> tuple[str, tuple[str, ...]]:
    """The TOML, and notes for whoever converts. `tokens_file`: where the hashed tokens were put."""
    values, unread = _values(legacy.config)
    notes: list[str] = []
    lines = [
        f"# Made by `arimonitor import-config` on {now:%Y-%m-%d} from the old system's files.",
        "# `arimonitor check -c FILE` tries what is written here.",
        "",
    ]
    lines += _section("node", _node(values))
    lines += _section("mail", _mail(values, tokens_file))
    account, password = values.get("EMAIL_SERVICE", ""), values.get("EMAIL_PASSWORD", "")
    if account:
        host, sure = _imap_host(account, values.get("SMTP_SERVER", ""))
        if not sure:
            notes.append(f"mail.imap.host = {toml(host)} is guessed: the old files did not name it")
        imap = [("host", host), ("username", account), ("password", password)]
        lines += _section("mail.imap", [(key, value) for key, value in imap if value])
    smtp = _smtp(values, account, password, notes)
    lines += _section("mail.smtp", smtp)
    lines += _section("queue", _queue(values, notes))
    lines += _recordings(values, notes)
    for name, server in _servers(legacy.servers, notes):
        lines += ["[[server]]", f"name = {toml(name)}", *_pairs(server), ""]
    unknown = [
        f"{key}={_hidden(key, value)}" for key, value in values.items() if key not in _KNOWN | set(_UNUSED)
    ]
    comments = [f"# {key}: not needed any more: {why}" for key, why in _UNUSED.items() if key in values]
    comments += [f"# not understood, left out: {_printable(line)}" for line in (*unknown, *unread)]
    if unknown or unread:
        notes.append(f"{len(unknown) + len(unread)} lines were not understood: they are comments at the end")
    if any("password" in line for line in lines):
        notes.append("secrets are in it: keep it 0600, or move them to *_file")
    return "\n".join([*lines, *comments]).rstrip() + "\n", tuple(notes)


_KNOWN = {
    "EMAIL_SERVICE", "EMAIL_PASSWORD", "WHITELIST", "SMTP_SERVER", "SMTP_PORT", "SMTP_FROM", "SMTP_PASSWORD",
    "QUEUE_DIR", "PROCESSING_TIMEOUT", "MAX_RETRIES", "MAX_RAMAIS", "MAX_DAYS_RANGE", "TOKEN_FILE", "MODE",
    "AUDIOS_FROM",
}  # fmt: skip

Pairs = list[tuple[str, object]]


def _values(text: str) -> tuple[dict[str, str], list[str]]:
    values: dict[str, str] = {}
    unread = []
    for line in text.splitlines():
        bare = line.strip().removeprefix("export ").strip()
        if not bare or bare.startswith(("#", ";")):
            continue
        key, equals, value = bare.partition("=")
        key, value = key.strip().upper(), value.strip()
        if not equals or not re.fullmatch(r"[A-Z0-9_]+", key):
            unread.append("a line without KEY=VALUE")
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        values[key] = value
    if not values:
        raise NotUnderstood("monitor_config.txt has no KEY=VALUE line: is it the right file?")
    return values, unread


def _node(values: Mapping[str, str]) -> Pairs:
    """MODE=master read the mail, slave did not: now the nodes elect, and the old master asks first."""
    mode = values.get("MODE", "").lower()
    return [("mode", "auto"), ("priority", 110 if mode == "master" else 100)] if mode else []


def _mail(values: Mapping[str, str], tokens_file: str) -> Pairs:
    pairs: Pairs = [("inbox", "imap")] if values.get("EMAIL_SERVICE") else []
    if values.get("SMTP_SERVER"):
        pairs.append(("outbox", "smtp"))
    listed = [word for word in re.split(r"[,;\s]+", values.get("WHITELIST", "")) if word]
    if listed:
        pairs.append(("whitelist", listed))
    if tokens_file:
        pairs.append(("tokens_file", tokens_file))
    return pairs


def _smtp(values: Mapping[str, str], account: str, password: str, notes: list[str]) -> Pairs:
    if not values.get("SMTP_SERVER"):
        return []
    sender = values.get("SMTP_FROM") or account
    found = re.search(r"[^\s<>]+@[^\s<>]+", sender)
    pairs: Pairs = [("host", values["SMTP_SERVER"])]
    if (port := _number(values, "SMTP_PORT", notes)) is not None:
        pairs.append(("port", port))
    pairs += [("username", account)] if account else []
    secret = values.get("SMTP_PASSWORD") or password
    pairs += [("password", secret)] if secret else []
    return [*pairs, ("from", found[0] if found else sender)]


def _queue(values: Mapping[str, str], notes: list[str]) -> Pairs:
    pairs: Pairs = [("dir", values["QUEUE_DIR"])] if values.get("QUEUE_DIR", "").startswith("/") else []
    for old, new in (
        ("PROCESSING_TIMEOUT", "processing_timeout"),
        ("MAX_RETRIES", "max_tries"),
        ("MAX_RAMAIS", "max_extensions"),
        ("MAX_DAYS_RANGE", "max_days"),
    ):
        number = _number(values, old, notes)
        if number is None:
            continue
        if old == "PROCESSING_TIMEOUT" and number > 1440:
            notes.append(f"PROCESSING_TIMEOUT={number} is taken for seconds: {number // 60} minutes")
            number //= 60
        pairs.append((new, number))
    return pairs


def _recordings(values: Mapping[str, str], notes: list[str]) -> list[str]:
    source = values.get("AUDIOS_FROM", "").lower()
    if source not in ("audio", "s3"):
        return []
    lines = _section("recordings", [("audios_from", source)])
    if source == "s3":
        notes.append("recordings.s3.bucket must be filled in: the old files did not name it")
        lines += _section("recordings.s3", [("bucket", "fill-in-the-bucket")])
    return lines


def _servers(found: object, notes: list[str]) -> Iterator[tuple[str, Pairs]]:
    if isinstance(found, dict) and isinstance(found.get("servers"), dict | list):
        found = found["servers"]
    if isinstance(found, list):
        rows = [(each.get("name") or each.get("server"), each) for each in found if isinstance(each, dict)]
    elif isinstance(found, dict):
        rows = list(found.items())
    elif found is None:
        rows = []
    else:
        raise NotUnderstood("servers_config.json has neither an object nor a list of servers")
    for name, said in rows:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            notes.append("a server whose name is not of letters, digits, _ and - is left out")
            continue
        yield name, _server(said if isinstance(said, dict) else {"audios_from": said})


def _server(said: Mapping[str, Any]) -> Pairs:
    pairs: Pairs = []
    source = str(said.get("audios_from", "")).lower()
    if source in ("audio", "s3"):
        pairs.append(("audios_from", source))
    for new, olds in (
        ("host", ("host", "hostname", "ip", "address")),
        ("user", ("user", "username", "ssh_user")),
    ):
        value = next((said[old] for old in olds if isinstance(said.get(old), str) and said[old]), None)
        if value is not None:
            pairs.append((new, value))
    port = said.get("port") or said.get("ssh_port")
    if isinstance(port, int | str) and str(port).isdecimal():
        pairs.append(("port", int(port)))
    key = said.get("key_file") or said.get("ssh_key") or said.get("key")
    if isinstance(key, str) and key.startswith("/"):
        pairs.append(("key_file", key))
    return pairs


def _imap_host(account: str, smtp: str) -> tuple[str, bool]:
    domain = account.rpartition("@")[2].lower()
    if domain in _IMAP:
        return _IMAP[domain], True
    if smtp.lower() == "smtp.gmail.com":
        return "imap.gmail.com", True
    return (f"imap.{smtp[5:]}" if smtp.lower().startswith("smtp.") else f"imap.{domain}"), False


def _number(values: Mapping[str, str], key: str, notes: list[str]) -> int | None:
    text = values.get(key, "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 9:
        notes.append(f"{key} is no number and is left out")
        return None
    return int(text)


def _section(name: str, pairs: Pairs) -> list[str]:
    return [f"[{name}]", *_pairs(pairs), ""] if pairs else []


def _pairs(pairs: Pairs) -> list[str]:
    lines = []
    for key, value in pairs:
        comment = f"  {_SECRET.format(key=key)}" if key == "password" else ""
        lines.append(f"{key} = {toml(value)}{comment}")
    return lines


def _hidden(key: str, value: str) -> str:
    return "***" if re.search(r"PASS|SECRET|TOKEN|KEY", key) else value


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line[:200])
