"""A gateway of its own for tests of stores: the real server, on loopback, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn

from marketplace.api.gateway import create_app

Serve = Callable[[Path], str]


@contextmanager
def _gateway(folder: Path) -> Iterator[str]:
    config = uvicorn.Config(
        create_app(folder), host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the gateway did not start")
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a gateway for a folder and gives its address; it ends with the test."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(_gateway(folder))
