"""Asterisk's manager interface as it should not be: a small fake server, over real sockets.

How the real one answers is in test_endpoints.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from daemon.directory.ami import AmiClient, AmiRefused, AmiUnavailable
from daemon.directory.contacts import Contact, PjsipStuck
from daemon.directory.looker import CliSource
from daemon.errors import TransientError
from tests.servers.fake_ami import CHALLENGE, DENIED, END, LOGIN, ONE, START, answering, serve
from tests.servers.waiting import DEADLINE

USER = "monitor"


def client_of(listener: socket.socket, timeout: float = DEADLINE) -> AmiClient:
    return AmiClient("127.0.0.1", listener.getsockname()[1], USER, "a-secret", timeout=timeout)


def ask(answers: dict[str, str], timeout: float = DEADLINE) -> tuple[list[Contact], list[str]]:
    asked: list[str] = []
    with serve(lambda connection: answering(connection, answers, asked)) as listener:
        return client_of(listener, timeout).contacts(), asked


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
        (LOGIN, PjsipStuck, "lets us in but listed no contacts within 0.5 s"),
        ({**LOGIN, "PJSIPShowContacts": START + ONE}, PjsipStuck, "listed no contacts within 0.5 s"),
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
    with pytest.raises(error, match=words) as caught:
        ask(answers, 0.5 if "0.5 s" in words else DEADLINE)
    assert "a-secret" not in str(caught.value)


def test_a_server_that_is_silent_or_no_ami() -> None:
    held = threading.Event()
    with (
        serve(lambda _connection: held.wait(DEADLINE)) as listener,
        pytest.raises(AmiUnavailable, match="did not answer within"),
    ):
        client_of(listener, 0.5).contacts()
    held.set()
    with (
        serve(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as listener,
        pytest.raises(AmiUnavailable, match="does not speak AMI"),
    ):
        client_of(listener).contacts()


def test_the_command_line_hangs_for_pjsip_alone(tmp_path: Path) -> None:
    program = tmp_path / "asterisk"
    program.write_text('#!/bin/sh\ncase "$2" in pjsip*) exec sleep 60;; *) echo up;; esac\n')
    program.chmod(0o755)
    with pytest.raises(PjsipStuck, match=r"did not end within 2 s"):
        CliSource((str(program),), timeout=2.0).contacts()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(TransientError) as caught:
        CliSource((str(program),), timeout=0.5).contacts()
    assert not isinstance(caught.value, PjsipStuck), "all of it hangs"
