"""CHECKIP: in which jails of a server's fail2ban an address is, since when, why; it is let out. Adapter.

What was found is on disk, and in the request's record, before anything is
lifted, so that a repetition after a crash, or on the other node, still tells
what the first run did. Nothing but the address comes from the requester, and
it goes to the server in its canonical form.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timezone
from pathlib import Path
from typing import Final

import msgspec

from daemon.errors import RequestError, TransientError
from daemon.jobs import fail2ban
from daemon.jobs.journal import Journal
from daemon.jobs.model import IpChecked, Jail, Request
from daemon.jobs.servers import choose, execute, last_words, session
from daemon.machines.reach import Reach, reached
from daemon.settings import ServerSettings, Settings
from ssh.connection import Connection, Output

log = logging.getLogger("arimonitor.jobs")

STEPS: Final = ("looked", "noted", "lifted", "verified")
"""What `passed` is called with, in this order; "lifted" once for each jail."""
_SECONDS: Final = 20.0  # for one command
_AWAY: Final = ("is fail2ban running", "unable to contact server", "connection refused", "timed out")


class CheckIp:
    """The work of CHECKIP. `passed` is called after each step: a test ends the process there."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        passed: Callable[[str], object] = str,
        seconds: float = 60.0,
        reach: Reach = reached,
        remember: Callable[[str, IpChecked], object] = lambda *_: None,
        remembered: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`seconds` is for all of it. `reach` opens a connection.

        `remember` keeps what was found where another node finds it that has to end the request
        (`remembered`); its error ends the work before anything is lifted.
        """
        self._settings = settings
        self._reach = reach
        self._remember = remember
        self._remembered = remembered
        self._seconds = seconds
        self._passed = passed

    def __call__(self, request: Request, folder: Path) -> IpChecked:
        """Look, lift, verify. Raises RequestError and TransientError; run again it ends the same."""
        text = request.parameters.get("ip", "")
        ip = fail2ban.address(text)
        if ip is None:
            raise RequestError(f"{text[:64]!r} is no IP address", "ip-invalid", ip=text[:64])
        server = choose(request, self._settings())
        journal = Journal(folder, "checkip.json")
        with session(server, self._reach) as connection:
            guard = _Guard(connection, server, time.monotonic() + self._seconds)
            found = {name: guard.look(name, ip) for name in guard.jails()}
            self._passed("looked")
            known = {**_banned(self._remembered(request.request_id)), **_noted(journal)}
            for name, jail in known.items():
                if name in found and not found[name].banned:
                    found[name] = jail  # an earlier run found it banned, and let it out
            journal.write({"jails": [msgspec.to_builtins(jail) for jail in found.values() if jail.banned]})
            if any(jail.banned for jail in found.values()):
                self._remember(request.request_id, IpChecked(str(ip), server.name, tuple(found.values())))
            self._passed("noted")
            for name, jail in found.items():
                if jail.banned:
                    guard.lift(name, ip)
                    self._passed("lifted")
            after = {
                name: msgspec.structs.replace(jail, lifted=not guard.bans(name, ip)) if jail.banned else jail
                for name, jail in found.items()
            }
            self._passed("verified")
        lifted = [jail.name for jail in after.values() if jail.lifted]
        still = [jail.name for jail in after.values() if jail.banned and not jail.lifted]
        log.info(
            "%s on %s: looked into %d jails, lifted in %s, still banned in %s request=%s",
            ip, server.name, len(after), ", ".join(lifted) or "none", ", ".join(still) or "none",
            request.request_id,
        )  # fmt: skip
        return IpChecked(str(ip), server.name, tuple(after.values()))


def _noted(journal: Journal) -> dict[str, Jail]:
    try:
        jails = msgspec.convert(journal.read().get("jails", []), list[Jail])
    except msgspec.ValidationError as error:
        raise TransientError(f"the notes of an earlier run make no sense: {error}") from error
    return {jail.name: jail for jail in jails}


def _banned(found: object) -> dict[str, Jail]:
    """The jails in which an earlier run found the address."""
    return {jail.name: jail for jail in found.jails if jail.banned} if isinstance(found, IpChecked) else {}


class _Guard:
    """fail2ban on one server."""

    def __init__(self, connection: Connection, server: ServerSettings, until: float) -> None:
        self._connection = connection
        self._server = server
        self._until = until
        self._zone: timezone | None = fail2ban.offset(_text(self._execute(["date", "+%z"])))

    def jails(self) -> tuple[str, ...]:
        """Those of the configuration, else all."""
        return self._server.jails or fail2ban.jails(self._ask("status"))

    def look(self, jail: str, ip: fail2ban.Address) -> Jail:
        """Whether the address is banned there, since when and why."""
        ban = self.bans(jail, ip)
        if ban is None:
            return Jail(jail, banned=False)
        whole = "" if ban.who.num_addresses == 1 else f"{ban.who}; "
        return Jail(jail, True, ban.since, ban.until, whole + self._why(jail))

    def bans(self, jail: str, ip: fail2ban.Address) -> fail2ban.Ban | None:
        """The ban of the address there."""
        output = self._run("get", jail, "banip", "--with-time")
        if output.status and b"nvalid command" in output.stdout + output.stderr:  # before 0.11
            return fail2ban.covering(fail2ban.listed(self._ask("status", jail)), ip)
        return fail2ban.covering(fail2ban.bans(self._said(output, jail), self._zone), ip)

    def lift(self, jail: str, ip: fail2ban.Address) -> None:
        """Let it out; that it is out already is no error."""
        self._ask("set", jail, "unbanip", str(ip))

    def _why(self, jail: str) -> str:
        """The jail's rule, in fail2ban's own words."""
        tries = self._ask("get", jail, "maxretry").strip()
        seconds = self._ask("get", jail, "findtime").strip()
        logs = ", ".join(fail2ban.files(self._ask("get", jail, "logpath")))
        return f"maxretry {tries}, findtime {seconds}" + (f": {logs}" if logs else "")

    def _ask(self, *words: str) -> str:
        return self._said(self._run(*words), words[1] if len(words) > 1 else "")

    def _run(self, *words: str) -> Output:
        return self._execute([*self._server.fail2ban_command, *words])

    def _execute(self, argv: Sequence[str]) -> Output:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TransientError(f"fail2ban on {self._server.name} takes too long")
        return execute(self._connection, argv, seconds=min(left, _SECONDS))

    def _said(self, output: Output, jail: str) -> str:
        """What it printed. Raises TransientError where it does not run, RequestError where it refuses."""
        if not output.status:
            return _text(output)
        said, name = last_words(output), self._server.name
        everything = (output.stdout + output.stderr).lower()
        if b"does not exist" in everything:
            raise RequestError(
                f"{name} has no jail {jail}: correct server.{name}.jails",
                "jail-unknown",
                server=name,
                jail=jail,
            )
        if any(sign.encode() in everything for sign in _AWAY) and b"permission denied" not in everything:
            raise TransientError(f"fail2ban on {name} does not answer: {said}")
        program = self._server.fail2ban_command[0]
        raise RequestError(
            f"{program} on {name} refuses: {said}", "server-command", server=name, program=program
        )


def _text(output: Output) -> str:
    return output.stdout.decode("utf-8", "replace")
