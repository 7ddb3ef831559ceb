r"""One conversation on the manager port, without I/O: bytes in, requests out; answers in, bytes out. Pure.

    feed(bytes) -> next() -> Request ... answer(request, result) -> take() -> bytes
                          -> AuthFailed (the caller waits a moment before take())
                          -> None (more bytes are needed)

Who speaks first: nobody, for a moment. A client whose first byte is `{` is a
program: it gets no greeting and no prompt, one line for each line. Everybody
else gets the greeting and a prompt, when `greet` is called (the server does
after not quite half a second) or as soon as they type. After a text command
comes the prompt again; after a JSON line only its answer and a newline.

Lines of text end as the client's do: CR LF for telnet, LF for netcat and
scripts. A streaming command (`events follow`) goes on until any line comes or
Ctrl-C; a line that is not empty is then carried out as usual.
"""

from __future__ import annotations

import hmac
import json
import shlex
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from daemon.console.lines import MAX_LINE, LineBuffer, text_of
from daemon.console.registry import CommandError, Item, Result
from daemon.console.render import printable
from daemon.console.telnet import HIDE_INPUT, SHOW_INPUT, Decoder, Signal

PROMPT = "ARIMONITOR> "
MAX_TRIES = 3


@dataclass(frozen=True, slots=True)
class Request:
    """A command to carry out. `text`: a program wants the text for people too."""

    words: tuple[str, ...]
    json: bool
    text: bool = True


@dataclass(frozen=True, slots=True)
class AuthFailed:
    """A wrong password, the `tries`-th; nothing of it is kept."""

    tries: int


