"""Hosts of the tests as network namespaces: each fault does what it says, nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import dovecot, postfix, rabbitmq, sshd
from tests.servers.dovecot import Dovecot
from tests.servers.hosts import Drop, Host, Hosts, remove_leftovers, unavailable_reason
from tests.servers.postfix import Postfix
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.sshd import Sshd
from tests.servers.waiting import wait_until

if _reason := unavailable_reason():
    pytest.skip(_reason, allow_module_level=True)

NAMESPACES = Path("/run/netns")
PATIENCE = 0.3  # seconds: a packet needs some 0.0001


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with Hosts("one", "two", "three") as made:
        yield made


@pytest.fixture(scope="module")
def door(hosts: Hosts) -> Iterator[tuple[str, int]]:
    """Something that listens on host one; the kernel itself accepts."""
    with hosts["one"].listen() as listener:
        yield listener.getsockname()


def reach(host: Host, door: tuple[str, int]) -> str:
    try:
        host.connect(door, PATIENCE).close()
    except TimeoutError:
        return "silence"
    except ConnectionRefusedError:
        return "refused"
    return "yes"


def from_others(hosts: Hosts, door: tuple[str, int]) -> tuple[str, str]:
    return reach(hosts["two"], door), reach(hosts["three"], door)


def test_all_is_well(hosts: Hosts, door: tuple[str, int]) -> None:
    assert from_others(hosts, door) == ("yes", "yes")
    with pytest.raises(OSError, match=r"timed out|unreachable"):
        socket.create_connection(door, PATIENCE)  # this machine has no way there


def test_off(hosts: Hosts, door: tuple[str, int]) -> None:
    hosts["one"].off()
    assert from_others(hosts, door) == ("silence", "silence")
    assert reach(hosts["one"], door) == "yes"
    hosts["one"].on()
    assert from_others(hosts, door) == ("yes", "yes")


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        (Drop(), ("silence", "silence")),
        (Drop(outwards=False), ("silence", "silence")),
        (Drop(ports=(1,)), ("yes", "yes")),
        (Drop(refuse=True, outwards=False), ("refused", "refused")),
    ],
)
def test_packets(hosts: Hosts, door: tuple[str, int], drop: Drop, expected: tuple[str, str]) -> None:
    with hosts["one"].fault(drop):
        assert from_others(hosts, door) == expected
    assert from_others(hosts, door) == ("yes", "yes")


def test_between_two_only_and_one_port_only(hosts: Hosts, door: tuple[str, int]) -> None:
    two = hosts["two"].address
    with hosts["one"].fault(Drop(peers=(two,))):
        assert from_others(hosts, door) == ("silence", "yes")
        with hosts["one"].fault(Drop(ports=(door[1],), refuse=True)):
            assert from_others(hosts, door) == ("silence", "refused")
    with hosts["two"].fault(Drop(ports=(door[1],), inwards=False)):
        assert from_others(hosts, door) == ("silence", "yes")


def test_an_open_connection_goes_silent_and_goes_on(hosts: Hosts) -> None:
    with hosts["one"].listen() as listener, hosts["two"].connect(listener.getsockname(), 5.0) as link:
        other, _ = listener.accept()
        with other:
            with hosts["two"].fault(Drop(inwards=False)):
                link.sendall(b"x")
                other.settimeout(PATIENCE)
                with pytest.raises(TimeoutError):
                    other.recv(1)
            other.settimeout(10.0)
            assert other.recv(1) == b"x"


def test_loss_and_rate(hosts: Hosts) -> None:
    """Half of the packets lost or one megabit: it still arrives, later."""
    data = b"x" * 60_000
    for percent, rate in ((30, None), (0, "1mbit")):
        with hosts["one"].listen() as listener, hosts["two"].connect(listener.getsockname(), 20.0) as link:
            hosts["two"].limit(rate)
            with hosts["two"].fault(Drop(percent=percent, inwards=False)):
                link.sendall(data)
                link.shutdown(socket.SHUT_WR)
                other, _ = listener.accept()
                with other, other.makefile("rb") as stream:
                    assert stream.read() == data
            hosts["two"].limit(None)


def test_servers_run_on_hosts(hosts: Hosts) -> None:
    """RabbitMQ, Dovecot and Postfix, sshd: what a cluster needs of them."""
    for reason in (each.unavailable_reason() for each in (dovecot, postfix, rabbitmq, sshd)):
        if reason:
            pytest.skip(reason)
    one, two = hosts["one"], hosts["two"]
    hosts.enter()  # the servers' own waiting is done from the switch
    with (
        RabbitMQ(at=one) as broker,
        Dovecot(at=two) as imap,
        Postfix(imap, at=two) as smtp,
        Sshd(at=one) as ssh,
    ):
        assert "rabbit" in broker.rabbitmqctl("status").lower()
        with broker.connect() as connection:
            connection.channel().queue_declare("x", durable=True)
        imap.deliver(b"Subject: x\r\n\r\nx\r\n")
        wait_until(imap.folder, "the mail is there")
        assert imap.pids()[0] in two.pids()
        assert ssh.host == one.address
        assert reach(one, (two.address, smtp.port)) == "yes"


def test_what_a_dead_run_left_is_removed() -> None:
    code = (
        "import os, subprocess, sys; from tests.servers.hosts import Hosts\n"
        "hosts = Hosts('left').start()\n"
        "subprocess.Popen([*hosts['left'].prefix, 'sleep', '600'])\n"
        "print(hosts.run, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as dying:
        assert dying.stdout is not None
        run = dying.stdout.readline().strip()
        assert run not in remove_leftovers()  # it lives
        assert list(NAMESPACES.glob(f"{run}-*"))
        sleeping = _inside(run)
        assert sleeping
        os.kill(dying.pid, signal.SIGKILL)
        dying.wait()
    assert run in remove_leftovers()
    assert not list(NAMESPACES.glob(f"{run}-*"))
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in sleeping), "its processes have ended")


def _inside(run: str) -> list[int]:
    done = subprocess.run(["ip", "netns", "pids", f"{run}-left"], capture_output=True, text=True, check=True)
    return [int(each) for each in done.stdout.split()]
