"""A telephone on the loopback: SIP over UDP, one object per phone and per call.

    caller, called = Phone("1013010", "127.0.10.10", server), Phone("1013015", "127.0.10.15", server)
    call = caller.dial("1013015")
    ringing = called.incoming()         # it rings already; .answer() or .hangup() it
    ringing.answer()
    call.wait("answered")
    call.hangup()
    ringing.wait("ended")

There are no retransmissions: on the loopback nothing is lost that a test would want to see repeated.
"""

import contextlib
import queue
import secrets
import socket
import threading
import time
from typing import Literal

from .media import Audio
from .sip import Message, authorization, branch, build, sdp

State = Literal["new", "ringing", "answered", "ended"]
STATES: tuple[State, ...] = ("new", "ringing", "answered", "ended")
REASONS = {180: "Ringing", 200: "OK", 302: "Moved Temporarily", 486: "Busy Here", 487: "Request Terminated",
           480: "Temporarily Unavailable", 603: "Decline"}
ALLOW = ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, REFER, NOTIFY, UPDATE")


class PhoneError(Exception):
    """The call did not go as the story says."""


class Call:
    """One call as one phone sees it."""

    def __init__(self, phone: "Phone", number: str, invite: Message | None = None) -> None:
        self.phone = phone
        self.number = number
        self.invite = invite
        self.outgoing = invite is None
        self.state: State = "new"
        self.code = 0  # the final response to the INVITE
        self.hung_up_by_me = False
        self.cancelled = False
        self.audio = Audio(phone.ip)
        self.cseq = 0
        self.sdp_version = 0
        self.tag = secrets.token_hex(6)
        self.branch = ""
        self.answers: dict[int, queue.Queue[Message]] = {}
        host = f"{phone.server[0]}:{phone.server[1]}"
        if invite is None:
            self.id = secrets.token_hex(12)
            self.target = f"sip:{number}@{host}"
            self.mine = f'"{phone.name}" <sip:{phone.number}@{host}>;tag={self.tag}'
            self.theirs = f"<{self.target}>"
            self.remote_tag = ""
        else:
            self.id = invite.get("call-id")
            self.target = invite.uri("contact")
            self.mine = invite.get("to") + f";tag={self.tag}"
            self.theirs = invite.get("from")
            self.remote_tag = invite.tag("from")

    # -- what the person at the phone does -----------------------------------
    def wait(self, state: State, timeout: float = 30) -> "Call":
        """Until the call has come so far; PhoneError when it ended before, or the time is over."""
        wanted = STATES.index(state)
        with self.phone.changed:
            self.phone.changed.wait_for(lambda: STATES.index(self.state) >= wanted, timeout)
            if STATES.index(self.state) < wanted or (self.state == "ended" and state != "ended"):
                raise PhoneError(f"{self}: not {state} but {self.state} ({self.code}) after {timeout} s")
        return self

    def answer(self) -> "Call":
        self._reply(200, media=True)
        self._enter("answered")
        return self

    def refuse(self, code: int, contact: str = "") -> None:
        self._reply(code, contact=contact)
        self._enter("ended", code)

    def hangup(self) -> None:
        """BYE, CANCEL or 603, whichever fits."""
        self.hung_up_by_me = True
        if self.state == "answered":
            self.request("BYE")
            self._enter("ended")
        elif self.state != "ended" and self.outgoing:
            self.cancel()
            self.wait("ended", 5)
        elif self.state != "ended":
            self.refuse(603)

    def cancel(self) -> None:
        self.cancelled = True
        self._send("CANCEL", self.cseq, self.branch)

    def leave(self, timeout: float = 2) -> None:
        """After a transfer: the server hangs up, or this phone does."""
        with contextlib.suppress(PhoneError):
            self.wait("ended", timeout)
        if self.state != "ended":
            self.hangup()

    def hold(self) -> None:
        self._reinvite("sendonly")

    def resume(self) -> None:
        self._reinvite("sendrecv")

    def transfer(self, number: str) -> None:
        """Blind transfer of the other side to a number."""
        self._refer(f"<sip:{number}@{self.phone.server[0]}:{self.phone.server[1]}>")

    def transfer_to(self, other: "Call") -> None:
        """Attended transfer: the other side of this call takes the place in `other`."""
        replaces = f"{other.id}%3Bto-tag%3D{other.remote_tag}%3Bfrom-tag%3D{other.tag}"
        self._refer(f"<sip:{other.number}@{self.phone.server[0]}:{self.phone.server[1]}?Replaces={replaces}>")

    def press(self, digits: str, gap: float = 0.1) -> None:
        self.audio.digits(digits, gap=gap)

    def press_info(self, digits: str) -> None:
        for digit in digits:
            self.request("INFO", body=f"Signal={digit}\r\nDuration=160\r\n")
            time.sleep(0.25)

    # -- messages ----------------------------------------------------------------
    def __str__(self) -> str:
        return f"{self.phone.number} {'->' if self.outgoing else '<-'} {self.number}"

    def _enter(self, state: State, code: int = 0) -> None:
        with self.phone.changed:
            if STATES.index(state) > STATES.index(self.state):
                self.state = state
            self.code = code or self.code
            self.phone.changed.notify_all()
        if state == "ended":
            self.audio.close()

    def _sdp(self, direction: str = "sendrecv") -> str:
        self.sdp_version += 1
        return sdp(self.phone.number, self.phone.ip, self.audio.port, self.sdp_version, direction)

    def _send(self, method: str, cseq: int, via: str, *more: tuple[str, str], body: str = "") -> None:
        to = self.theirs + (f";tag={self.remote_tag}" if self.remote_tag and ";tag=" not in self.theirs else "")
        headers = [("Via", f"SIP/2.0/UDP {self.phone.address};branch={via}"), ("Max-Forwards", "70"),
                   ("From", self.mine), ("To", to), ("Call-ID", self.id), ("CSeq", f"{cseq} {method}"),
                   ("Contact", f"<sip:{self.phone.number}@{self.phone.address}>"), ALLOW, *more]
        self.phone.send(build(f"{method} {self.target} SIP/2.0", headers, body))

    def _invite(self, *more: tuple[str, str], direction: str = "sendrecv") -> int:
        self.cseq += 1
        self.branch = branch()
        self._send("INVITE", self.cseq, self.branch, *more, body=self._sdp(direction))
        return self.cseq

    def request(self, method: str, *more: tuple[str, str], body: str = "", timeout: float = 5) -> Message:
        """A request within the call; returns its final response."""
        self.cseq += 1
        number = self.cseq
        self.answers[number] = queue.Queue()
        self._send(method, number, branch(), *more, body=body)
        return self._final(number, method, timeout)

    def _final(self, number: int, method: str, timeout: float) -> Message:
        try:
            answer = self.answers[number].get(timeout=timeout)
        except queue.Empty:
            raise PhoneError(f"{self}: no answer to {method}") from None
        if answer.status >= 300:
            raise PhoneError(f"{self}: {method} got {answer.first}")
        return answer

    def _reinvite(self, direction: str) -> None:
        self.answers[self.cseq + 1] = queue.Queue()
        self._final(self._invite(direction=direction), "INVITE", 5)
        self.audio.muted = direction != "sendrecv"

    def _refer(self, target: str) -> None:
        self.request("REFER", ("Refer-To", target), ("Referred-By", f"<sip:{self.phone.number}@{self.phone.server[0]}>"))

    def _reply(self, code: int, *, media: bool = False, contact: str = "") -> None:
        if self.invite is None:
            raise PhoneError(f"{self}: nothing to answer")
        self.phone.reply(self.invite, code, self.tag, contact=contact, body=self._sdp() if media else "")

    def on_response(self, message: Message) -> None:
        status, method = message.status, message.method
        if status < 200:
            if method == "INVITE":
                self.remote_tag = message.tag("to") or self.remote_tag
                if status in (180, 183):
                    self._enter("ringing")
            return
        if method == "INVITE" and message.cseq == self.cseq:
            self._on_invite_final(message, status)
        if message.cseq in self.answers and method != "CANCEL":
            self.answers[message.cseq].put(message)

    def _on_invite_final(self, message: Message, status: int) -> None:
        if status >= 300:
            first_tag, self.remote_tag = self.remote_tag, message.tag("to")
            self._send("ACK", message.cseq, self.branch)
            self.remote_tag = first_tag
            if status == 401 and self.state == "new":
                self.remote_tag = ""
                self._invite(("Authorization", authorization(message.get("www-authenticate"), "INVITE", self.target,
                                                             self.phone.number, self.phone.password)))
            elif self.state != "answered":
                self._enter("ended", status)
            return
        self.remote_tag = message.tag("to")
        self.target = message.uri("contact") or self.target
        self._send("ACK", message.cseq, branch())
        if media := message.media():
            self.audio.start(media)
        self._enter("answered", status)
        if self.cancelled:  # the answer was quicker than the CANCEL
            self.hung_up_by_me = True
            self.cseq += 1
            self._send("BYE", self.cseq, branch())
            self._enter("ended")

    def on_request(self, message: Message) -> None:
        method = message.method
        if method == "ACK":
            if self.invite and self.state == "answered" and (media := self.invite.media()):
                self.audio.start(media)
        elif method == "CANCEL":
            self.phone.reply(message, 200, self.tag)
            if self.state in ("new", "ringing"):
                self._reply(487)
                self._enter("ended", 487)
        elif method == "INVITE":
            self.target = message.uri("contact") or self.target
            self.phone.reply(message, 200, body=self._sdp())
            if media := message.media():
                self.audio.start(media)
        else:
            self.phone.reply(message, 200)
            if method == "BYE":
                self._enter("ended")


