"""A manager interface that fails as a real one can't be made to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

GREETING = b"Asterisk Call Manager/5.0.4\r\n"


def serve(talk: Callable[[socket.socket], object]) -> socket.socket:
    """Listens; each connection is `talk`'s, in the order in which they come."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    talk(connection)

    threading.Thread(target=run, name="fake AMI", daemon=True).start()
    return listener


def answering(connection: socket.socket, answers: dict[str, str], asked: list[str]) -> None:
    """Answer each action by its name; what has no answer is left without one."""
    connection.sendall(GREETING)
    stream = connection.makefile("rb")
    fields: dict[str, str] = {}
    while line := stream.readline():
        name, colon, value = line.decode().strip().partition(": ")
        if colon:
            fields[name] = value
            continue
        asked.append(fields["Action"])
        answer = answers.get(fields["Action"], "").replace("#", fields["ActionID"])
        if answer == "close":
            return
        connection.sendall(answer.replace("\n", "\r\n").encode())
        if "Secret" in fields:
            asked.append(fields["Secret"])
        fields = {}


CHALLENGE = "Response: Success\nActionID: #\nChallenge: 123\n\n"
ACCEPTED = "Response: Success\nActionID: #\n\nEvent: FullyBooted\nStatus: Fully Booted\n\n"
START = "Response: Success\nActionID: #\nEventList: start\n\n"
ONE = "Event: ContactList\nActionID: #\nEndpoint: 1\nUri: sip:1@192.0.2.1:5060\n\n"
END = "Event: ContactListComplete\nActionID: #\nEventList: Complete\n\n"
DENIED = "Response: Error\nActionID: #\nMessage: Permission denied\n\n"
LOGIN = {"Challenge": CHALLENGE, "Login": ACCEPTED}
