"""Asterisk's manager interface as it should not be: a small fake server, over real sockets.

How the real one answers is in test_endpoints.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from daemon.directory.ami import AmiClient, AmiRefused, AmiUnavailable
from daemon.directory.contacts import Contact

USER = "monitor"
GREETING = b"Asterisk Call Manager/5.0.4\r\n"


def serve(talk: Callable[[socket.socket], object]) -> tuple[socket.socket, AmiClient]:
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    talk(connection)

    threading.Thread(target=run, name="fake AMI", daemon=True).start()
    return listener, AmiClient("127.0.0.1", listener.getsockname()[1], USER, "a-secret", timeout=0.5)


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


def ask(answers: dict[str, str]) -> tuple[list[Contact], list[str]]:
    asked: list[str] = []
    listener, client = serve(lambda connection: answering(connection, answers, asked))
    with listener:
        return client.contacts(), asked


def test_the_secret_itself_is_sent_only_where_there_is_no_challenge() -> None:
    contacts, asked = ask({**LOGIN, "PJSIPShowContacts": START + ONE + END})
    assert contacts == [Contact("1", "sip:1@192.0.2.1:5060")]
    assert "a-secret" not in asked
    contacts, asked = ask({**LOGIN, "Challenge": DENIED, "PJSIPShowContacts": START + ONE + END})
    assert len(contacts) == 1
    assert "a-secret" in asked


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ({}, AmiUnavailable, "did not answer within 0.5 s"),
        ({"Challenge": CHALLENGE}, AmiUnavailable, "did not answer within 0.5 s"),
        (LOGIN, AmiUnavailable, "did not answer within 0.5 s"),
        ({**LOGIN, "PJSIPShowContacts": START + ONE}, AmiUnavailable, "did not answer within 0.5 s"),
        ({**LOGIN, "PJSIPShowContacts": "close"}, AmiUnavailable, "closed by Asterisk"),
        ({**LOGIN, "PJSIPShowContacts": DENIED}, AmiRefused, r"Permission denied.*write = system"),
        ({**LOGIN, "Login": DENIED}, AmiRefused, "refuses the user monitor"),
        (
            {**LOGIN, "PJSIPShowContacts": START + END.replace("Complete\n\n", "Cancelled\n\n")},
            AmiUnavailable,
            "cut off",
        ),
    ],
)
def test_what_ami_can_do_wrong(answers: dict[str, str], error: type[Exception], words: str) -> None:
    began = time.monotonic()
    with pytest.raises(error, match=words) as caught:
        ask(answers)
    assert time.monotonic() - began < 5
    assert "a-secret" not in str(caught.value)


def test_a_server_that_is_silent_or_no_ami() -> None:
    held = threading.Event()
    listener, client = serve(lambda _connection: held.wait(5))
    with listener, pytest.raises(AmiUnavailable, match="did not answer within"):
        client.contacts()
    held.set()
    listener, client = serve(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with listener, pytest.raises(AmiUnavailable, match="does not speak AMI"):
        client.contacts()
