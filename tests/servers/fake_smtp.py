"""A small SMTP server for what Postfix can't be made to do: cuts, silence, refusals at will.

    with FakeSmtp({"data-end": "cut"}) as server: ...

`faults` names a step (greet, ehlo, mail, rcpt, data, data-end; "rcpt ADDRESS" for
one recipient) and what happens there: "cut", "silence", or a whole reply such as
"451 later".
`server.mails` are the mails that came to their end.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self


class _Cut(Exception):
    pass


class FakeSmtp:
    """One server on a free port of the loopback; without TLS and login."""

    host = "127.0.0.1"

    def __init__(self, faults: Mapping[str, str] | None = None) -> None:
        self.faults = dict(faults or {})
        self.mails: list[bytes] = []
        self.connections = 0
        self.ended = threading.Event()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                with contextlib.suppress(_Cut, OSError):
                    outer._converse(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server((self.host, 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def _say(self, link: socketserver.StreamRequestHandler, step: str, reply: str) -> bool:
        fault = self.faults.get(step, "")
        if fault == "cut":
            link.connection.shutdown(socket.SHUT_RDWR)
            raise _Cut
        if fault == "silence":
            self.ended.wait(60)
            raise _Cut
        link.wfile.write(f"{fault or reply}\r\n".encode())
        return not fault

    def _converse(self, link: socketserver.StreamRequestHandler) -> None:
        self._say(link, "greet", "220 fake ESMTP")
        while line := link.rfile.readline():
            match line.split()[0].upper() if line.split() else b"":
                case b"EHLO" | b"HELO":
                    self._say(link, "ehlo", "250-fake\r\n250 SIZE 1000000")
                case b"MAIL":
                    self._say(link, "mail", "250 ok")
                case b"RCPT":
                    who = line.decode().partition("<")[2].partition(">")[0]
                    one = f"rcpt {who}"
                    self._say(link, one if one in self.faults else "rcpt", "250 ok")
                case b"DATA":
                    if self._say(link, "data", "354 go on"):
                        mail = b""
                        while (part := link.rfile.readline()) not in (b".\r\n", b""):
                            mail += part
                        self.mails.append(mail)
                        self._say(link, "data-end", "250 taken")
                case b"QUIT":
                    link.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    link.wfile.write(b"250 ok\r\n")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
