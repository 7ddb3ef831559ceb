"""Answers over SMTP: one connection for a burst, an empty envelope sender. Adapter of smtplib.

What an answer's fate depends on is told apart:

=====================================================  ==============
every recipient refused with 5xx, or the content        PermanentError
4xx for the server, a cut, a timeout, a login refused   TransientError
4xx for the content or for every recipient              PutOff: others may pass
some taken, some 5xx                                    sent; the log names the others
some taken, some 4xx                                    PutOff; the next try is for those alone
=====================================================  ==============

A cut after the mail was handed over can't be told from one before: it is sent
again under the same Message-ID (RFC 5321 6.1).
"""

from __future__ import annotations

import logging
import smtplib
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Final

from daemon.errors import PermanentError, TransientError
from daemon.mail.model import Answer, PutOff
from daemon.mail.oauth2 import TokenSource, xoauth2
from daemon.mail.sent import SentFolder, kept
from daemon.runtime.deadline import deadline
from daemon.settings import is_loopback

log = logging.getLogger("arimonitor.mail")

STEP: Final = 240.0
"""Seconds for one mail as a whole."""
IDLE: Final = 15.0
"""Seconds a connection is kept for the next mail of a burst."""
REMEMBERED: Final = 500
"""Mails of which is known who has them already."""
TLS_FROM_THE_START: Final = 465


class ServerRefused(TransientError):
    """Login, certificate or sender: the operator's to mend; the answer waits meanwhile."""