class Phone:
    """A telephone with one line, that takes any number of calls."""

    def __init__(self, number: str, ip: str, server: tuple[str, int], password: str = "", name: str = "") -> None:
        self.number, self.ip, self.server = number, ip, server
        self.name = name or number
        self.password = password or f"sip-{number}"
        self.address = f"{ip}:5060"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 5060))
        self.changed = threading.Condition()
        self.calls: dict[str, Call] = {}
        self.ringing: queue.Queue[Call] = queue.Queue()
        self.refuses = 0  # a status: how the phone answers every call by itself
        self.forward = ""  # the number for 302
        self.replies: queue.Queue[Message] = queue.Queue()
        self.closed = False
        self.reader = threading.Thread(target=self._run, name=f"phone {number}", daemon=True)
        self.reader.start()

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):
            self.socket.sendto(b"", (self.ip, 5060))  # wakes the reader
        self.reader.join(2)
        self.socket.close()
        for call in self.calls.values():
            call.audio.close()

    def rest(self) -> None:
        """Forget calls and special behaviour."""
        self.refuses, self.forward = 0, ""
        for call in self.calls.values():
            call.audio.close()
        self.calls.clear()
        self.ringing = queue.Queue()

    # -- what the person does --------------------------------------------------
    def dial(self, number: str) -> Call:
        call = Call(self, number)
        self.calls[call.id] = call
        call._invite()
        return call

    def incoming(self, timeout: float = 15) -> Call:
        """The next call that rings here."""
        try:
            return self.ringing.get(timeout=timeout)
        except queue.Empty:
            raise PhoneError(f"{self.number}: no call came in {timeout} s") from None

    def register(self, expires: int = 3600) -> None:
        """Register, or with 0 take it back."""
        uri = f"sip:{self.server[0]}:{self.server[1]}"
        me = f"<sip:{self.number}@{self.server[0]}>"
        call_id, more, cseq = secrets.token_hex(12), [], 0
        while True:
            cseq += 1
            self.send(build(f"REGISTER {uri} SIP/2.0", [
                ("Via", f"SIP/2.0/UDP {self.address};branch={branch()}"), ("Max-Forwards", "70"),
                ("From", f"{me};tag={secrets.token_hex(4)}"), ("To", me), ("Call-ID", call_id),
                ("CSeq", f"{cseq} REGISTER"), ("Contact", f"<sip:{self.number}@{self.address}>;expires={expires}"),
                ("Expires", str(expires)), ("User-Agent", f"test phone {self.number}"), *more]))
            try:
                answer = self.replies.get(timeout=5)
            except queue.Empty:
                raise PhoneError(f"{self.number}: no answer to REGISTER") from None
            if answer.status == 401 and not more:
                more = [("Authorization", authorization(answer.get("www-authenticate"), "REGISTER", uri,
                                                        self.number, self.password))]
            elif answer.status == 200:
                return
            else:
                raise PhoneError(f"{self.number}: REGISTER got {answer.first}")

    # -- messages ----------------------------------------------------------------
    def send(self, data: bytes) -> None:
        self.socket.sendto(data, self.server)

    def reply(self, request: Message, code: int, tag: str = "", *, contact: str = "", body: str = "") -> None:
        to = request.get("to")
        if tag and ";tag=" not in to:
            to += f";tag={tag}"
        headers = [("Via", via) for via in request.all("via")] + [
            ("From", request.get("from")), ("To", to), ("Call-ID", request.get("call-id")), ("CSeq", request.get("cseq")),
            ("Contact", contact or f"<sip:{self.number}@{self.address}>"), ALLOW]
        self.send(build(f"SIP/2.0 {code} {REASONS.get(code, 'Something')}", headers, body))

    def _run(self) -> None:
        while not self.closed:
            try:
                data = self.socket.recv(65536)
            except OSError:
                continue
            if data.strip():
                self._handle(Message.parse(data))

    def _handle(self, message: Message) -> None:
        call = self.calls.get(message.get("call-id"))
        if message.status:
            if call:
                call.on_response(message)
            elif message.method == "REGISTER" and message.status >= 200:
                self.replies.put(message)
        elif call:
            if message.method == "INVITE" and call.invite and call.invite.cseq == message.cseq:
                return  # repeated
            call.on_request(message)
        elif message.method == "INVITE":
            call = Call(self, message.user("from"), message)
            self.calls[call.id] = call
            if self.forward:
                call.refuse(302, contact=f"<sip:{self.forward}@{self.server[0]}:{self.server[1]}>")
            elif self.refuses:
                call.refuse(self.refuses)
            else:
                call._reply(180)
                call._enter("ringing")
                self.ringing.put(call)
        elif message.method != "ACK":
            self.reply(message, 200, secrets.token_hex(4))
