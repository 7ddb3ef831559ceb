"""A real Dovecot for tests: own folders, own ports on the loopback, a certificate of our own.

    with Dovecot(folder) as imap:
        imap.port, imap.plain_port, imap.ca, imap.username, imap.password
        imap.deliver(b"Subject: x\\r\\n\\r\\n...")     # into the inbox, as LMTP delivers
        imap.folder("Done")                           # the mails of a folder, as bytes
        imap.kill(); imap.start(); imap.freeze(); imap.thaw()

The Debian packages dovecot-imapd and dovecot-lmtpd; run as root. Nothing of the
machine's own Dovecot is touched; everything started is ended by process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.servers import certificate
from tests.servers.here import HERE, Place
from tests.servers.lifetime import Lifetime
from tests.servers.ports import free_port

_PROGRAM = Path("/usr/sbin/dovecot")
_START_DEADLINE = 60.0
_CONF = """\
protocols = imap lmtp
base_dir = {base}/run
state_dir = {base}/run
instance_name = {name}
log_path = {base}/dovecot.log
ssl = yes
ssl_cert = <{base}/cert.pem
ssl_key = <{base}/key.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = yes
auth_mechanisms = plain login {mechanisms}
auth_username_format = %Ln
auth_failure_delay = 0
listen = {address}
mail_location = maildir:{base}/mail/%n
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
default_login_user = dovenull
default_internal_user = dovecot
maildir_stat_dirs = yes
{extra}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%n {base}/users
}}
{oauth2}
userdb {{
  driver = static
  args = uid={user} gid={group} home={base}/mail/%n
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {plain_port}
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = {address}
    port = {lmtp_port}
  }}
}}
service auth {{
  inet_listener {{
    address = {address}
    port = {auth_port}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""
_OAUTH2 = """\
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {base}/oauth2.conf
}}
"""
_OAUTH2_CONF = """\
introspection_mode = post
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
force_introspection = yes
"""


def unavailable_reason() -> str | None:
    """Why no Dovecot can be started here; None where one can."""
    if not _PROGRAM.exists() or not Path("/usr/lib/dovecot/imap").exists():
        return "dovecot is not installed (Debian packages dovecot-imapd, dovecot-lmtpd)"
    if not Path("/usr/lib/dovecot/lmtp").exists():
        return "dovecot's lmtp is not installed (Debian package dovecot-lmtpd)"
    if os.geteuid() != 0:
        return "Dovecot is started by root only"
    return None


class Dovecot(Lifetime):
    """One server that a test owns.

    `extra`: lines of its configuration (BASE is its folder); `introspection`: a URL, for XOAUTH2.
    """

    username = "monitor"
    password = "segredo-1234"

    def __init__(self, extra: str = "", introspection: str = "", at: Place = HERE) -> None:
        self._at, self.host = at, at.address
        self.base = Path(tempfile.mkdtemp(prefix="arimonitor-dovecot-"))
        self.base.chmod(0o755)
        self.port, self.plain_port = free_port(), free_port()
        self.lmtp_port, self.auth_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._extra, self._introspection = extra, introspection
        tls = certificate.make(self.base, address=at.address)
        self.ca = tls.ca
        (self.base / "run").mkdir()
        (self.base / "mail").mkdir()
        # Mails belong to a user without rights, as in life.
        self._user = "mail"
        shutil.chown(self.base / "mail", self._user, self._user)
        self.configure(extra)

    def configure(self, extra: str) -> None:
        """Other settings for the next start."""
        oauth2 = _OAUTH2.format(base=self.base) if self._introspection else ""
        conf = _CONF.format(
            base=self.base,
            address=self.host,
            name=self.base.name,
            user=self._user,
            group=self._user,
            port=self.port,
            plain_port=self.plain_port,
            lmtp_port=self.lmtp_port,
            auth_port=self.auth_port,
            extra=extra.replace("BASE", str(self.base)),
            oauth2=oauth2,
            mechanisms="xoauth2" if self._introspection else "",
        )
        (self.base / "dovecot.conf").write_text(conf)
        (self.base / "oauth2.conf").write_text(_OAUTH2_CONF.format(url=self._introspection))
        (self.base / "acl").write_text("* owner lrstipekxa\n")  # all rights but w: no marks of ours
        (self.base / "users").write_text(f"{self.username}:{{PLAIN}}{self.password}\n")

    def start(self) -> Self:
        """Start it and wait until it greets."""
        (self.base / "run" / "master.pid").unlink(missing_ok=True)
        with (self.base / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [*self._at.prefix, str(_PROGRAM), "-F", "-c", str(self.base / "dovecot.conf")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        for port in (self.plain_port, self.lmtp_port):
            self._await(port)
        return self

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((self.host, port), 1.0) as link:
                link.settimeout(5.0)
                if link.recv(1):
                    return
            if self._process is not None and self._process.poll() is not None:
                break
            time.sleep(0.02)  # an outside program: there is nothing to wait on but its port
        raise RuntimeError(f"Dovecot did not start: {self.log()[-2000:]}")

    def log(self) -> str:
        """Everything it said."""
        files = [self.base / "output", self.base / "dovecot.log"]
        return "".join(each.read_text(errors="replace") for each in files if each.exists())

    def pids(self) -> list[int]:
        """Every process of it, the master first."""
        assert self._process is not None
        found, todo = [], [self._process.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                todo += [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return found

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self) -> None:
        """SIGSTOP: the sockets stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self._process is not None:
            self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9 of all of it."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        """An orderly stop."""
        if self._process is None:
            return
        self.thaw()
        children = self.pids()[1:]
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            return
        self._process = None
        for pid in children:  # a session that idles may outlive the master for a moment
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def deliver(self, mail: bytes, to: str = "monitor@example.com") -> None:
        """Into the inbox, as any mail comes."""
        with smtplib.LMTP(self.host, self.lmtp_port, timeout=_START_DEADLINE) as link:
            link.sendmail("person@example.com", [to], mail)

    def folder(self, name: str = "INBOX", user: str = "monitor") -> dict[str, bytes]:
        """The mails of a folder on disk: name of the file (with its flags) to content."""
        place = self.base / "mail" / user / ("" if name == "INBOX" else f".{name}")
        while True:
            with contextlib.suppress(
                FileNotFoundError
            ):  # a flag changed its name, or it was moved: once more
                return {
                    each.name: each.read_bytes()
                    for sub in ("new", "cur")
                    if (place / sub).is_dir()
                    for each in sorted((place / sub).iterdir())
                }

    def close(self) -> None:
        """End it and take the mails away; an orderly stop would take a second."""
        self.kill()
        shutil.rmtree(self.base, ignore_errors=True)
