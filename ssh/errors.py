"""What can go wrong with another machine. The daemon's root translates these into its own. Pure.

SshUnreachable  it may work the next time: down, hung, cut, changed meanwhile
SshRefused      somebody must mend it first: key, host key, rights, a name
"""

from __future__ import annotations


class SshError(Exception):
    """Base of this package's errors; the message names machine, reason and mend, never a secret."""


class SshUnreachable(SshError):
    """It may work the next time."""


class ServerFailed(SshUnreachable):
    """The server said "Failure": a full disk, a broken one, whatever else; SFTP has one word for it."""


class SshRefused(SshError):
    """It won't work until somebody changes something."""


class HostKeyRefused(SshRefused):
    """The machine's key is unknown or another than known_hosts has: nothing was sent to it."""


class LoginRefused(SshRefused):
    """Our key is not accepted, or can't be used."""


class NoSuchFile(SshRefused):
    """The remote path is not there."""


class Denied(SshRefused):
    """The remote user has no right to that path."""


class AlreadyThere(SshRefused):
    """The remote path exists, and was not to be replaced."""
