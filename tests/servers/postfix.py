"""A real Postfix for tests: submission with STARTTLS and with TLS, logins by Dovecot, delivery into it.

    with Dovecot() as imap, Postfix(imap) as smtp:
        smtp.port (STARTTLS), smtp.tls_port, smtp.ca, smtp.username, smtp.password

Everybody at example.com is somebody, but for unknown@ (550 at RCPT) and
later@ (450); other domains are refused. The Debian package postfix; run as
root. The machine's own Postfix is not touched; everything is ended by process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.servers import certificate
from tests.servers.dovecot import Dovecot
from tests.servers.here import HERE, Place
from tests.servers.lifetime import Lifetime
from tests.servers.ports import free_port

_MASTER = Path("/usr/lib/postfix/sbin/master")
_START_DEADLINE = 60.0
_MAIN = """\
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
meta_directory = /etc/postfix
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.com
mydestination =
mynetworks =
alias_maps =
alias_database =
inet_interfaces = {address}
inet_protocols = ipv4
maillog_file = {base}/maillog
maillog_file_prefixes = {base}
message_size_limit = {limit}
smtpd_tls_cert_file = {base}/cert.pem
smtpd_tls_key_file = {base}/key.pem
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:{address}:{auth_port}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
  check_recipient_access inline:{{
    {{ unknown@example.com = 550 no such user }}
    {{ later@example.com = 450 not now }} }}
  permit_sasl_authenticated
  reject
virtual_mailbox_domains = example.com
virtual_transport = lmtp:inet:{address}:{lmtp_port}
virtual_mailbox_maps = static:ok
local_recipient_maps =
default_transport = error:no external mail in tests
lmtp_destination_recipient_limit = 1
header_checks =
body_checks =
"""
_SERVICES = """\
{port}     inet  n       -       n       -       -       smtpd
{tls_port} inet  n       -       n       -       -       smtpd -o smtpd_tls_wrappermode=yes
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
proxymap  unix  -       -       n       -       -       proxymap
lmtp      unix  -       -       n       -       -       lmtp
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""
_QUEUES = (
    "active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace"
).split()


def unavailable_reason() -> str | None:
    """Why no Postfix can be started here; None where one can."""
    if not _MASTER.exists():
        return "postfix is not installed (Debian package postfix)"
    if os.geteuid() != 0:
        return "Postfix is started by root only"
    return None


class Postfix(Lifetime):
    """One server that a test owns; it knows the users of `dovecot` and delivers to it. `limit` in bytes.

    It runs where `dovecot` does.
    """

    def __init__(self, dovecot: Dovecot, limit: int = 40_000_000, at: Place = HERE) -> None:
        self._at, self.host = at, at.address
        self.username, self.password = dovecot.username, dovecot.password
        self.base = Path(tempfile.mkdtemp(prefix="arimonitor-postfix-"))
        self.base.chmod(0o755)
        self.port, self.tls_port = free_port(), free_port()
        self.ca = certificate.make(self.base, address=at.address).ca
        self._process: subprocess.Popen[bytes] | None = None
        config = self.base / "config"
        config.mkdir()
        (config / "main.cf").write_text(
            _MAIN.format(
                base=self.base,
                limit=limit,
                address=self.host,
                auth_port=dovecot.auth_port,
                lmtp_port=dovecot.lmtp_port,
            )
        )
        (config / "master.cf").write_text(_SERVICES.format(port=self.port, tls_port=self.tls_port))
        (self.base / "data").mkdir()
        shutil.chown(self.base / "data", "postfix")
        queue = self.base / "queue"
        queue.mkdir()
        for name in _QUEUES:
            (queue / name).mkdir(mode=0o700)
            shutil.chown(queue / name, "root" if name == "pid" else "postfix")
        (queue / "pid").chmod(0o755)
        shutil.chown(queue / "public", "postfix", "postdrop")
        (queue / "public").chmod(0o710)
        shutil.chown(queue / "maildrop", "postfix", "postdrop")
        (queue / "maildrop").chmod(0o730)

    def start(self) -> Self:
        """Start it and wait until it greets."""
        with (self.base / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [*self._at.prefix, str(_MASTER), "-c", str(self.base / "config"), "-d"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "LANG": "C",
                    "MAIL_CONFIG": str(self.base / "config"),
                    "MAIL_LOGTAG": "postfix",
                },
            )
        deadline = time.monotonic() + _START_DEADLINE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1.0) as link:
                link.settimeout(10.0)
                if link.recv(3) == b"220":
                    return self
            if self._process.poll() is not None:
                break
            time.sleep(0.05)  # an outside program: there is nothing to wait on but its port
        raise RuntimeError(f"Postfix did not start: {self.log()[-2000:]}")

    def log(self) -> str:
        """Everything it said."""
        files = [self.base / "output", self.base / "maillog"]
        return "".join(each.read_text(errors="replace") for each in files if each.exists())

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in [self._process.pid, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self) -> None:
        """SIGSTOP: what is connected stays so, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9 of all of it."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        """End it, with all its processes."""
        if self._process is not None:
            if self._process.poll() is None:
                self.thaw()
                self._signal(signal.SIGTERM)
                try:
                    self._process.wait(10)
                except subprocess.TimeoutExpired:
                    self._signal(signal.SIGKILL)
                    self._process.wait(10)
            self._process = None

    def close(self) -> None:
        """Stop it and take its queue away."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)
