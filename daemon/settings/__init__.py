"""The whole configuration as frozen values. Pure.

`Settings()` is a usable configuration: one node on embedded parts. What
depends on the machine (user, home folder, host name) is filled in by
file.load. Validation here is per key; what one key says about another
is in check, and both together in draft.build.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from daemon.settings.base import Section, is_loopback, restart, split_address
from daemon.settings.core import (
    AsteriskSettings,
    HaSettings,
    HttpSettings,
    LogSettings,
    ManagerSettings,
    MqSettings,
    NodeSettings,
)
from daemon.settings.site import (
    ImapSettings,
    MailSettings,
    Oauth2Settings,
    PeerSettings,
    QueueSettings,
    RecordingsSettings,
    S3Settings,
    SenderSettings,
    ServerSettings,
    SmtpSettings,
)

__all__ = [
    "AsteriskSettings",
    "HaSettings",
    "HttpSettings",
    "ImapSettings",
    "LogSettings",
    "MailSettings",
    "ManagerSettings",
    "MqSettings",
    "NodeSettings",
    "Oauth2Settings",
    "PeerSettings",
    "QueueSettings",
    "RecordingsSettings",
    "S3Settings",
    "SenderSettings",
    "ServerSettings",
    "Settings",
    "SmtpSettings",
    "is_loopback",
    "split_address",
]

# Keys whose default is a place in node.data_dir.
_IN_DATA_DIR = (
    ("queue", "dir", "queue"),
    ("mail", "maildir", "mail"),
    ("mail", "tokens_file", "tokens"),
    ("recordings", "publish_dir", "audios"),
)


class Settings(Section):
    """Everything that can be configured, section by section."""

    node: NodeSettings = restart(NodeSettings(), "this node among the nodes")
    ha: HaSettings = restart(HaSettings(), "how the nodes elect a master")
    asterisk: tuple[AsteriskSettings, ...] = restart((), "the Asterisks that are watched, any number of them")
    mq: MqSettings = restart(MqSettings(), "where the messages go")
    mail: MailSettings = restart(MailSettings(), "requests and answers")
    queue: QueueSettings = restart(QueueSettings(), "the request queue")
    recordings: RecordingsSettings = restart(RecordingsSettings(), "finding, packing and publishing")
    peer: tuple[PeerSettings, ...] = restart((), "the other nodes")
    server: tuple[ServerSettings, ...] = restart((), "what SERVER= may name")
    manager: ManagerSettings = restart(ManagerSettings(), "the console's port")
    log: LogSettings = restart(LogSettings(), "the log files")
    http: HttpSettings = restart(HttpSettings(), "the web page, health and metrics")

    @model_validator(mode="before")
    @classmethod
    def _places_in_data_dir(cls, data: Any) -> Any:
        """Queue, mail, tokens and what is published lie in data_dir unless they are told otherwise."""
        if not isinstance(data, dict):
            return data
        node = data.get("node")
        data_dir = node.get("data_dir") if isinstance(node, dict) else getattr(node, "data_dir", None)
        if not isinstance(data_dir, str | Path) or not str(data_dir).startswith("/"):
            return data
        filled = dict(data)
        for section, key, place in _IN_DATA_DIR:
            table = filled.get(section, {})
            if isinstance(table, dict):
                filled[section] = {key: str(Path(data_dir) / place), **table}
        return filled
