"""The JSON Schemas (draft 2020-12) of every message, installed with the product.

One file each, complete in itself, beside this one: `<type>.json` for the v3
form of a type, `call.v2.7.json` for the v2.7 form of them all. They are open:
a consumer that validates must go on reading when a field is added, so nothing
says `additionalProperties: false`. Our own tests close them before they
compare, so that nothing is sent that is not described.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec

V27 = "call.v2.7"
"""The name of the schema of every message in the v2.7 form."""


def names() -> tuple[str, ...]:
    """Every schema's name, sorted: the operation types, and `V27`."""
    entries = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in entries if name.endswith(".json")))


def load(name: str) -> dict[str, Any]:
    """One schema. Raises FileNotFoundError where there is none of that name.

    >>> load("dtmf")["properties"]["data"]["properties"]["digit"]["title"]
    'Digit'
    """
    schema: dict[str, Any] = msgspec.json.decode((files(__name__) / f"{name}.json").read_bytes())
    return schema
