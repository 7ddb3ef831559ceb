"""What systemd asks for in the environment."""

import pytest

from daemon.runtime.systemd import Notifier, watchdog_interval


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": ""}, None),
    ],
)
def test_interval_is_half_of_what_is_asked(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_interval(environ, pid=42) == seconds


def test_without_systemd_nothing_is_sent() -> None:
    notifier = Notifier.from_environ({})
    assert not notifier.ready()
    assert not notifier.watchdog()


def test_the_socket_is_not_left_to_children() -> None:
    environ = {"NOTIFY_SOCKET": "/run/x", "HOME": "/"}
    assert Notifier.from_environ(environ).address == "/run/x"
    assert environ == {"HOME": "/"}
