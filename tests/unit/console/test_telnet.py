"""The telnet decoder against the bytes of real clients, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.console.telnet import MAX_SUBNEGOTIATION, Decoder, Signal

# Debian's telnet 0.17+2.4, `telnet -- HOST -PORT`: DO ENCRYPT, WILL ENCRYPT, DO SGA, WILL TTYPE, NAWS,
# TSPEED, LFLOW, LINEMODE, NEW-ENVIRON, DO STATUS. Recorded.
DEBIAN_OPENING = bytes.fromhex("fffd26 fffb26 fffd03 fffb18 fffb1f fffb20 fffb21 fffb22 fffb27 fffd05")
DEBIAN_REFUSED = bytes.fromhex("fffc26 fffe26 fffc03 fffe18 fffe1f fffe20 fffe21 fffe22 fffe27 fffc05")
# The same client's Ctrl-C in line mode, recorded: IP, DO TIMING-MARK.
DEBIAN_CTRL_C = b"\xff\xf4\xff\xfd\x06"

Found = list[bytes | Signal]


def decoded(pieces: list[bytes]) -> tuple[Found, bytes]:
    decoder = Decoder()
    found: Found = []
    for piece in pieces:
        for one in decoder.decode(piece):
            if isinstance(one, bytes) and found and isinstance(found[-1], bytes):
                found[-1] += one
            else:
                found.append(one)
    return found, bytes(decoder.replies)


@pytest.mark.parametrize(
    ("sent", "found", "replies"),
    [
        (b"status\r\n", [b"status\r\n"], b""),
        (DEBIAN_OPENING + b"status\r\n", [b"status\r\n"], DEBIAN_REFUSED),
        (b"sta" + DEBIAN_CTRL_C + b"x", [b"sta", Signal.INTERRUPT, b"x"], b"\xff\xfb\x06"),
        (b"a\xff\xffb", [b"a\xffb"], b""),
        (b"a\xff\xfa\x18\x00xterm\xff\xff\xf0\xff\xf0b", [b"ab"], b""),
        (b"\xff\xf6", [], b"\r\n[ARIMONITOR is here]\r\n"),
        (b"\xff\xf1\xff\xf9\xff\xefok", [b"ok"], b""),
        # What is off already needs no answer; DO ECHO and DONT ECHO answer our own offer.
        (b"\xff\xfc\x18\xff\xfe\x03\xff\xfd\x01\xff\xfe\x01", [], b""),
        (b"\xff\xf7\xff\xf8\xff\xec", [Signal.ERASE_CHARACTER, Signal.ERASE_LINE, Signal.END], b""),
        (b"\xff\xf3\xff\xee", [Signal.INTERRUPT, Signal.INTERRUPT], b""),
    ],
)
def test_whole_and_byte_by_byte(sent: bytes, found: Found, replies: bytes) -> None:
    assert decoded([sent]) == (found, replies)
    assert decoded([sent[at : at + 1] for at in range(len(sent))]) == (found, replies)
    for cut in range(len(sent)):
        assert decoded([sent[:cut], sent[cut:]]) == (found, replies)


def test_an_endless_subnegotiation_is_given_up() -> None:
    found, _ = decoded([b"\xff\xfa\x18" + b"x" * MAX_SUBNEGOTIATION])
    assert found == [Signal.OVERLONG]


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_cuts_do_not_matter(pieces: list[bytes]) -> None:
    assert decoded(pieces) == decoded([b"".join(pieces)])
