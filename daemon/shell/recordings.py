"""`arimonitor recordings find|index|send`. Entry."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from daemon.errors import PermanentError, RequestError, TransientError
from daemon.jobs.model import Failure
from daemon.mail import dates, extensions, reasons
from daemon.mail.mistakes import Mistake
from daemon.recordings import tree
from daemon.recordings.desk import INDEX, Recordings
from daemon.recordings.model import Recording
from daemon.recordings.names import shown
from daemon.runtime.offload import Offload
from daemon.settings import Settings
from daemon.settings import file as settingsfile
from daemon.shell import send

FOUND, NONE, USAGE, FAILED = 0, 1, 2, 3
_MOST = 1000  # extensions at once: as many as [queue] max_extensions can allow


def add(commands: Any) -> None:
    """The commands of this module."""
    group = commands.add_parser("recordings", help="recordings: find them, send them, build their index")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser("find", help="lists matching recordings")
    action.add_argument("-c", "--config", type=Path, metavar="FILE")
    action.add_argument("--ramais", required=True, metavar="1121,1122")
    action.add_argument("--inicio", required=True, metavar='"DD/MM/YYYY HH:MM"')
    action.add_argument("--fim", required=True, metavar='"DD/MM/YYYY HH:MM"')
    action.add_argument("--from", dest="source", choices=("audio", "s3"), default="")
    action.add_argument("--json", action="store_true")
    action.set_defaults(command=find)
    action = actions.add_parser("index", help="builds or refreshes the index of the local tree")
    action.add_argument("-c", "--config", type=Path, metavar="FILE")
    action.add_argument("--rebuild", action="store_true", help="from nothing")
    action.set_defaults(command=index)
    send.add(actions)


def find(arguments: argparse.Namespace) -> int:
    """0 found, 1 none, 2 bad parameters, 3 could not search."""
    settings = _settings(arguments)
    timezone = ZoneInfo(settings.node.timezone)
    try:
        wanted = extensions.several(arguments.ramais.strip(), _MOST)
        inicio, fim = (
            dates.normal(dates.moment(key, text.strip(), timezone))
            for key, text in (("INICIO", arguments.inicio), ("FIM", arguments.fim))
        )
    except Mistake as mistake:
        told = reasons.sentence(Failure(mistake.code, mistake.names), settings.node.language)
        return _complain(told, USAGE)
    begin, end = dates.span({"inicio": inicio, "fim": fim}, timezone)
    if end < begin:
        return _complain("--fim is before --inicio", USAGE)
    pool = Offload()
    try:
        found = Recordings(settings, pool.call).find(wanted, begin, end, arguments.source)
    except RequestError as error:
        return _complain(str(error), USAGE)
    except (TransientError, PermanentError) as error:
        return _complain(str(error), FAILED)
    finally:
        pool.close()
    for left in found.left_out:
        print(f"arimonitor: left out: {left.name}: {left.reason}", file=sys.stderr)
    if arguments.json:
        print(msgspec.json.encode([_row(each) for each in found.recordings]).decode())
    else:
        for each in found.recordings:
            who = f"{each.origin} -> {each.destiny}"
            print(f"{each.started:%d/%m/%Y %H:%M:%S}  {who:24}  {each.bytes:>10}  {shown(each.key, 4096)}")
        print(f"{len(found.recordings)} recordings", file=sys.stderr)
    return FOUND if found.recordings else NONE


def _row(each: Recording) -> dict[str, object]:
    return {
        "source": each.source,
        "key": shown(each.key, 4096),
        "origin": each.origin,
        "destiny": each.destiny,
        "started": each.started.isoformat(),
        "format": each.format,
        "bytes": each.bytes,
    }


def index(arguments: argparse.Namespace) -> int:
    """Build or refresh; a progress line on a terminal."""
    settings = _settings(arguments)
    roots = [str(root) for root in settings.recordings.roots]
    if not roots:
        return _complain("[recordings] roots names no folder", USAGE)
    settings.node.data_dir.mkdir(parents=True, exist_ok=True)
    line = _Line()
    try:
        done = tree.sweep(settings.node.data_dir / INDEX, roots, line.progress, rebuild=arguments.rebuild)
    except TransientError as error:
        return _complain(str(error), FAILED)
    finally:
        line.end()
    print(
        f"{done.files} files in {done.folders} folders are in the index: {done.came} came, {done.went} went,"
        f" {done.read} names read in {done.seconds:.1f} s"
    )
    return FOUND


class _Line:
    """The progress on a terminal, on one line; silent elsewhere."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._began = self._said = time.monotonic()

    def progress(self, done: int, known: int, read: int) -> None:
        now = time.monotonic()
        if not self._on or now - self._said < 0.1:
            return
        self._said = now
        share, rate = done / max(known, 1), read / max(now - self._began, 0.001)
        bar = "#" * int(share * 30)
        print(
            f"\r[{bar:30}] {share:4.0%}  {read:,} names  {rate:,.0f}/s ", end="", file=sys.stderr, flush=True
        )

    def end(self) -> None:
        """Leave the line."""
        if self._on:
            print(file=sys.stderr)


def _settings(arguments: argparse.Namespace) -> Settings:
    return settingsfile.load(settingsfile.resolve(arguments.config, os.environ), os.environ)


def _complain(text: str, status: int) -> int:
    print(f"arimonitor: {text}", file=sys.stderr)
    return status
