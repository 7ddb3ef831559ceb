"""What each path answers, from the picture of this moment. Part of the service; no gevent, no socket."""

from __future__ import annotations

from daemon.console.commands.calls import call_data
from daemon.console.commands.queue import FOLDERS, MOST, request_data
from daemon.console.render import shown
from daemon.console.views import CallRow
from daemon.snapshot import Problem, Snapshot, health
from daemon.web.metrics import CONTENT_TYPE, Metrics
from daemon.web.routing import App, Request, Response, Route, as_json, failure
from daemon.web.sources import Sources

_FILTERS = ("client", "server")


def application(sources: Sources, *more: Route) -> App:
    """Everything that can be asked for by HTTP, and what others add."""
    return App((*Pages(sources).routes(), *more))


def readiness(snapshot: Snapshot, started: bool) -> tuple[Problem, ...]:
    """Why this daemon can't do its work now; empty when it can.

    Its work is to hear of calls and to keep what it heard: one connected
    Asterisk (of those configured) and an outbox that stores. A broker that is
    away is no reason: the outbox is there for that.
    """
    problems = []
    if not started:
        problems.append(Problem("daemon", "is still starting"))
    problems += [
        Problem(f"service {service.name}", f"is in state {service.state}")
        for service in snapshot.services
        if service.state in ("backoff", "fatal")
        and (service.name == "outbox" or service.name.startswith("monitor-"))
    ]
    problems += [notice for notice in snapshot.notices if notice.part == "outbox"]
    if snapshot.asterisk and not any(asterisk.connected for asterisk in snapshot.asterisk):
        problems.append(Problem("asterisk", f"none of {len(snapshot.asterisk)} is connected"))
    return tuple(problems)


class Pages:
    """The handlers, over what the root provides."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._metrics = Metrics(sources)

    def routes(self) -> tuple[Route, ...]:
        """The table, in the order in which it is listed."""
        return (
            Route("/health", "200, or 503 with what is wrong", self.health),
            Route("/ready", "200 if it hears and keeps calls, else 503 with why not", self.ready),
            Route("/master", "200 if this node is master, else 503", self.master),
            Route("/slave", "200 if this node is slave, else 503", self.slave),
            Route("/metrics", "for Prometheus", self.metrics),
            Route("/api/status", "the whole picture, as the console's status", self.status),
            Route("/api/calls", "running calls; ?client= and ?server= choose", self.calls),
            Route("/api/queue", "requests; ?folder= chooses one", self.queue),
        )

    def health(self, _request: Request) -> Response:
        """What is wrong, in the form of the console's `health`."""
        return _verdict(health(self._sources.snapshot()))

    def ready(self, _request: Request) -> Response:
        """Whether it does its work."""
        return _verdict(readiness(self._sources.snapshot(), self._sources.started()))

    def master(self, _request: Request) -> Response:
        """For load balancers."""
        return self._role("master")

    def slave(self, _request: Request) -> Response:
        """For load balancers."""
        return self._role("slave")

    def metrics(self, _request: Request) -> Response:
        """Prometheus' text format."""
        return Response(200, self._metrics.text(), CONTENT_TYPE)

    def status(self, _request: Request) -> Response:
        """The console's `status`."""
        return as_json(200, shown(self._sources.snapshot().as_dict()))

    def calls(self, request: Request) -> Response:
        """The console's `calls`, filtered; a filter given twice lets both values through."""
        unknown = sorted(set(request.query) - set(_FILTERS))
        if unknown:
            return failure(
                400, "usage", f"{', '.join(unknown)}: calls are chosen by {' and '.join(_FILTERS)}"
            )
        rows = [row for row in self._sources.calls() if _chosen(row, request)]
        return as_json(
            200, {"count": len(rows), "calls": [call_data(row, self._sources.timezone) for row in rows]}
        )

    def queue(self, request: Request) -> Response:
        """The console's `queue`: counts, and the requests of all folders or of one."""
        asked = request.query.get("folder", [])
        if set(request.query) - {"folder"} or len(asked) > 1 or set(asked) - set(FOLDERS):
            return failure(400, "usage", f"requests are chosen by folder={', '.join(FOLDERS)}")
        now = self._sources.snapshot().queue
        if now is None or self._sources.requests is None:
            return failure(404, "not-found", "no queue runs on this node")
        rows = self._sources.requests(asked[0] if asked else None, MOST)
        data = {folder: getattr(now, folder) for folder in FOLDERS}
        return as_json(200, {**data, "requests": [request_data(row, self._sources.timezone) for row in rows]})

    def _role(self, wanted: str) -> Response:
        now = self._sources.snapshot()
        master = now.ha.master if now.ha is not None else None
        data = {"node": now.node, "role": now.role, "epoch": now.epoch, "master": master}
        return as_json(200 if now.role == wanted else 503, data)


def _chosen(row: CallRow, request: Request) -> bool:
    clients, servers = request.query.get("client"), request.query.get("server")
    return (clients is None or row.client in clients) and (servers is None or row.server in servers)


def _verdict(problems: tuple[Problem, ...]) -> Response:
    wrong = [{"part": problem.part, "message": problem.message} for problem in problems]
    return as_json(503 if wrong else 200, shown({"ok": not wrong, "problems": wrong}))
