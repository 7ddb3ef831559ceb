"""REST over the websocket on which Asterisk 22 sends its events.

    {"type": "RESTRequest", "request_id": ..., "method": ..., "uri": ...}   ->
    <-   {"type": "RESTResponse", "request_id": ..., "status_code": ..., "message_body": "..."}

Asterisk works on one request after the other, behind the events that it had
queued. An answer is an event to it: it needs the application to be known, and
passes its event filter (so `RESTResponse` is among the types that are asked for).
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from daemon.ari.breaker import Breaker
from daemon.ari.rest import AriCalls, AriSilent, AriUnavailable
from daemon.ari.wire import Disconnected

MARK: Final = b'"RESTResponse"'
"""In the first bytes of an answer, and hardly in any event's: `Exchange.deliver` tells them apart."""

Send = Callable[[str], None]
"""Sends one text message, from any thread. Raises Disconnected."""

Wait = Callable[[Callable[[], bool], float], None]
"""Returns when the condition holds or the deadline (time.monotonic) has passed."""


class _Pending:
    """One request that waits for its answer."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.answer: Mapping[str, Any] | None = None
        self.gone = ""  # why there will be no answer


class Exchange:
    """The requests under way on whatever connection there is; shared by all who ask."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.application = ""
        """The application that this websocket is for, as the answers name it."""
        self._ids = itertools.count(1)
        self._pending: dict[str, _Pending] = {}
        self._send: Send | None = None
        self._absence = "it has not connected yet"

    def attach(self, send: Send) -> None:
        """There is a connection: requests go out by `send`."""
        self._send = send
        self.application = ""

    def detach(self, reason: str) -> None:
        """The connection is gone: whoever waits is told."""
        self._send, self._absence = None, reason
        for pending in list(self._pending.values()):
            pending.gone = reason
            pending.over.set()

    def deliver(self, message: bytes) -> bool:
        """Give an answer to whoever waits for it; False: this is no answer, but an event."""
        try:
            answer = json.loads(message)
        except ValueError:
            return False
        if not isinstance(answer, dict) or answer.get("type") != "RESTResponse":
            return False
        self.application = str(answer.get("application") or "")
        pending = self._pending.get(str(answer.get("request_id")))
        if pending is not None:  # else too late: nobody waits any more
            pending.answer = answer
            pending.over.set()
        return True

    def ask(self, request: dict[str, str], deadline: float, wait: Wait | None) -> Mapping[str, Any] | None:
        """The answer, None when none came until `deadline`. Raises AriUnavailable: no connection.

        `wait` waits in place of a plain wait: the thread that reads the
        websocket has to go on reading.
        """
        number = f"{next(self._ids)}"
        pending = self._pending[number] = _Pending()
        try:
            send = self._send
            if send is None:
                raise AriUnavailable(f"{self.name} is not connected ({self._absence})")
            try:
                send(json.dumps({"type": "RESTRequest", "request_id": number, **request}))
            except Disconnected as gone:
                raise AriUnavailable(f"{self.name} cannot be asked: {gone.reason}") from gone
            if wait is None:
                pending.over.wait(max(0.0, deadline - time.monotonic()))
            else:
                wait(pending.over.is_set, deadline)
            if pending.answer is None and pending.gone:
                raise AriUnavailable(f"{self.name} is gone ({pending.gone}) before it answered")
            return pending.answer
        finally:
            del self._pending[number]


class SocketRest(AriCalls):
    """ARI's calls over the websocket, for whichever connection `exchange` has at that moment."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        timeout: float = 5.0,
        breaker: Breaker | None = None,
        wait: Wait | None = None,
    ) -> None:
        super().__init__(timeout, breaker)
        self._exchange = exchange
        self._wait = wait

    def _ask(self, method: str, target: str, body: bytes | None, deadline: float) -> tuple[int, bytes]:
        request = {"method": method, "uri": target.lstrip("/")}
        if body is not None:
            request |= {"content_type": "application/json", "message_body": body.decode()}
        answer = self._exchange.ask(request, deadline, self._wait)
        if answer is None:
            raise AriSilent(
                f"{self._where()} did not answer {method} {target} over its websocket within "
                f"{self.timeout:.0f} s"
            )
        status, said = answer.get("status_code"), answer.get("message_body")
        if not isinstance(status, int):
            raise AriUnavailable(f"{self._where()} answered {method} {target} without a status")
        return status, str(said or "").encode()

    def _where(self) -> str:
        return self._exchange.name

    def _explain(self, status: int, said: str) -> str:
        detail = f" ({said})" if said else ""
        match status:
            case 401:
                return f"{self._where()} refuses its own local_ari_user (401): see its ari.conf"
            case 403:
                return (
                    f"{self._where()} forbids it (403){detail}: set read_only = no for the local_ari_user "
                    f"of its ari.conf"
                )
            case _:
                return f"{self._where()} answered {status}{detail}"
