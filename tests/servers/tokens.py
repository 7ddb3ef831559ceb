"""A small OAuth2 server: gives tokens (RFC 6749) and says to Dovecot whether one is good (RFC 7662)."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs


class TokenServer:
    """`given` counts tokens; `refuse`: an OAuth2 error for all who ask."""

    def __init__(self, username: str) -> None:
        self.username = username
        self.given = 0
        self.refuse = ""
        self.forms: list[dict[str, list[str]]] = []
        self.good: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                status, said = outer._answer(self.path, parse_qs(body))
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def _answer(self, path: str, form: dict[str, list[str]]) -> tuple[int, dict[str, object]]:
        if path.startswith("/introspect"):
            good = form.get("token", [""])[0] in self.good
            return 200, {"active": True, "username": self.username} if good else {"active": False}
        self.forms.append(form)
        if self.refuse:
            return 400, {"error": self.refuse}
        self.given += 1
        token = f"access-{self.given}"
        self.good.add(token)
        return 200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}

    def revoke(self) -> None:
        """What was given so far is good no more."""
        self.good.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
