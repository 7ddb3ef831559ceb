"""The telnet protocol's share of a byte stream, taken out of it. Pure; it may be cut at any byte.

    DATA --IAC--> COMMAND --WILL WONT DO DONT--> OPTION --> DATA
                          --SB--> SUB --IAC--> SUB_IAC --SE--> DATA
                          --anything else--> DATA

Every option is refused (once: only a request to switch something on needs an
answer), which leaves the client in line mode with its own echo. DO TIMING-MARK
is agreed to, since Debian's telnet shows nothing after a Ctrl-C until it is
answered. Sources: RFC 854, 855, 857 (echo), 860 (timing mark); the bytes of
Debian's client are in tests/unit/console/test_telnet.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum, auto

IAC, DONT, DO, WONT, WILL, SB = 255, 254, 253, 252, 251, 250
AYT, IP, BREAK, EC, EL, ABORT, EOF, SE = 246, 244, 243, 247, 248, 238, 236, 240
ECHO, TIMING_MARK = 1, 6

HIDE_INPUT = bytes((IAC, WILL, ECHO))
"""We say that we echo, and do not: the client stops showing what is typed."""

SHOW_INPUT = bytes((IAC, WONT, ECHO))

MAX_SUBNEGOTIATION = 64 * 1024
"""Bytes of one subnegotiation after which it is taken for garbage."""

_DATA = re.compile(rb"[^\xff]+")


class Signal(Enum):
    """What a telnet client says apart from its bytes."""

    INTERRUPT = auto()
    END = auto()
    ERASE_CHARACTER = auto()
    ERASE_LINE = auto()
    OVERLONG = auto()


_SIGNAL_BY_COMMAND = {
    IP: Signal.INTERRUPT,
    BREAK: Signal.INTERRUPT,
    ABORT: Signal.INTERRUPT,
    EOF: Signal.END,
    EC: Signal.ERASE_CHARACTER,
    EL: Signal.ERASE_LINE,
}


class _State(Enum):
    DATA = auto()
    COMMAND = auto()
    OPTION = auto()
    SUB = auto()
    SUB_IAC = auto()


class Decoder:
    """Splits what a telnet client sends; `replies` collects what it must be told."""

    def __init__(self) -> None:
        self.replies = bytearray()
        self._state = _State.DATA
        self._verb = 0
        self._skipped = 0

    def decode(self, data: bytes) -> Iterator[bytes | Signal]:
        """The bytes and signals in `data`, in order."""
        at = 0
        while at < len(data):
            if self._state is _State.DATA and (run := _DATA.match(data, at)):
                yield run[0]
                at = run.end()
                continue
            byte = data[at]
            at += 1
            found = self._step(byte)
            if found is not None:
                yield found

    def _step(self, byte: int) -> bytes | Signal | None:
        match self._state:
            case _State.DATA:
                self._state = _State.COMMAND
            case _State.COMMAND:
                return self._command(byte)
            case _State.OPTION:
                self._answer_option(byte)
                self._state = _State.DATA
            case _State.SUB:
                self._skipped += 1
                if byte == IAC:
                    self._state = _State.SUB_IAC
                elif self._skipped > MAX_SUBNEGOTIATION:
                    self._state = _State.DATA
                    return Signal.OVERLONG
            case _State.SUB_IAC:
                # IAC IAC inside is a plain 255; anything but SE there is the client's mistake.
                self._state = _State.DATA if byte == SE else _State.SUB
        return None

    def _command(self, byte: int) -> bytes | Signal | None:
        self._state = _State.DATA
        if byte == IAC:
            return b"\xff"
        if byte in (WILL, WONT, DO, DONT):
            self._verb = byte
            self._state = _State.OPTION
        elif byte == SB:
            self._skipped = 0
            self._state = _State.SUB
        elif byte == AYT:
            self.replies += b"\r\n[ARIMONITOR is here]\r\n"
        return _SIGNAL_BY_COMMAND.get(byte)

    def _answer_option(self, option: int) -> None:
        if self._verb == WILL:
            self.replies += bytes((IAC, DONT, option))
        elif self._verb == DO and option == TIMING_MARK:
            self.replies += bytes((IAC, WILL, option))
        # DO ECHO is the answer to HIDE_INPUT, not a request of the client's own.
        elif self._verb == DO and option != ECHO:
            self.replies += bytes((IAC, WONT, option))
