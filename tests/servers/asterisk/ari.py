"""Talk to the Asterisk of the tests: ARI requests, the event websocket, AMI actions, recordings."""

import base64
import contextlib
import json
import os
import secrets
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from tests.servers.waiting import DEADLINE, wait_until

USER, PASSWORD = "monitor", "monitor-secret"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def request(
    url: str, method: str, path: str, body: Any = None, deadline: float = DEADLINE, **query: str | int
) -> tuple[int, Any]:
    """One ARI request: the status and the decoded answer."""
    address = f"{url}/ari{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
    asked = urllib.request.Request(address, method=method, headers={"Authorization": BASIC})
    if body is not None:
        asked.data = json.dumps(body).encode()
        asked.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(asked, timeout=deadline) as answer:
            data = answer.read()
            return answer.status, json.loads(data) if data else None
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Events:
    """The event websocket of one application: iterate over the texts that arrive."""

    def __init__(self, url: str, app: str, *, subscribe_all: bool = True, timeout: float = DEADLINE) -> None:
        host, port = url.removeprefix("http://").split(":")
        query = urllib.parse.urlencode({"app": app, "subscribeAll": str(subscribe_all).lower()})
        self.socket = socket.create_connection((host, int(port)), timeout)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.socket.sendall(
            (
                f"GET /ari/events?{query} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: {BASIC}\r\n"
                f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ari\r\n\r\n"
            ).encode()
        )
        self.stream: BinaryIO = self.socket.makefile("rb")
        status = self.stream.readline().decode()
        while self.stream.readline().strip():
            pass
        if " 101 " not in status:
            raise ConnectionError(status.strip() or "no handshake")
        self.socket.settimeout(None)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._send(8, b"\x03\xe8")
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def read(self) -> str | None:
        """The next event; None when the connection was closed."""
        while True:
            head = self.stream.read(2)
            if len(head) < 2:
                return None
            length = head[1] & 127
            if length > 125:
                length = int.from_bytes(self.stream.read(2 if length == 126 else 8), "big")
            data = self.stream.read(length)
            if head[0] & 15 == 8:
                return None
            if head[0] & 15 == 9:
                self._send(10, data)
            elif head[0] & 15 == 1:
                return data.decode()

    def _send(self, opcode: int, data: bytes) -> None:
        mask = os.urandom(4)
        self.socket.sendall(
            bytes([0x80 | opcode, 0x80 | len(data)])
            + mask
            + bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        )


class Recorder:
    """Writes down every event of one application as lines {"t": receive time, "event": {...}}.

    With `marks` it connects again after a loss, and says so in lines {"t":, "mark": "open"|"closed"}.
    """

    def __init__(self, url: str, app: str, path: Path, *, sources: str = "", marks: bool = False) -> None:
        self.url, self.app, self.sources, self.marks = url, app, sources, marks
        self.count = 0
        self.last = time.monotonic()
        self.stopping = False
        self.connected = threading.Event()
        self.events: Events | None = None
        self.file = path.open("w", encoding="utf-8")
        self.thread = threading.Thread(target=self._run, name=f"recorder {app}", daemon=True)
        self.thread.start()
        if not self.connected.wait(DEADLINE):
            raise ConnectionError("no event websocket")

    def stop(self) -> None:
        self.stopping = True
        if self.events:
            self.events.close()
        self.thread.join(5)
        self.file.close()

    def _put(self, **record: object) -> None:
        line = {"t": round(time.time(), 6), **record}
        self.file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def _run(self) -> None:
        while not self.stopping:
            try:
                # Without the device states, in whose locks ARI can hang for ever.
                self.events = Events(self.url, self.app, subscribe_all=not self.sources)
                if self.sources:
                    status, text = request(
                        self.url, "POST", f"/applications/{self.app}/subscription", eventSource=self.sources
                    )
                    if status != 200:
                        raise ConnectionError(f"subscription: {status} {text}")
                self._listen(self.events)
            except OSError:
                if not self.marks:
                    raise
            time.sleep(0.2)

    def _listen(self, events: Events) -> None:
        if self.marks:
            self._put(mark="open", detail=None)
        self.connected.set()
        with contextlib.suppress(OSError, ValueError):
            while (text := events.read()) is not None:
                self._put(event=json.loads(text))
                self.count += 1
                self.last = time.monotonic()
        self.connected.clear()
        if self.marks and not self.stopping:
            self._put(mark="closed", detail="connection lost")


def ami(port: int, action: str, **fields: str) -> dict[str, str]:
    """One AMI action in a session of its own; the response."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        stream = connection.makefile("rwb")
        stream.readline()

        def ask(name: str, words: dict[str, str]) -> dict[str, str]:
            lines = [f"Action: {name}", *(f"{key}: {value}" for key, value in words.items()), "", ""]
            stream.write("\r\n".join(lines).encode())
            stream.flush()
            while True:
                answer = {}
                while line := stream.readline().decode().strip():
                    key, _, value = line.partition(": ")
                    answer[key] = value
                if "Response" in answer:
                    return answer
                if not answer:
                    raise ConnectionError(f"AMI closed at {name}")

        ask("Login", {"Username": USER, "Secret": PASSWORD, "Events": "off"})
        return ask(action, fields)


def until(what: Callable[[], Any], timeout: float, describe: str) -> Any:
    """The first true value of `what`, or TimeoutError: a story that did not go as told."""
    try:
        return wait_until(what, describe, timeout)
    except AssertionError as error:
        raise TimeoutError(str(error)) from None
