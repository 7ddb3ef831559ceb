"""One look at all endpoints of an Asterisk: states by ARI, addresses by AMI or its command line.

ARI does not tell where an endpoint is registered from. AMI does, where `ami` is
configured; else `asterisk -rx`, where that Asterisk is on this machine. Where
neither answers, the states still count and the log says why the addresses
are unknown.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from daemon.ari.events import millis
from daemon.ari.rest import AriRefused, AriUnavailable
from daemon.directory.ami import AmiClient
from daemon.directory.contacts import Contact, PjsipStuck, parse_cli_contacts
from daemon.directory.endpoints import BY_AMI, BY_CLI, Look, endpoint_name
from daemon.errors import PermanentError, TransientError
from daemon.runtime import process

log = logging.getLogger("arimonitor.directory")

_PLACES: Final = ("/usr/sbin/asterisk", "/usr/local/sbin/asterisk")
_CLI_OUTPUT: Final = 16 * 1024 * 1024


class Ari(Protocol):
    """What a look asks of ARI: three calls. Each raises AriUnavailable or AriRefused."""

    def endpoints(self) -> list[Any]:
        """All endpoints."""

    def ping(self) -> str:
        """Asterisk's time."""

    def get_info(self) -> Mapping[str, Any]:
        """AsteriskInfo."""


class Source(Protocol):
    """Who can say where endpoints are registered from."""

    how: str

    def contacts(self) -> list[Contact]:
        """All contacts. Raises TransientError or PermanentError, with a sentence."""


class AmiSource:
    """By AMI: whole URIs, registered contacts only."""

    how = BY_AMI

    def __init__(self, client: AmiClient) -> None:
        self._client = client

    def contacts(self) -> list[Contact]:
        """All registered contacts."""
        return self._client.contacts()


class CliSource:
    """By `asterisk -rx 'pjsip show contacts'`: contacts of the configuration too, long URIs left out.

    `argv` is the program, with what has to stand in front of it.
    """

    how = BY_CLI

    def __init__(self, argv: Sequence[str], *, timeout: float = 5.0) -> None:
        self._argv = tuple(argv)
        self._timeout = timeout

    def contacts(self) -> list[Contact]:
        """All contacts whose address is not cut off."""
        done = process.run(
            (*self._argv, "-rx", "pjsip show contacts"),
            timeout=self._timeout,
            max_output=_CLI_OUTPUT,
            log_level=None,
        )
        if done.timed_out and process.run((*self._argv, "-rx", "core show uptime"), timeout=self._timeout).ok:
            raise PjsipStuck(f"asterisk -rx 'pjsip show contacts' did not end within {self._timeout:g} s")
        if not done.ok:
            raise TransientError(done.why())
        contacts = parse_cli_contacts(done.stdout.decode("utf-8", "replace"))
        if contacts is None:
            raise PermanentError("asterisk -rx 'pjsip show contacts' lists no contacts: is PJSIP loaded?")
        return contacts


def local_cli() -> tuple[str, ...] | None:
    """The Asterisk program of this machine, None where there is none that we may run."""
    found = shutil.which("asterisk")
    places = (found,) if found else _PLACES
    return next(((place,) for place in places if os.access(place, os.X_OK)), None)


class Looker:
    """Looks at all endpoints of one Asterisk. `problem`: why the last look had no addresses, "" if it had.

    `stuck`: ARI answered that look, and PJSIP did not.
    """

    def __init__(
        self,
        name: str,
        rest: Ari,
        source: Source | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.problem = ""
        self.stuck = False
        self._rest = rest
        self._source = source
        self._clock = clock

    def look(self) -> Look:
        """One look. Raises AriUnavailable or AriRefused; addresses that nobody tells are no error."""
        begun = self._asterisk_time()
        started = self._started()
        states = _states(self._rest.endpoints())
        contacts, how = self._contacts()
        return Look(begun, states, contacts, how, started)

    def _contacts(self) -> tuple[tuple[Contact, ...] | None, str]:
        source, problem, self.stuck = self._source, "", False
        contacts: tuple[Contact, ...] | None = None
        if source is None:
            problem = "ami is not configured, and this Asterisk's command line is not on this machine"
        else:
            try:
                contacts = tuple(source.contacts())
            except PjsipStuck as error:
                problem, self.stuck = f"{error}: PJSIP is stuck while ARI answers", True
            except (TransientError, PermanentError) as error:
                problem = str(error)
        if problem != self.problem:
            if self.stuck:
                log.error(
                    "%s: %s; phones can neither register nor call, see 'core show taskprocessors', "
                    "and restart it if that does not pass", self.name, problem,
                )  # fmt: skip
            elif problem:
                log.warning(
                    "addresses of endpoints that are registered already on %s are not known: %s",
                    self.name, problem,
                )  # fmt: skip
            else:
                log.info("addresses of the endpoints of %s are known again", self.name)
            self.problem = problem
        return contacts, source.how if source is not None else ""

    def _asterisk_time(self) -> int:
        """By Asterisk's clock, as its events are. Before 16.12 it has no ping: then by ours."""
        try:
            return millis(self._rest.ping())
        except (AriRefused, ValueError):
            return round(self._clock() * 1000)

    def _started(self) -> int | None:
        try:
            status = self._rest.get_info().get("status")
            return millis(str(status["startup_time"])) if isinstance(status, dict) else None
        except (AriRefused, ValueError, KeyError):
            return None


def _states(found: Sequence[Any]) -> dict[str, str]:
    states = {}
    for each in found:
        if not isinstance(each, dict) or not each.get("resource"):
            raise AriUnavailable("ARI answered GET /endpoints with something that is no endpoint")
        name = endpoint_name(str(each.get("technology", "")), str(each["resource"]))
        states[name] = str(each.get("state") or "unknown")
    return states
