"""One IMAP connection, logged in. Adapter of imapclient: the one file that imports it.

Every error is a TransientError with place and mend: what is wrong with a
mailbox is the operator's to mend, and no requester's answer may be lost for
it. None holds a secret. After any error the connection must be closed.
"""

from __future__ import annotations

import imaplib
import logging
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import imapclient
import msgspec
from imapclient.exceptions import LoginError

from daemon.errors import TransientError
from daemon.mail.model import MailRefused
from daemon.mail.oauth2 import TokenSource, xoauth2
from daemon.settings import is_loopback

# Its debug lines hold whole mails, and base64 of tokens.
logging.getLogger("imapclient").setLevel(logging.WARNING)
_PRINTED: Final = 160


class ImapRefused(MailRefused):
    """The server said NO or BAD to a command."""


class LoginRefused(TransientError):
    """Wrong user, password or token: trying again at once gets an account locked."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a mailbox is reached; `tokens` in place of the password where it is set."""

    host: str
    port: int
    tls: bool
    username: str
    password: str = field(repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout: float = 30.0

    def __str__(self) -> str:
        return f"IMAP {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class Folder(msgspec.Struct, frozen=True):
    """A selected folder. `keywords`: own marks are kept; `condstore`: changes can be made conditional."""

    name: str
    validity: int
    next_uid: int
    keywords: bool
    condstore: bool


class ImapLink:
    """A connection; used by one greenlet at a time."""

    def __init__(self, access: Access) -> None:
        """Connect and log in. TransientError, LoginRefused."""
        self.access = access
        self._prefix: tuple[str, str] | None = None
        self._made: set[str] = set()
        with self._translated("connecting"):
            self._client: Any = self._connect()
        try:
            with self._translated("logging in"):
                self._log_in()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Any:
        access = self.access
        context = ssl.create_default_context(cafile=access.ca_file)
        client = imapclient.IMAPClient(
            access.host, access.port, ssl=access.tls, ssl_context=context, timeout=access.timeout
        )
        client.normalise_times = False
        if not access.tls:
            if client.has_capability("STARTTLS"):
                client.starttls(context)
            elif not is_loopback(access.host):
                client.shutdown()
                raise TransientError(
                    f"{access} offers no STARTTLS, and a password is not sent unencrypted: set mail.imap.tls"
                )
        return client

    def _log_in(self) -> None:
        access = self.access
        if access.tokens is None:
            try:
                self._client.login(access.username, access.password)
            except LoginError as error:
                raise self._login_refused(error, "mail.imap.username and password") from None
            return
        for again in (True, False):
            token = access.tokens.token()
            words = [xoauth2(access.username, token)]
            try:
                # A refusal comes as a second challenge, which is answered with nothing.
                self._client.sasl_login("XOAUTH2", lambda _, left=words: left.pop(0) if left else b"")
            except LoginError as error:
                access.tokens.refused(token)
                if not again:
                    raise self._login_refused(error, "mail.imap.username and oauth2") from None
            else:
                return

    def _login_refused(self, error: Exception, keys: str) -> TransientError:
        said = _words(error)
        if any(code in said.upper() for code in ("[UNAVAILABLE]", "[SERVERBUG]", "[INUSE]", "[LIMIT]")):
            return TransientError(f"{self.access} can't log in {self.access.username} just now")
        return LoginRefused(f"{self.access} refuses the login of {self.access.username}: correct {keys}")

    def has(self, capability: str) -> bool:
        """Whether the server offers it."""
        with self._translated("asking what it can do"):
            return bool(self._client.has_capability(capability))

    # -- folders -----------------------------------------------------------------
    def select(self, name: str, *, readonly: bool = False) -> Folder:
        """Make a folder the current one."""
        with self._translated(f"opening the folder {name}"):
            found = self._client.select_folder(self._full(name), readonly=readonly)
            permanent = found.get(b"PERMANENTFLAGS", ())
            next_uid = found.get(b"UIDNEXT", 0) or max(self._client.search("ALL"), default=0) + 1
            condstore = b"NOMODSEQ" not in found and self._client.has_capability("CONDSTORE")
        return Folder(name, int(found.get(b"UIDVALIDITY", 0)), int(next_uid), rb"\*" in permanent, condstore)

    def make(self, name: str) -> None:
        """Make a folder, if it is not there."""
        if name in self._made:
            return
        with self._translated(f"making the folder {name}"):
            full = self._full(name)
            if not self._client.folder_exists(full):
                with suppress(imaplib.IMAP4.error):  # the other node was faster
                    self._client.create_folder(full)
                    self._client.subscribe_folder(full)
        self._made.add(name)

    def _full(self, name: str) -> str:
        """With the prefix that some servers want ("INBOX.")."""
        if self._prefix is None:
            self._prefix = ("", "")
            if self._client.has_capability("NAMESPACE"):
                personal = self._client.namespace().personal
                if personal:
                    self._prefix = (str(personal[0][0] or ""), str(personal[0][1] or ""))
        prefix = self._prefix[0]
        if name.upper() == "INBOX" or not prefix or name.startswith((prefix, "[Gmail]")):
            return name
        return prefix + name

    def special(self, flag: bytes) -> str:
        """The folder that the server marks as Sent, Trash, ...; "" where it marks none."""
        with self._translated("listing folders"):
            for flags, _, name in self._client.list_folders():
                if flag in flags:
                    return str(name)
        return ""

    # -- mails of the current folder ------------------------------------------------
    def search(self, criteria: Sequence[str]) -> list[int]:
        """The UIDs that match, in order."""
        with self._translated("searching"):
            return sorted(int(each) for each in self._client.search(list(criteria)))

    def fetch(self, uid: int, items: Sequence[str]) -> dict[bytes, Any] | None:
        """What was asked for of one mail; None: it is gone."""
        with self._translated(f"reading mail {uid}"):
            found = self._client.fetch([uid], list(items)).get(uid)
        return dict(found) if found else None

    def store(self, uid: int, flags: Sequence[str], unchanged_since: int | None = None) -> bool:
        """Add flags. False: somebody changed the mail after `unchanged_since`, and nothing was added."""
        arguments = [str(uid).encode()]
        if unchanged_since is not None:
            arguments.append(f"(UNCHANGEDSINCE {unchanged_since})".encode())
        arguments += [b"+FLAGS.SILENT", f"({' '.join(flags)})".encode()]
        with self._translated(f"marking mail {uid}"):
            kind, data = self._client._raw_command(b"STORE", arguments, uid=True)
            said = b" ".join(each for each in data if isinstance(each, bytes))
            if b"[MODIFIED" in said.upper():  # with OK or NO: the word counts
                return False
            if kind != "OK":
                raise imaplib.IMAP4.error(said.decode("ascii", "replace"))
        return True

    def move(self, uid: int, folder: str) -> None:
        """To another folder: MOVE where there is one, else COPY and delete."""
        self.make(folder)
        with self._translated(f"moving mail {uid} to {folder}"):
            if self._client.has_capability("MOVE"):
                self._client.move([uid], self._full(folder))
                return
            self._client.copy([uid], self._full(folder))
        self.delete(uid)

    def delete(self, uid: int) -> None:
        """Out of this folder; without UIDPLUS it stays, marked, since EXPUNGE would take others' along."""
        self.store(uid, [r"\Deleted"])
        with self._translated(f"deleting mail {uid}"):
            if self._client.has_capability("UIDPLUS"):
                self._client.uid_expunge([uid])

    def append(self, folder: str, data: bytes) -> None:
        """A read mail into a folder."""
        self.make(folder)
        with self._translated(f"writing to the folder {folder}"):
            self._client.append(self._full(folder), data, (rb"\Seen",), datetime.now(UTC))

    # -- waiting ------------------------------------------------------------------
    def idle(self) -> None:
        """Begin to be told of changes."""
        with self._translated("waiting"):
            self._client.idle()

    def idle_check(self, seconds: float) -> bool:
        """Whether something changed within `seconds`. TransientError: disconnected."""
        began = time.monotonic()
        with self._translated("waiting"):
            said = self._client.idle_check(timeout=seconds)
        if any(_is_bye(each) for each in said):
            raise TransientError(f"{self.access} said goodbye")
        # After the end of the stream it returns at once and nothing, for ever.
        if not said and time.monotonic() - began < seconds * 0.8:
            raise TransientError(f"{self.access} closed the connection")
        return any(_is_news(each) for each in said)

    def idle_done(self) -> bool:
        """End it; whether something changed meanwhile."""
        with self._translated("ending the wait"):
            _, said = self._client.idle_done()
        return any(_is_news(each) for each in said)

    def noop(self) -> bool:
        """Is it still there? Whether something changed."""
        with self._translated("asking whether it is there"):
            _, said = self._client.noop()
        return any(_is_news(each) for each in said)

    def close(self) -> None:
        """Cut it; waits for nobody."""
        client = getattr(self, "_client", None)
        if client is not None:
            with suppress(OSError, imaplib.IMAP4.error):
                client.shutdown()

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            raise TransientError(
                f"the certificate of {self.access} is not trusted ({error.verify_message}): correct "
                f"mail.imap.host, or name its authority in mail.imap.ca_file"
            ) from None
        except TimeoutError as error:
            raise TransientError(
                f"{self.access} did not answer within {self.access.timeout:g} s ({doing})"
            ) from error
        except ConnectionRefusedError as error:
            raise TransientError(f"{self.access} refuses the connection: is it running there?") from error
        except OSError as error:
            raise TransientError(f"{self.access} broke off, {doing}: {error.strerror or error}") from error
        except imaplib.IMAP4.abort as error:
            raise TransientError(f"{self.access} broke off, {doing}: {_words(error)}") from None
        except imaplib.IMAP4.error as error:
            raise ImapRefused(f"{self.access} refused, {doing}: {_words(error)}") from None
        except (ValueError, IndexError, KeyError, TypeError) as error:  # what imapclient could not parse
            raise TransientError(f"{self.access} answered what can't be read, {doing}") from error


def _words(error: Exception) -> str:
    """The server's words, fit for a log line."""
    return "".join(each if each.isprintable() else " " for each in str(error))[:_PRINTED]


def _is_news(said: Any) -> bool:
    return isinstance(said, tuple) and len(said) > 1 and said[1] in (b"EXISTS", b"RECENT", b"EXPUNGE")


def _is_bye(said: Any) -> bool:
    return isinstance(said, tuple) and bool(said) and said[0] == b"BYE"
