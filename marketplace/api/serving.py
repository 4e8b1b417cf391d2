"""Serving an application with uvicorn until a signal asks it to stop."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from marketplace.api.connections import MAX_HEAD, Connection
from marketplace.errors import UnavailableError

SECONDS_TO_FINISH = 3
"""What running answers get when the server stops."""

SECONDS_IDLE = 5
"""Between an answer and the first byte of the next request."""


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], stopping: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, which would skip the caller's cleaning up.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve_app(
    app: FastAPI,
    host: str,
    port: int,
    *,
    ready: Callable[[str], None],
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGINT or SIGTERM. port: 0 takes a free one.

    ready: called once with the URL, when requests are answered. stopping: called when the end begins, so that open
    streams can finish. Raises UnavailableError where the address cannot be had.
    """
    try:
        listener = socket.create_server((host, port), family=_family(host), backlog=512)
    except OSError as error:
        raise UnavailableError(
            "the address cannot be listened on",
            got=f"{host}:{port}: {error.strerror}",
            do="Stop what uses it, or choose another port.",
        ) from None
    with listener:
        # asyncio sets this only on sockets that name their protocol; without it small answers wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound = listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        server = _Server(configuration(app), lambda: ready(f"http://{shown}:{bound}"), stopping)
        server.run(sockets=[listener])


def configuration(app: FastAPI) -> uvicorn.Config:
    """How an application is served: HTTP/1.1 alone, every wait with an end."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        proxy_headers=False,  # whoever reaches the port could say to be anyone
        log_config=None,  # the process has one log: see `logs`
        log_level="error",  # a warning for each malformed request would let anyone fill the log
        access_log=False,
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_keep_alive=SECONDS_IDLE,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
        server_header=False,
    )


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
