"""A recording at a glance: who dialled whom with which result, and whether it is whole."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

SHOWN = (
    "BridgeBlindTransfer",
    "BridgeAttendedTransfer",
    "ChannelHold",
    "ChannelUnhold",
    "ChannelDtmfReceived",
)


def load(path: Path) -> list[dict[str, Any]]:
    """The events of a recording."""
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return [line["event"] for line in lines if "event" in line]


def channel_events(events: list[dict[str, Any]]) -> dict[str, list[str]]:
    """For each channel the types of its events in order (those of bridges come when they come)."""
    found: dict[str, list[str]] = {}
    for event in events:
        if event["type"].startswith("Channel") and "channel" in event:
            found.setdefault(event["channel"]["id"], []).append(event["type"])
    return found


def summary(out: Path, name: str) -> str:
    first, second = load(out / f"{name}.jsonl.gz"), load(out / f"{name}.second.jsonl.gz")
    lines = []
    for event in first:
        kind = event["type"]
        if kind == "Dial":
            lines.append(
                f"Dial {event.get('caller', {}).get('name', '-')} -> {event['peer']['name']}"
                f" {event['dialstatus']}"
            )
        elif kind in SHOWN:
            lines.append(f"{kind} {event.get('channel', {}).get('name', '')}{event.get('digit', '')}")
        elif kind == "ChannelHangupRequest":
            lines.append(f"HangupRequest {event['channel']['name']} soft={event.get('soft', False)}")
        elif kind == "ChannelDestroyed":
            linked = event["channel"].get("channelvars", {}).get("CHANNEL(linkedid)")
            lines.append(
                f"Destroyed {event['channel']['name']} {event['cause']}"
                f" id {event['channel']['id']} linked {linked}"
            )
    kinds = Counter(event["type"] for event in first)
    if kinds["ChannelCreated"] != kinds["ChannelDestroyed"]:
        lines.append(f"NOT WHOLE: {kinds['ChannelCreated']} created, {kinds['ChannelDestroyed']} destroyed")
    if channel_events(first) != channel_events(second):
        lines.append("the second socket saw the channels otherwise")
    lines += ["CDR " + row for row in (out / f"{name}.cdr.csv").read_text().splitlines()]
    return f"  {len(first)} and {len(second)} events\n" + "\n".join("  " + line for line in lines)
