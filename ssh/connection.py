"""A connection to another machine: host key verified, logged in by key. Adapter of paramiko, its only one.

paramiko waits for ever in some places (the answer to a request on a channel,
an SFTP server's greeting), whatever timeouts it is given: so each step has a
watchdog that closes the connection, upon which everything that waits ends.

An SFTP client is used by one greenlet only; a Connection too.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any, Final, Self

import paramiko

from ssh.errors import (
    Denied,
    HostKeyRefused,
    LoginRefused,
    NoSuchFile,
    ServerFailed,
    SshError,
    SshRefused,
    SshUnreachable,
)

_CIPHERS: Final = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_WINDOW: Final = 64 * 1024 * 1024
_PACKET: Final = 256 * 1024
_CHUNK: Final = 32 * 1024
_KEEPALIVE: Final = 15  # seconds; it may wait for hours while a child process moves a file (pump)

# paramiko logs each error with its traceback before it raises it: it is said once, by who catches it.
_LOG: Final = "ssh.paramiko"
logging.getLogger(_LOG).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as whom. `timeout` in seconds is for each step: connect, greeting, login, one answer.

    `bandwidth` in kbit/s is for the files that are moved at a time, both ways; 0: unbounded.
    """

    name: str
    host: str
    port: int = 22
    user: str = "arimonitor"
    key_file: Path | None = None
    known_hosts: Path | None = None
    timeout: float = 10.0
    bandwidth: int = 0

    def __str__(self) -> str:
        return f"{self.name} ({self.user}@{self.host}:{self.port})"


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said and how it ended; `lost` bytes were more than allowed and dropped."""

    status: int
    stdout: bytes
    stderr: bytes
    lost: int = 0


class Connection:
    """One connection, logged in. Use it in one greenlet, and `with` it."""

    def __init__(self, place: Place, client: Any) -> None:
        self.place = place
        self.closers: list[Callable[[], None]] = []
        """What else ends with it."""
        self._client = client
        self._expired = ""

    @classmethod
    def open(cls, place: Place) -> Self:
        """Connect, verify the host key, log in. Raises SshUnreachable or SshRefused."""
        client = paramiko.SSHClient()
        client.set_log_channel(_LOG)
        _load_known_hosts(client, place)
        key = _load_key(place)
        client.set_missing_host_key_policy(_Reject())
        watchdog = Timer(4 * place.timeout, client.close)
        watchdog.daemon = True
        begun = time.monotonic()
        watchdog.start()
        try:
            client.connect(
                place.host,
                place.port,
                username=place.user,
                pkey=key,
                allow_agent=False,
                look_for_keys=False,
                timeout=place.timeout,
                banner_timeout=place.timeout,
                auth_timeout=place.timeout,
                channel_timeout=place.timeout,
                transport_factory=_transport,
            )
        except BaseException as error:
            client.close()
            translated = _connect_error(place, error)
            if (
                translated is None
                and isinstance(error, Exception)
                and time.monotonic() - begun > place.timeout
            ):
                # paramiko fails in ways of its own when it is closed at the deadline
                translated = SshUnreachable(f"{place}: no connection within {4 * place.timeout:g} s")
            if translated is None:
                raise
            raise translated from error
        finally:
            watchdog.cancel()
        if (transport := client.get_transport()) is not None:  # it may be gone again
            transport.set_keepalive(_KEEPALIVE)
        return cls(place, client)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave. Never raises."""
        for close in self.closers:
            close()
        self._client.close()

    @contextlib.contextmanager
    def within(self, seconds: float, what: str) -> Iterator[None]:
        """What must end in so many seconds, else the connection is closed. Errors become ours."""
        watchdog = Timer(seconds, self._expire, (f"{what}: no answer within {seconds:g} s",))
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        except SshError:
            raise
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._translated(what, error) from error
        finally:
            watchdog.cancel()

    def _expire(self, why: str) -> None:
        self._expired = why
        self._client.close()

    def _translated(self, what: str, error: Exception) -> SshError:
        if self._expired:
            return SshUnreachable(f"{self.place}: {self._expired}")
        if isinstance(error, FileNotFoundError):
            return NoSuchFile(f"{self.place}: {what}: it is not there")
        if isinstance(error, PermissionError):
            return Denied(f"{self.place}: {what}: no permission for the user {self.place.user}")
        if isinstance(error, TimeoutError) or "imeout" in str(error):
            return SshUnreachable(f"{self.place}: {what}: it took too long")
        if isinstance(error, paramiko.ChannelException):
            return SshRefused(f"{self.place}: {what}: the server does not allow it ({error})")
        if isinstance(error, paramiko.SSHException | EOFError | ConnectionError):
            return SshUnreachable(f"{self.place}: {what}: the connection broke ({_words(error)})")
        return ServerFailed(f"{self.place}: {what}: the server says {_words(error)!r}: is its disk full?")

    def execute(self, command: str, *, seconds: float, max_output: int) -> Output:
        """Hand one line to the user's shell there; wait for its end. See `remote`, which makes that line.

        The standard input is empty. After `seconds` the connection is closed;
        what runs there is not killed by that.
        """
        with self.within(seconds, "a command"):
            return self._ended(self._begun(command), seconds, max_output)

    @contextlib.contextmanager
    def executing(self, command: str) -> Iterator[Callable[[float, int], Output]]:
        """The same, while the block does something else; it is given what waits (s) for the end of it."""
        with self.within(self.place.timeout, "a command"):
            channel = self._begun(command)

        def end(seconds: float, max_output: int) -> Output:
            with self.within(seconds, "a command"):
                return self._ended(channel, seconds, max_output)

        try:
            yield end
        finally:
            channel.close()

    def _begun(self, command: str) -> Any:
        channel = self._session()
        channel.exec_command(command)
        channel.shutdown_write()
        return channel

    def _ended(self, channel: Any, seconds: float, max_output: int) -> Output:
        until = time.monotonic() + seconds
        try:
            stdout, lost = _read(channel.recv, max_output)
            stderr, more = _read(channel.recv_stderr, max_output)
            channel.status_event.wait(max(0.0, until - time.monotonic()))
            status = int(channel.exit_status)
        finally:
            channel.close()
        if self._expired or status < 0:  # -1: neither a status nor a signal was told
            raise SshUnreachable(f"{self.place}: {self._expired or 'a command: the connection broke'}")
        return Output(status, stdout, stderr, lost + more)

    def files(self) -> Any:
        """An SFTP client of its own; use it inside `within`, and close it."""
        with self.within(2 * self.place.timeout, "SFTP"):
            channel = self._session()
            channel.invoke_subsystem("sftp")
            client = paramiko.SFTPClient(channel)
            channel.settimeout(self.place.timeout)
            return client

    def _session(self) -> Any:
        transport = self._client.get_transport()
        if transport is None or not transport.is_active():
            raise SshUnreachable(f"{self.place}: the connection is closed")
        return transport.open_session(
            window_size=_WINDOW, max_packet_size=_PACKET, timeout=self.place.timeout
        )


