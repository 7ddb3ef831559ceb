"""A session brought to life: its requests carried out, its answers on their way.

The same for the telnet server and the process's own terminal; only where the
bytes come from and go to differs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from daemon.console.outlet import Outlet
from daemon.console.registry import CommandError, Item, Registry, Result, SessionInfo
from daemon.console.session import AuthFailed, Request, Session
from daemon.errors import ArimonitorError, PermanentError

log = logging.getLogger("arimonitor.console")


class Dialogue:
    """Connects one session, the registry and an outlet.

    `pause(tries)` is called after a wrong password, before its answer goes out.
    """

    def __init__(
        self,
        registry: Registry,
        session: Session,
        outlet: Outlet,
        peer: str,
        pause: Callable[[int], None] = lambda _tries: None,
    ) -> None:
        self._registry = registry
        self._session = session
        self._outlet = outlet
        self._peer = peer
        self._pause = pause
        # A stream is pushed from the publisher's greenlet, answers come from ours.
        # It is never held while anything waits.
        self._lock = Lock()
        self._unsubscribe: Callable[[], None] | None = None
        self.commands = 0
        self.failures = 0

    @property
    def over(self) -> bool:
        """Nothing more will be answered."""
        return self._session.closing or self._outlet.broken

    def greet(self) -> None:
        """Speak first, if nobody has spoken yet."""
        with self._lock:
            self._session.greet()
            self._flush()

    def feed(self, data: bytes) -> None:
        """Take what arrived and carry out what it asks for. Waits for the reader after each answer."""
        with self._lock:
            self._session.feed(data)
        while not self._outlet.broken:
            with self._lock:
                request = self._session.next()
                if not isinstance(request, AuthFailed):
                    self._flush()
            self._end_stream_if_stopped()
            if request is None:
                break
            if isinstance(request, AuthFailed):
                log.warning("wrong manager password from %s, try %d", self._peer, request.tries)
                self._pause(request.tries)
                with self._lock:
                    self._flush()
            else:
                self._carry_out(request)
            if not self._session.following:
                self._outlet.drain()

    def end(self, message: str) -> None:
        """End it from our side, with a last line for people."""
        with self._lock:
            self._session.end(message)
            self._flush()
        self.close()

    def close(self) -> None:
        """Let go of what the session follows."""
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()

    def _carry_out(self, request: Request) -> None:
        self.commands += 1
        try:
            result = self._registry.run(request.words, SessionInfo(self._peer, request.json))
            with self._lock:
                self._session.answer(request, result)
                self._flush()
        except CommandError as error:
            self._fail(request, error)
        except PermanentError as error:
            self._fail(request, CommandError("refused", str(error)))
        except ArimonitorError as error:
            self._fail(request, CommandError("failed", str(error)))
        except Exception:
            log.exception("console command %s of %s failed", request.words[0], self._peer)
            self._fail(request, CommandError("failed", "the command failed; the log says why"))
        else:
            self._note(request)
            self._begin_stream(result)

    def _fail(self, request: Request, error: CommandError) -> None:
        self.failures += 1
        with self._lock:
            self._session.fail(request, error)
            self._flush()

    def _note(self, request: Request) -> None:
        """Log what changed something: its name and first argument only, since others may be secret."""
        command = self._registry.find(request.words[0])
        if command.mutating:
            log.info("console: %s by %s", " ".join((command.name, *request.words[1:2])), self._peer)

    def _begin_stream(self, result: Result) -> None:
        if result.stream is not None:
            self._unsubscribe = result.stream(self._push)

    def _end_stream_if_stopped(self) -> None:
        if self._unsubscribe is not None and not self._session.following:
            self.close()

    def _push(self, item: Item) -> None:
        with self._lock:
            self._session.push(item)
            if self._outlet.offer(self._session.take()):
                return
        log.warning("console session of %s reads too slowly: closed", self._peer)
        self.close()

    def _flush(self) -> None:
        self._outlet.put(self._session.take())
