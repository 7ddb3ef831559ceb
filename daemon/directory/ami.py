"""One question to Asterisk's manager interface (AMI): where is who registered from?

A session per question: connect, log in by challenge (the secret itself is not
sent where Asterisk gives one), ask, log off. One deadline for all of it, a
bound on what is read. Never logs, and no error holds the secret.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Final

from daemon.directory.ami_parser import AmiGarbage, AmiParser, Message, contacts_of, encode, login_key
from daemon.directory.contacts import Contact, PjsipStuck
from daemon.errors import PermanentError, TransientError
from daemon.settings import AsteriskSettings, split_address

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of one session: 10,000 contacts are 6 MB."""
_READ: Final = 256 * 1024
_NONE_FOUND: Final = "No Contacts found"


class AmiUnavailable(TransientError):
    """No usable answer: unreachable, too late, cut off, no AMI at all."""


class AmiRefused(PermanentError):
    """Asterisk says no: wrong user or secret, or no right to ask."""


class AmiClient:
    """AMI of one Asterisk. Stateless between questions, so any thread may use it.

    `timeout` is in seconds, for a whole question (plus the DNS).
    """

    def __init__(self, host: str, port: int, username: str, secret: str, *, timeout: float = 5.0) -> None:
        self.host = host
        self.port = port
        self.username = username
        self.timeout = timeout
        self._secret = secret

    def __str__(self) -> str:
        return f"AMI {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def contacts(self) -> list[Contact]:
        """All registered contacts of PJSIP (not those that are written in its configuration).

        Raises AmiUnavailable, AmiRefused, or PjsipStuck where it lets us in and then lists none in time.
        """
        logged_in = False
        try:
            with _Session(self.host, self.port, time.monotonic() + self.timeout) as session:
                self._log_in(session)
                logged_in = True
                answer, events = session.ask("PJSIPShowContacts", {}, listing=True)
                session.send("Logoff", {})
        except TimeoutError as error:
            if logged_in:
                raise PjsipStuck(
                    f"{self} lets us in but listed no contacts within {self.timeout:g} s"
                ) from error
            raise AmiUnavailable(f"{self} did not answer within {self.timeout:g} s") from error
        except ConnectionRefusedError as error:
            raise AmiUnavailable(
                f"{self} refuses the connection: is it enabled in manager.conf, on that port?"
            ) from error
        except socket.gaierror as error:
            raise AmiUnavailable(f"the name {self.host} is not known: check ami or the DNS") from error
        except AmiGarbage as error:
            raise AmiUnavailable(f"{self} does not speak AMI: {error}") from error
        except OSError as error:
            raise AmiUnavailable(f"{self} broke off: {error.strerror or error}") from error
        said = answer.get("Message", "")
        if answer.get("Response") == "Success":
            return contacts_of(events)
        if said == _NONE_FOUND:
            return []
        raise AmiRefused(
            f"{self} does not list contacts for {self.username} ({said[:100] or 'no reason given'}): "
            f"that user needs write = system in manager.conf, and Asterisk needs PJSIP"
        )

    def _log_in(self, session: _Session) -> None:
        answer, _ = session.ask("Challenge", {"AuthType": "MD5"})
        proof = {"Secret": self._secret}
        if challenge := answer.get("Challenge"):
            proof = {"AuthType": "MD5", "Key": login_key(challenge, self._secret)}
        answer, _ = session.ask("Login", {"Username": self.username, "Events": "off", **proof})
        if answer.get("Response") != "Success":
            raise AmiRefused(
                f"{self} refuses the user {self.username} ({answer.get('Message', '')[:100]}): check "
                f"ami_username and ami_password, and permit, deny and acl of that user in manager.conf"
            )


def ami_of(asterisk: AsteriskSettings) -> AmiClient | None:
    """The manager interface that the configuration names; None: none."""
    if not asterisk.ami:
        return None
    host, port = split_address(asterisk.ami)
    secret = asterisk.ami_password.get_secret_value() if asterisk.ami_password is not None else ""
    return AmiClient(host, port, asterisk.ami_username, secret)


class _Session:
    """One connection under one deadline (time.monotonic). Raises OSError (TimeoutError), AmiGarbage."""

    def __init__(self, host: str, port: int, deadline: float) -> None:
        self._deadline = deadline
        self._parser = AmiParser()
        self._waiting: list[Message] = []
        self._allowance = MAX_ANSWER
        self._number = 0
        self._sock = socket.create_connection((host, port), self._remaining())

    def __enter__(self) -> _Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def send(self, action: str, fields: Mapping[str, str]) -> str:
        """Send an action; its ActionID."""
        self._number += 1
        action_id = f"arimonitor-{self._number}"
        self._sock.settimeout(self._remaining())
        self._sock.sendall(encode(action, action_id, fields))
        return action_id

    def ask(
        self, action: str, fields: Mapping[str, str], *, listing: bool = False
    ) -> tuple[Message, list[Message]]:
        """The response to an action; with `listing`, the events of its list too."""
        action_id = self.send(action, fields)
        answer: Message | None = None
        events: list[Message] = []
        while True:
            for message in self._receive():
                if message.get("ActionID") != action_id:
                    continue  # FullyBooted comes unasked, whatever Events says
                if "Response" in message:
                    answer = message
                    if not listing or message.get("Response") != "Success":
                        return answer, []
                elif message.get("EventList", "").lower() == "complete":
                    return answer or {}, events
                elif message.get("EventList", "").lower() == "cancelled":
                    raise AmiGarbage("the list was cut off")
                else:
                    events.append(message)

    def _receive(self) -> list[Message]:
        self._sock.settimeout(self._remaining())
        data = self._sock.recv(_READ)
        if not data:
            raise ConnectionResetError("closed by Asterisk")
        self._allowance -= len(data)
        if self._allowance < 0:
            raise AmiGarbage(f"more than {MAX_ANSWER >> 20} MB")
        return self._parser.feed(data)

    def _remaining(self) -> float:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("deadline")
        return remaining
