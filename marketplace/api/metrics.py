"""`/metrics` and `/ready` of an HTTP service, and the count of what it answered.

Covered: requests by method, route and status, the seconds until an answer began, open streams; a path that is no route
counts as `none`, so strangers cannot make labels.
Not covered: who reads them. They hold nobody's data; a proxy may keep them to the operator.
"""

from __future__ import annotations

import time

from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marketplace.errors import UnavailableError
from marketplace.readings import CONTENT_TYPE, Watch, exposition, registry_of

_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"})
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


def add_operations(app: FastAPI, watch: Watch) -> None:
    """Mounts both routes, and counts from now on. Call it after other middleware: what that refuses counts too."""
    registry = registry_of(watch)
    app.add_middleware(Counted, registry=registry)

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        """The service's figures for Prometheus."""
        return Response(exposition(registry), media_type=CONTENT_TYPE)

    @app.get("/ready", include_in_schema=False)
    def ready() -> dict[str, str]:
        """Whether requests are answered well now; 503 with the reasons where they are not."""
        if obstacles := watch.obstacles():
            raise UnavailableError(
                "the service is not ready", got="; ".join(obstacles), do="Ask again later."
            )
        return {"status": "ready"}


class Counted:
    """Counts requests and the time until their answers begin."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "steelyard_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "steelyard_request_seconds",
            "Until the answer began.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._streams = Gauge("steelyard_streams", "Streams of events that are open.", registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, streaming = time.perf_counter(), False

        async def counting(message: Message) -> None:
            nonlocal streaming
            if message["type"] == "http.response.start":
                self._count(scope, message["status"], time.perf_counter() - started)
                streaming = _is_stream(message)
                self._streams.inc(streaming)
            await send(message)

        try:
            await self._app(scope, receive, counting)
        finally:
            self._streams.dec(streaming)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "none")
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)


def _is_stream(message: Message) -> bool:
    types = (value for name, value in message.get("headers", ()) if name == b"content-type")
    return any(value.startswith(b"text/event-stream") for value in types)
