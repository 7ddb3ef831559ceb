"""Bytes as typed into lines as meant: line ends of every kind, and editing. Pure.

A line ends with LF, CR LF, CR NUL or CR, cut at any byte. Real telnet clients
in character mode send backspace or DEL, Ctrl-U, Ctrl-C and Ctrl-D as they are.
"""

from __future__ import annotations

import re

from daemon.console.telnet import Signal

MAX_LINE = 64 * 1024
"""Bytes of one line; a longer one is refused."""

_PLAIN = re.compile(rb"[^\x00\x03\x04\x08\x0a\x0d\x15\x7f]+")
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_SIGNAL_BY_CONTROL = {0x03: Signal.INTERRUPT, 0x04: Signal.END}


def text_of(line: bytes) -> str:
    """A line as text: bad UTF-8 replaced, arrow keys and control characters gone."""
    text = line.decode("utf-8", "replace")
    return _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text))


class LineBuffer:
    """Collects bytes and gives lines and signals back, one at a time.

    `crlf` is how the last line ended: a telnet client's CR, or a script's LF.
    At most one chunk and one line are kept.
    """

    def __init__(self) -> None:
        self.crlf = True
        self._line = bytearray()
        self._chunk = b""
        self._at = 0
        self._after_cr = False

    @property
    def empty(self) -> bool:
        """Nothing of a line was typed yet."""
        return not self._line

    def begins_with(self, start: bytes) -> bool:
        """Whether the unfinished line does, blanks aside."""
        return self._line.lstrip().startswith(start)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; the former ones must have been used up by `next`."""
        self._chunk = self._chunk[self._at :] + chunk
        self._at = 0

    def peek(self) -> int | None:
        """The next byte, or None."""
        return self._chunk[self._at] if self._at < len(self._chunk) else None

    def clear(self) -> None:
        """Forget the unfinished line."""
        self._line.clear()

    def next(self) -> bytes | Signal | None:
        """The next line without its end, or a signal; None when more bytes are needed."""
        while self._at < len(self._chunk):
            if run := _PLAIN.match(self._chunk, self._at):
                self._at = run.end()
                self._after_cr = False
                self._line += run[0]
                if len(self._line) > MAX_LINE:
                    return Signal.OVERLONG
                continue
            byte = self._chunk[self._at]
            self._at += 1
            found = self._control(byte)
            if found is not None:
                return found
        self._chunk, self._at = b"", 0
        return None

    def erase(self) -> None:
        """Take back the last character, all of its UTF-8 bytes."""
        while self._line and self._line[-1] & 0xC0 == 0x80:
            self._line.pop()
        if self._line:
            self._line.pop()

    def _control(self, byte: int) -> bytes | Signal | None:
        after_cr, self._after_cr = self._after_cr, byte == 0x0D
        if byte in (0x00, 0x0A) and after_cr:
            return None
        if byte in (0x0A, 0x0D):
            self.crlf = byte == 0x0D
            line = bytes(self._line)
            self._line.clear()
            return line
        if byte in (0x08, 0x7F):
            self.erase()
        elif byte == 0x15:
            self._line.clear()
        return _SIGNAL_BY_CONTROL.get(byte)