class Session:
    """The protocol of one connection. `password` None: none is asked for.

    `telnet` False is for a terminal, where byte 255 is only a byte.
    """

    def __init__(self, banner: str, *, password: str | None = None, telnet: bool = True) -> None:
        self.closing = False
        self.greeted = False
        self.following = False
        self._banner = banner
        self._password = password.encode() if password is not None else None
        self._tries = 0
        self._hidden = False
        self._json = False
        self._decoder = Decoder() if telnet else None
        self._waiting: deque[bytes | Signal] = deque()
        self._lines = LineBuffer()
        self._lines.crlf = telnet
        self._out = bytearray()
        self._stream: Request | None = None
        self._streamed = 0

    @property
    def authorised(self) -> bool:
        """Whether commands are carried out: no password was asked for, or it was given."""
        return self._password is None

    # -- bytes ---------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what arrived. Call `next` until it returns None before the next feed."""
        if self._decoder is None:
            self._waiting.append(data)
        else:
            self._waiting.extend(self._decoder.decode(data))
            self._out += self._decoder.replies
            self._decoder.replies.clear()

    def take(self) -> bytes:
        """What must be sent now."""
        out = bytes(self._out)
        self._out.clear()
        return out

    # -- what the caller must do -----------------------------------------------------------

    def greet(self) -> None:
        """Speak first: the banner and the prompt, or the question for the password."""
        if self.greeted or self.closing:
            return
        self.greeted = True
        if self._password is None:
            self._say(self._banner)
            self._prompt()
        else:
            self._ask()

    def next(self) -> Request | AuthFailed | None:
        """The next thing to do; what concerns the protocol alone is answered here."""
        while not self.closing:
            found = self._next_line()
            if found is None:
                break
            if isinstance(found, Signal):
                self._on_signal(found)
            elif (request := self._on_line(found)) is not None:
                return request
        return None

    def answer(self, request: Request, result: Result) -> None:
        """Write a command's answer. Raises TypeError or ValueError where `data` is no JSON."""
        if request.json:
            answer: dict[str, object] = {"ok": True, "result": result.data}
            if request.text:
                answer["text"] = result.text
            self._say_json(answer)
        elif result.text:
            self._say(result.text)
        if result.close:
            self.closing = True
        elif result.stream is not None:
            self.following = True
            self._stream = request
            self._streamed = 0
        elif not request.json:
            self._prompt()

    def fail(self, request: Request, error: CommandError) -> None:
        """Write that a command was not carried out."""
        self._refuse(error, as_json=request.json)
        if not request.json:
            self._prompt()

    def push(self, item: Item) -> None:
        """Write a piece of the stream that is being followed."""
        if self._stream is None:
            return
        self._streamed += 1
        if self._stream.json:
            line: dict[str, object] = {"event": item.data}
            if self._stream.text:
                line["text"] = item.text
            self._say_json(line)
        else:
            self._say(item.text)

    def end(self, message: str) -> None:
        """The session is ended from our side: a last line for people, nothing for programs."""
        if self.greeted and not self.closing and not self._json:
            self._say("\n" + message)
        self.closing = True

    # -- lines -----------------------------------------------------------------------------

    def _next_line(self) -> bytes | Signal | None:
        while True:
            if not self.greeted and (first := self._lines.peek()) is not None:
                if first == ord("{"):
                    self.greeted = self._json = True
                else:
                    self.greet()
            found = self._lines.next()
            if found is not None or not self._waiting:
                return found
            piece = self._waiting.popleft()
            if isinstance(piece, Signal):
                return piece
            self._lines.feed(piece)

    def _on_signal(self, signal: Signal) -> None:
        match signal:
            case Signal.ERASE_CHARACTER:
                self._lines.erase()
            case Signal.ERASE_LINE:
                self._lines.clear()
            case Signal.OVERLONG:
                limit = f"a line has more than {MAX_LINE // 1024} KiB: the connection is closed"
                self._refuse(CommandError("too-long", limit), as_json=self._lines.begins_with(b"{"))
                self.closing = True
            case Signal.INTERRUPT if self.following:
                self._unfollow()
            case Signal.INTERRUPT if not self._lines.empty:
                self._lines.clear()
                self._say("")
                self._prompt()
            case Signal.END if self.following or not self._lines.empty:
                pass
            case _:
                if self.greeted and not self._json:
                    self._say("\nBye.")
                self.closing = True

    def _on_line(self, line: bytes) -> Request | AuthFailed | None:
        if self._password is not None and not line.lstrip().startswith(b"{"):
            self._json = False
            return self._try(line, as_json=False)
        text = text_of(line).strip()
        if text.startswith("{"):
            self._json = True
            if self.following:
                self._unfollow()
            return self._on_json(text)
        followed = self.following
        if followed:
            self._unfollow()
        if not text:
            if not followed and not self._json:
                self._prompt()
            return None
        self._json = False
        return self._on_text(text)

    def _on_text(self, text: str) -> Request | None:
        try:
            words = split_words(text)
        except ValueError:
            self._refuse(CommandError("usage", "a quote is not closed"), as_json=False)
            words = ()
        if not words:
            self._prompt()
            return None
        return Request(words, json=False)

    def _on_json(self, text: str) -> Request | AuthFailed | None:
        try:
            request = _read_json(text)
        except CommandError as error:
            self._refuse(error, as_json=True)
            return None
        if request.words[0] == "auth":
            if len(request.words) != 2:
                self._refuse(CommandError("usage", 'args must be ["PASSWORD"]'), as_json=True)
                return None
            if self._password is None:
                self._say_json({"ok": True, "result": {"authorised": True}})
                return None
            return self._try(request.words[1].encode("utf-8", "replace"), as_json=True)
        if self._password is not None:
            message = 'the manager password first: {"command": "auth", "args": ["PASSWORD"]}'
            self._refuse(CommandError("not-authorised", message), as_json=True)
            return None
        return request

    def _unfollow(self) -> None:
        stream, self._stream = self._stream, None
        self.following = False
        if stream is not None and not stream.json:
            self._say(f"Stopped after {self._streamed:,} events.")
            self._prompt()

    # -- the password ------------------------------------------------------------------------

    def _ask(self) -> None:
        self._out += HIDE_INPUT
        self._hidden = True
        self._out += b"Password: "

    def _try(self, given: bytes, *, as_json: bool) -> AuthFailed | None:
        if self._hidden:
            # Nobody echoed the Enter either.
            self._out += SHOW_INPUT
            self._hidden = False
            self._say("")
        if self._password is not None and hmac.compare_digest(given, self._password):
            self._password = None
            if as_json:
                self._say_json({"ok": True, "result": {"authorised": True}})
            else:
                self._say(self._banner)
                self._prompt()
            return None
        self._tries += 1
        self.closing = self._tries >= MAX_TRIES
        self._refuse(CommandError("not-authorised", "wrong password"), as_json=as_json)
        if not as_json and not self.closing:
            self._ask()
        return AuthFailed(self._tries)

    # -- writing -----------------------------------------------------------------------------

    def _refuse(self, error: CommandError, *, as_json: bool) -> None:
        if as_json:
            self._say_json({"ok": False, "error": {"code": error.code, "message": error.message}})
        else:
            self._say(f"Error: {error.message} ({error.code})")

    def _prompt(self) -> None:
        self._out += PROMPT.encode()

    def _say(self, text: str) -> None:
        end = "\r\n" if self._lines.crlf else "\n"
        self._out += (printable(text).replace("\n", end) + end).encode("utf-8", "replace")

    def _say_json(self, value: Mapping[str, object]) -> None:
        self._out += dump(value)


def dump(value: Mapping[str, object]) -> bytes:
    """One line of JSON. Raises TypeError or ValueError for what JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def split_words(text: str) -> tuple[str, ...]:
    """Words, with quotes round what holds blanks; a backslash is only a backslash. Raises ValueError."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = ""
    return tuple(lexer)


def _read_json(text: str) -> Request:
    """A JSON line as a request. Raises CommandError bad-json."""
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Not the decoder's own text: it may quote the line, and with it a password.
        place = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise CommandError("bad-json", f"this line is no JSON{place}") from error
    command = request.get("command") if isinstance(request, dict) else None
    if not isinstance(command, str) or not command.strip():
        raise CommandError("bad-json", '"command" must be the name of a command')
    args = request.get("args", [])
    if not isinstance(args, list) or not all(isinstance(arg, str | int | float) for arg in args):
        raise CommandError("bad-json", '"args" must be a list of strings and numbers')
    words = (*command.split(), *(arg if isinstance(arg, str) else json.dumps(arg) for arg in args))
    return Request(words, json=True, text=request.get("text") is True)
