"""Who makes MP3s: this host, or with mp3 = "ssh" primary, then backup, then this host. Part of the service.

Each failure falls to the next with one sentence in the log; what a host did
before it failed counts. In the end this host says what can't be converted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from daemon.errors import PermanentError, TransientError
from daemon.machines.reach import place_of
from daemon.recordings.model import LeftOut
from daemon.recordings.mp3 import Job, Lame, Probed
from daemon.recordings.mp3host import Mp3Host, Unable
from daemon.settings import PeerSettings, ServerSettings, Settings
from ssh.traffic import Traffic

log = logging.getLogger("arimonitor.recordings")

HERE = "this host"


class Converted(msgspec.Struct, frozen=True):
    """One result for each job, and how many of the MP3s which host made."""

    results: Sequence[Probed | LeftOut]
    by: Mapping[str, int]

    def __str__(self) -> str:
        return ", ".join(f"{count} by {name}" for name, count in self.by.items() if count) or "none"


class Encoders:
    """The hosts of one node, in their order."""

    def __init__(self, settings: Settings, offload: Callable[..., Any], traffic: Traffic) -> None:
        chosen = settings.recordings
        self._here = Lame(chosen.bitrate, offload)
        self._hosts = [
            Mp3Host(place_of(machine), chosen.remote_dir, chosen.bitrate, offload, traffic)
            for machine in hosts(settings)
        ]

    def convert(self, jobs: Sequence[Job], name: str) -> Converted:
        """`name` is the request's id and try, of the folder on other hosts.

        TransientError: no host can, but may be able to later. PermanentError:
        there is no lame here, and nowhere else to ask.
        """
        results: dict[int, Probed | LeftOut] = {}
        by: dict[str, int] = {}
        failures: list[str] = []
        for host in self._hosts:
            left = [number for number in range(len(jobs)) if number not in results]
            if not left:
                break
            try:
                done = host.convert([jobs[number] for number in left], name)
            except Unable as unable:
                done = unable.done
                failures.append(str(unable))
                log.warning("MP3s of %s: %s; %s does the rest", name, unable, self._after(host))
            results.update({left[at]: made for at, made in done.items()})
            by[host.name] = len(done)
        left = [number for number in range(len(jobs)) if number not in results]
        if left:
            try:
                made = self._here.convert([jobs[number] for number in left])
            except PermanentError as error:
                if not failures:
                    raise
                raise TransientError(f"no host can make MP3s now: {'; '.join(failures)}; {error}") from error
            results.update(zip(left, made, strict=True))
            by[HERE] = sum(isinstance(each, Probed) for each in made)
        return Converted([results[number] for number in range(len(jobs))], by)

    def _after(self, host: Mp3Host) -> str:
        following = self._hosts[self._hosts.index(host) + 1 :]
        return following[0].name if following else HERE


def hosts(settings: Settings) -> list[PeerSettings | ServerSettings]:
    """The machines of recordings.primary and backup, as far as there are such; none with mp3 = "local"."""
    chosen = settings.recordings
    if chosen.mp3 != "ssh":
        return []
    machines: dict[str, PeerSettings | ServerSettings] = {
        **{server.name: server for server in settings.server if server.host},
        **{peer.name: peer for peer in settings.peer},
    }
    named = dict.fromkeys((chosen.primary, chosen.backup))
    return [machines[name] for name in named if name in machines]