@dataclass(frozen=True, slots=True)
class SmtpAccess:
    """How mail is sent; `tokens` in place of the password where it is set."""

    host: str
    port: int
    starttls: bool
    username: str
    password: str = field(repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout: float = 60.0

    def __str__(self) -> str:
        return f"SMTP {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class SmtpWayOut:
    """A WayOut (daemon.mail.model). Greenlets may share it; one at a time sends."""

    def __init__(self, access: SmtpAccess, copies: SentFolder | None = None) -> None:
        self.access = access
        self._copies = copies
        self._lock = Lock()
        self._link: smtplib.SMTP | None = None
        self._used = 0.0
        self._has: OrderedDict[str, set[str]] = OrderedDict()

    def __str__(self) -> str:
        return str(self.access)

    def send(self, answer: Answer) -> None:
        """Hand it over, as WayOut says."""
        with self._lock:
            try:
                with deadline(STEP, f"{self.access}, sending {answer.message_id},"):
                    self._send(answer)
            except BaseException:
                self._drop()
                raise
        if self._copies is not None:
            kept(self._copies, answer.message_id, answer.data)

    def sent(self, message_id: str) -> bool | None:
        """Whether a copy says so; None: no copies are kept, or they can't be looked at."""
        if self._copies is None:
            return None
        try:
            return self._copies.has(message_id)
        except TransientError as error:
            log.info("whether %s was sent is not known: %s", message_id, error)
            return None

    def probe(self) -> None:
        """Connect, log in and leave; for `arimonitor check`. TransientError says what is wrong."""
        with self._lock, deadline(STEP, f"{self.access}"):
            try:
                self._connected()
            finally:
                self._drop()

    def close(self) -> None:
        """End the connection; `send` opens another."""
        with self._lock:
            self._drop()
        if self._copies is not None:
            self._copies.close()

    # -- one mail ------------------------------------------------------------------
    def _send(self, answer: Answer) -> None:
        has = self._has.setdefault(answer.message_id, set())
        while len(self._has) > REMEMBERED:
            self._has.popitem(last=False)
        wanted = [each for each in answer.to if each not in has]
        if not wanted:
            return
        with self._translated():
            link = self._connected()
            self._fits(link, answer)
            refused = self._transaction(link, answer, wanted)
            self._used = time.monotonic()
        has |= set(wanted) - refused.keys()
        later = [who for who, (code, _) in refused.items() if code < 500]
        if later:
            code, said = refused[later[0]]
            raise PutOff(f"{self.access} puts off {', '.join(later)}: {code} {said}")
        if not has:
            who, (code, said) = next(iter(refused.items()))
            raise PermanentError(f"{self.access} refuses {who}: {code} {said}")
        for who, (code, said) in refused.items():
            log.warning(
                "%s does not reach %s: %s says %s %s", answer.message_id, who, self.access, code, said
            )
        if has >= set(answer.to):
            self._has.pop(answer.message_id, None)

    def _transaction(
        self, link: smtplib.SMTP, answer: Answer, wanted: list[str]
    ) -> dict[str, tuple[int, str]]:
        """Who was refused, with code and words. Errors of the rest are the library's."""
        options = [f"size={len(answer.data)}"] if link.has_extn("size") else []
        code, said = link.mail("", options)
        if code == 552:
            raise PermanentError(f"{self.access} finds the mail too large ({len(answer.data)} bytes)")
        if code != 250:
            raise ServerRefused(f"{self.access} does not let us send: {code} {_words(said)}")
        refused: dict[str, tuple[int, str]] = {}
        for who in wanted:
            code, said = link.rcpt(who)
            if code == 421:
                raise smtplib.SMTPServerDisconnected(_words(said))
            if code not in (250, 251, 252):
                refused[who] = (code, _words(said))
        if len(refused) == len(wanted):
            link.rset()
            return refused
        code, said = link.data(answer.data)
        if code != 250:
            if code == 421:
                raise smtplib.SMTPServerDisconnected(_words(said))
            text = f"{self.access} refuses the mail: {code} {_words(said)}"
            raise PermanentError(text) if code >= 500 else PutOff(text)
        return refused

    def _fits(self, link: smtplib.SMTP, answer: Answer) -> None:
        limit = link.esmtp_features.get("size", "")
        if limit.isdigit() and 0 < int(limit) < len(answer.data):
            raise PermanentError(f"{self.access} takes {limit} bytes, the mail has {len(answer.data)}")

    # -- the connection --------------------------------------------------------------
    def _connected(self) -> smtplib.SMTP:
        if self._link is not None:
            if time.monotonic() - self._used < IDLE:
                with suppress(smtplib.SMTPException, OSError):
                    if self._link.noop()[0] == 250:
                        return self._link
            self._drop()
        with self._translated():
            self._link = self._open()
            self._log_in(self._link)
        return self._link

    def _open(self) -> smtplib.SMTP:
        access = self.access
        context = ssl.create_default_context(cafile=access.ca_file)
        if access.port == TLS_FROM_THE_START:
            return smtplib.SMTP_SSL(access.host, access.port, timeout=access.timeout, context=context)
        link = smtplib.SMTP(access.host, access.port, timeout=access.timeout)
        if access.starttls:
            try:
                link.starttls(context=context)
            except BaseException:
                link.close()
                raise
        return link

    def _log_in(self, link: smtplib.SMTP) -> None:
        access = self.access
        link.ehlo_or_helo_if_needed()
        if not access.username:
            return
        if not isinstance(link.sock, ssl.SSLSocket) and not is_loopback(access.host):
            raise ServerRefused(f"no password is sent to {access} unencrypted: set mail.smtp.starttls")
        if access.tokens is None:
            link.login(access.username, access.password)
            return
        for again in (True, False):
            token = access.tokens.token()
            words = [xoauth2(access.username, token)]
            try:
                link.auth("XOAUTH2", lambda _=None, left=words: left.pop(0) if left else "")
            except smtplib.SMTPAuthenticationError:
                access.tokens.refused(token)
                if not again:
                    raise
            else:
                return

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            # A word of goodbye if that does not take long; it is closed in any case.
            with suppress(smtplib.SMTPException, OSError, ValueError):
                if link.sock is not None:
                    link.sock.settimeout(1.0)
                    link.docmd("QUIT")
            link.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        name = str(self.access)
        try:
            yield
        except smtplib.SMTPAuthenticationError as error:
            if error.smtp_code < 500:
                raise TransientError(f"{name} can't log in {self.access.username} just now") from None
            raise ServerRefused(
                f"{name} refuses the login of {self.access.username}: correct mail.smtp.username and password"
            ) from None
        except smtplib.SMTPNotSupportedError as error:
            raise ServerRefused(f"{name} can't do what is configured: {error}") from None
        except smtplib.SMTPResponseException as error:
            raise TransientError(f"{name} said {error.smtp_code} {_words(error.smtp_error)}") from None
        except smtplib.SMTPException as error:
            if isinstance(error.__context__, TimeoutError):  # smtplib calls it "unexpectedly closed"
                raise TransientError(f"{name} did not answer within {self.access.timeout:g} s") from None
            raise TransientError(f"{name} broke off: {_words(error)}") from None
        except ssl.SSLCertVerificationError as error:
            raise ServerRefused(
                f"the certificate of {name} is not trusted ({error.verify_message}): correct "
                f"mail.smtp.host, or name its authority in mail.smtp.ca_file"
            ) from None
        except TimeoutError:
            raise TransientError(f"{name} did not answer within {self.access.timeout:g} s") from None
        except ConnectionRefusedError as error:
            raise TransientError(f"{name} refuses the connection: is it running there?") from error
        except socket.gaierror as error:
            raise TransientError(f"the name {self.access.host} is not known: check it or the DNS") from error
        except OSError as error:
            raise TransientError(f"{name} broke off: {error.strerror or error}") from error


def _words(said: object) -> str:
    """The server's words, fit for a log line."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return "".join(each if each.isprintable() else " " for each in text)[:160]
