"""The directory as frozen tables: clients, endpoints, message servers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Client:
    """A company: `[101]` of __CLIENTES__.DEF. `mq` names a message server, "" the default."""

    id: str
    name: str = ""
    mq: str = ""


@dataclass(frozen=True, slots=True)
class EndpointEntry:
    """One `#include` line of endpoints_pjsip.def. The password (PW) is not kept."""

    name: str
    client: str = ""
    type: str = ""
    guid: str = ""


@dataclass(frozen=True, slots=True)
class MessageServer:
    """A `[section]` of __MQSERVERS__.DEF."""

    name: str
    host: str
    port: int = 5672
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    """The tables of one Asterisk. Replaced whole on a reload, never changed."""

    clients: Mapping[str, Client] = field(default_factory=lambda: MappingProxyType({}))
    endpoints: Mapping[str, EndpointEntry] = field(default_factory=lambda: MappingProxyType({}))
    servers: Mapping[str, MessageServer] = field(default_factory=lambda: MappingProxyType({}))

    def client_of(self, endpoint: str | None) -> str | None:
        """The client id of an endpoint, or None."""
        entry = self.endpoints.get(endpoint) if endpoint else None
        return (entry.client or None) if entry else None
