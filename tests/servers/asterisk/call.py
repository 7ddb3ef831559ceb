"""A call as one phone sees it (see phone.py)."""

import contextlib
import queue
import secrets
import time
from typing import TYPE_CHECKING, Literal

from tests.servers.waiting import DEADLINE

from .media import Audio
from .sip import Message, authorization, branch, build, sdp

if TYPE_CHECKING:
    from .phone import Phone

State = Literal["new", "ringing", "answered", "ended"]
STATES: tuple[State, ...] = ("new", "ringing", "answered", "ended")
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
    def wait(self, state: State, timeout: float = DEADLINE) -> "Call":
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
        if self.state == "answered":
            self.request("BYE")
            self._enter("ended")
        elif self.state != "ended" and self.outgoing:
            self.cancel()
            self.wait("ended")
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
        to = self.theirs + (
            f";tag={self.remote_tag}" if self.remote_tag and ";tag=" not in self.theirs else ""
        )
        headers = [
            ("Via", f"SIP/2.0/UDP {self.phone.address};branch={via}"),
            ("Max-Forwards", "70"),
            ("From", self.mine),
            ("To", to),
            ("Call-ID", self.id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:{self.phone.number}@{self.phone.address}>"),
            ALLOW,
            *more,
        ]
        self.phone.send(build(f"{method} {self.target} SIP/2.0", headers, body))

    def _invite(self, *more: tuple[str, str], direction: str = "sendrecv") -> int:
        self.cseq += 1
        self.branch = branch()
        self._send("INVITE", self.cseq, self.branch, *more, body=self._sdp(direction))
        return self.cseq

    def request(self, method: str, *more: tuple[str, str], body: str = "") -> Message:
        """A request within the call; returns its final response."""
        self.cseq += 1
        number = self.cseq
        self.answers[number] = queue.Queue()
        self._send(method, number, branch(), *more, body=body)
        return self._final(number, method)

    def _final(self, number: int, method: str) -> Message:
        try:
            answer = self.answers[number].get(timeout=DEADLINE)
        except queue.Empty:
            raise PhoneError(f"{self}: no answer to {method}") from None
        if answer.status >= 300:
            raise PhoneError(f"{self}: {method} got {answer.first}")
        return answer

    def _reinvite(self, direction: str) -> None:
        self.answers[self.cseq + 1] = queue.Queue()
        self._final(self._invite(direction=direction), "INVITE")
        self.audio.muted = direction != "sendrecv"

    def _refer(self, target: str) -> None:
        self.request(
            "REFER",
            ("Refer-To", target),
            ("Referred-By", f"<sip:{self.phone.number}@{self.phone.server[0]}>"),
        )

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
                self._invite(
                    (
                        "Authorization",
                        authorization(
                            message.get("www-authenticate"),
                            "INVITE",
                            self.target,
                            self.phone.number,
                            self.phone.password,
                        ),
                    )
                )
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
