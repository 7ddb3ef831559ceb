"""Who makes calls in the lab: companies that do not exist, and their phones. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from daemon.directory.model import Directory

ENOUGH: Final = 4
"""Phones that a company needs, so that every story can be played in it."""

_PLACES: Final = (
    "Portaria", "Administração", "Recepção", "Financeiro", "Manutenção", "Sala de reuniões",
    "Diretoria", "Almoxarifado",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phone:
    """An extension, the name that it shows, where it is registered."""

    number: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Company:
    """A client of the definition files with its phones."""

    id: str
    phones: tuple[Phone, ...]


def companies(directory: Directory) -> tuple[Company, ...]:
    """The clients with phones enough for every story; phones are endpoints whose names are digits."""
    phones: dict[str, list[Phone]] = {}
    extensions = sorted(entry.name for entry in directory.endpoints.values() if entry.name.isdecimal())
    for index, number in enumerate(extensions):
        client = directory.client_of(number)
        if client is not None:
            of_client = phones.setdefault(client, [])
            # 192.0.2.0/24 is for examples (RFC 5737).
            address = f"192.0.2.{10 + index % 240}"
            of_client.append(Phone(number, _PLACES[len(of_client) % len(_PLACES)], address))
    return tuple(
        Company(client, tuple(owned)) for client, owned in sorted(phones.items()) if len(owned) >= ENOUGH
    )
