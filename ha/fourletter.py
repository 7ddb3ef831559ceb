"""Asks ZooKeeper's servers what they are, with four-letter words. Adapter: plain sockets.

`mntr` or, where that is not allowed (4lw.commands.whitelist of zoo.cfg), `srvr`, which is always.
"""

from __future__ import annotations

import socket
import time

from ha.ensemble import Ensemble, Server, parse, split, tick_of

_MOST = 1 << 16  # bytes of an answer; the real ones have some 4,000


def ask(hosts: tuple[str, ...], voters: int | None, timeout: float) -> Ensemble:
    """Each of `hosts` (HOST:PORT) in turn, at most `timeout` seconds each."""
    return Ensemble(tuple(_ask(host, timeout) for host in hosts), voters)


def is_here(address: str) -> bool:
    """Whether HOST:PORT is an address of this machine."""
    host = split(address)[0]
    try:
        for family, kind, protocol, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(place)
                return True
    except OSError:
        return False
    return False


def _ask(address: str, timeout: float) -> Server:
    deadline = time.monotonic() + timeout
    try:
        text = _word(address, b"mntr", deadline)
        if "zk_server_state" not in text:
            text = _word(address, b"srvr", deadline)
        server = parse(address, text)
        tick = tick_of(_word(address, b"conf", deadline)) if server.mode else None
    except (OSError, ValueError) as error:
        return Server(address, problem=str(getattr(error, "strerror", None) or error))
    return Server(server.address, server.mode, server.version, tick, server.problem)


def _word(address: str, word: bytes, deadline: float) -> str:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it does not answer in time")
    with socket.create_connection(split(address), left) as link:
        link.sendall(word)
        answer = b""
        while len(answer) < _MOST:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("it does not answer in time")
            link.settimeout(left)
            piece = link.recv(_MOST)
            if not piece:
                break
            answer += piece
    return answer.decode("utf-8", "replace")