class _UnknownHost(paramiko.SSHException):  # type: ignore[misc]
    pass


class _Reject(paramiko.RejectPolicy):  # type: ignore[misc]
    """RejectPolicy, with an error that can be told from the others."""

    def missing_host_key(self, _client: Any, _hostname: str, key: Any) -> None:
        raise _UnknownHost(f"{key.get_name()} {key.fingerprint}")


def sync_file(client: Any, file: Any) -> None:
    """What was written to an open remote file is on the disk there; for a step of `within`.

    A server that has no such request (OpenSSH has it since 6.5) is taken at its word.
    """
    try:
        client._request(paramiko.sftp.CMD_EXTENDED, "fsync@openssh.com", file.handle)
    except OSError as error:
        if "unsupported" not in str(error).lower():
            raise


def free_bytes(client: Any, path: str) -> int | None:
    """What a user has free on the disk of a remote path; None: the server can't say (statvfs@openssh.com)."""
    try:
        _, answer = client._request(paramiko.sftp.CMD_EXTENDED, "statvfs@openssh.com", path)
    except OSError as error:
        if "unsupported" in str(error).lower():
            return None
        raise
    _, unit, _, _, free = (answer.get_int64() for _ in range(5))
    return int(unit * free)


def _transport(sock: Any, **options: Any) -> Any:
    """AES-GCM first: the fastest that both sides have; the order is the client's."""
    transport = paramiko.Transport(sock, **options)
    security = transport.get_security_options()
    others = [each for each in security.ciphers if each not in _CIPHERS and "cbc" not in each]
    security.ciphers = [*(each for each in _CIPHERS if each in security.ciphers), *others]
    return transport


def _load_known_hosts(client: Any, place: Place) -> None:
    file = place.known_hosts or Path.home() / ".ssh" / "known_hosts"
    try:
        client.load_host_keys(str(file))
    except OSError as error:
        raise HostKeyRefused(
            f"{place}: known_hosts {file} can't be read ({error.strerror}): without it no host is trusted"
        ) from error
    except (paramiko.SSHException, ValueError) as error:
        raise HostKeyRefused(f"{place}: known_hosts {file} has a line that is no key") from error


def _load_key(place: Place) -> Any:
    if place.key_file is None:
        raise LoginRefused(f"{place}: no key_file is configured")
    try:
        return paramiko.PKey.from_path(str(place.key_file))
    except OSError as error:
        raise LoginRefused(f"{place}: key_file {place.key_file} can't be read ({error.strerror})") from error
    except (paramiko.SSHException, paramiko.UnknownKeyType, ValueError, TypeError) as error:
        raise LoginRefused(
            f"{place}: key_file {place.key_file} holds no private key that can be used without a passphrase"
        ) from error


def _connect_error(place: Place, error: BaseException) -> SshError | None:
    """None: not ours to translate (the greenlet is being killed)."""
    if isinstance(error, paramiko.BadHostKeyException):
        return HostKeyRefused(
            f"{place}: ITS HOST KEY HAS CHANGED ({error.key.get_name()} {error.key.fingerprint}): another"
            " machine, or installed anew; where that is right, put the new key into known_hosts"
        )
    if isinstance(error, _UnknownHost):
        return HostKeyRefused(
            f"{place}: its host key ({error}) is not in known_hosts; compare it there, then put it in"
        )
    if isinstance(error, paramiko.AuthenticationException):
        words = str(error).lower()
        if "timeout" in words or "shut down" in words or "eof" in words:
            return SshUnreachable(f"{place}: it hung or went away at the login")
        return LoginRefused(f"{place}: it does not accept the key {place.key_file} for the user {place.user}")
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        return SshRefused(f"{place}: no algorithms in common ({error})")
    if isinstance(error, paramiko.SSHException | EOFError):
        return SshUnreachable(f"{place}: no SSH handshake ({_words(error)})")
    if isinstance(error, OSError):
        return SshUnreachable(f"{place}: can't be reached ({_words(error)})")
    return None


def _read(receive: Callable[[int], bytes], most: int) -> tuple[bytes, int]:
    """Everything until the end, and how many bytes beyond `most` were dropped."""
    kept, lost = bytearray(), 0
    while data := receive(_CHUNK):
        room = max(0, most - len(kept))
        kept += data[:room]
        lost += max(0, len(data) - room)
    return bytes(kept), lost


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        causes = list(error.errors.values())
        return (causes[0].strerror or str(causes[0])) if causes else "no address"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
