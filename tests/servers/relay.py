"""A TCP relay between a daemon and a server: its connections can be cut or go silent while both ends live."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress


class Relay:
    """Within a `with`: `port` of the loopback leads to the server at `target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._flows = threading.Event()
        self._flows.set()
        self.cut_in = 0
        """Cut everything once so many more bytes have come from the server; 0: no."""
        self.pause = 0.0
        """Seconds before each piece is passed on."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Reset all connections, at both ends."""
        self._flows.set()
        pairs, self._pairs = self._pairs, []
        for sock in (sock for pair in pairs for sock in pair):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def silence(self) -> None:
        """Nothing passes any more, and nobody is told; new connections neither."""
        self._flows.clear()

    def speak(self) -> None:
        """What was held up passes."""
        self._flows.set()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            try:
                outside = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                inside.close()
                continue
            outside.settimeout(None)
            self._pairs.append((inside, outside))
            for source, sink in ((inside, outside), (outside, inside)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while True:
                data = source.recv(65536)
                self._flows.wait()
                if not data:
                    break
                if self.pause:
                    time.sleep(self.pause)  # what is tested: a slow way
                if self.cut_in and source.getpeername()[1] == self._target:
                    self.cut_in -= len(data)
                    if self.cut_in <= 0:
                        self.cut_in = 0
                        self.cut()
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
