"""Checks of this machine's folders, files and ports, and of ports elsewhere.

Adapter of the file system and of sockets.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from pathlib import Path

from daemon.preflight.report import Check
from daemon.settings.base import split_address

DEADLINE = 5.0
_TOO_LITTLE = 100 * 1024 * 1024
_LITTLE = 1024 * 1024 * 1024


def writable_folder(what: str, folder: Path, key: str) -> Check:
    """Whether files can be made in a folder (or the folder, if it is not there yet), and how much fits."""
    mend = f"make it and give it to the daemon's user, or set {key} to another"
    place = folder
    try:
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            return Check(what, str(folder), False, f"{place} is no folder", f"set {key} to another")
        if place == folder:
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(b"x")
                probe.flush()
        elif not os.access(place, os.W_OK | os.X_OK):
            return Check(what, str(folder), False, f"is not there, and {place} is not writable", mend)
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Check(what, str(folder), False, f"not writable: {_why(error)}", mend)
    state = "" if place == folder else "will be made; "
    reason = f"{state}{free / 1024**3:.1f} GB free"
    if free < _TOO_LITTLE:
        return Check(what, str(folder), False, reason, "make room on that disk")
    return Check(what, str(folder), True, reason, "make room on that disk soon" if free < _LITTLE else "")


def readable_folder(what: str, folder: Path, key: str) -> Check:
    """Whether a folder is there and can be listed."""
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        return Check(
            what, str(folder), False, _why(error), f"correct {key}, or let the daemon's user read it"
        )
    return Check(what, str(folder), True, "readable")


def readable_file(what: str, file: Path, key: str) -> Check:
    """Whether a file can be read; one that is not there yet in a folder that is, is well."""
    try:
        with file.open("rb") as stream:
            stream.read(1)
    except FileNotFoundError:
        if file.parent.is_dir():
            return Check(what, str(file), True, "not there yet")
        mend = f'correct {key}, or set it to "" where there is none'
        return Check(what, str(file), False, "the folder is not there", mend)
    except OSError as error:
        return Check(what, str(file), False, _why(error), f"correct {key}, or let the daemon's user read it")
    return Check(what, str(file), True, "readable")


def program(what: str, name: str, needed: bool, mend: str) -> Check:
    """Whether a program is in the PATH."""
    found = shutil.which(name)
    if found:
        return Check(what, found, True, "found")
    return Check(what, name, not needed, "not found", mend)


def free_port(what: str, address: str, key: str, banner: bytes = b"") -> Check:
    """Whether we could listen on HOST:PORT. Taken by one who greets with `banner` it is our own daemon."""
    host, port = split_address(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen(1)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return Check(what, address, False, f"can't listen there: {_why(error)}", f"correct {key}")
        if banner and banner in _greeting(host, port):
            return Check(what, address, True, "a running daemon has it")
        return Check(what, address, False, "taken by another program", f"end that program, or correct {key}")
    return Check(what, address, True, "free")


def open_port(what: str, host: str, port: int, key: str) -> Check:
    """Whether HOST:PORT answers: all that is tried where this version can't log in yet."""
    where = f"{host}:{port}"
    mend = f"correct {key}, or start the server there; is a firewall between?"
    try:
        socket.create_connection((host, port), timeout=DEADLINE).close()
    except socket.gaierror:
        return Check(what, where, False, "no such host", f"correct {key}")
    except OSError as error:
        return Check(what, where, False, _why(error), mend)
    return Check(what, where, True, "port answers; login not tried")


def _greeting(host: str, port: int) -> bytes:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        with socket.create_connection((target, port), timeout=2.0) as connection:
            return connection.recv(4096)
    except OSError:
        return b""


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {DEADLINE:.0f} s"
    return (error.strerror or str(error) or type(error).__name__).lower()
