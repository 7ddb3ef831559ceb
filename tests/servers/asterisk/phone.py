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

from tests.servers.waiting import DEADLINE

from .call import ALLOW, Call, PhoneError
from .sip import Message, authorization, branch, build

REASONS = {
    180: "Ringing",
    200: "OK",
    302: "Moved Temporarily",
    486: "Busy Here",
    487: "Request Terminated",
    480: "Temporarily Unavailable",
    603: "Decline",
}


class Phone:
    """A telephone with one line, that takes any number of calls."""

    def __init__(
        self, number: str, ip: str, server: tuple[str, int], password: str = "", name: str = ""
    ) -> None:
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

    def incoming(self, timeout: float = DEADLINE) -> Call:
        """The next call that rings here."""
        try:
            return self.ringing.get(timeout=timeout)
        except queue.Empty:
            raise PhoneError(f"{self.number}: no call came in {timeout} s") from None

    def register(self, expires: int = 3600) -> None:
        """Register, or with 0 take it back."""
        uri = f"sip:{self.server[0]}:{self.server[1]}"
        me = f"<sip:{self.number}@{self.server[0]}>"
        call_id, cseq = secrets.token_hex(12), 0
        more: list[tuple[str, str]] = []
        while True:
            cseq += 1
            self.send(
                build(
                    f"REGISTER {uri} SIP/2.0",
                    [
                        ("Via", f"SIP/2.0/UDP {self.address};branch={branch()}"),
                        ("Max-Forwards", "70"),
                        ("From", f"{me};tag={secrets.token_hex(4)}"),
                        ("To", me),
                        ("Call-ID", call_id),
                        ("CSeq", f"{cseq} REGISTER"),
                        ("Contact", f"<sip:{self.number}@{self.address}>;expires={expires}"),
                        ("Expires", str(expires)),
                        ("User-Agent", f"test phone {self.number}"),
                        *more,
                    ],
                )
            )
            try:
                answer = self.replies.get(timeout=DEADLINE)
            except queue.Empty:
                raise PhoneError(f"{self.number}: no answer to REGISTER") from None
            if answer.status == 401 and not more:
                more = [
                    (
                        "Authorization",
                        authorization(
                            answer.get("www-authenticate"), "REGISTER", uri, self.number, self.password
                        ),
                    )
                ]
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
            ("From", request.get("from")),
            ("To", to),
            ("Call-ID", request.get("call-id")),
            ("CSeq", request.get("cseq")),
            ("Contact", contact or f"<sip:{self.number}@{self.address}>"),
            ALLOW,
        ]
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
