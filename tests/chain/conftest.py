"""One running market for the tests of a module, and an endpoint that lies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from marketplace.chain.client import Chain
from tests.support.chain import RunningMarket, running_market

Tamper = Callable[[Any], Any]


@pytest.fixture(scope="module")
def market() -> Iterator[RunningMarket]:
    with running_market() as running:
        yield running


class LyingRpc:
    """An HTTP server before a real chain: it passes questions on and changes or refuses some answers."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.tampers: dict[str, Tamper] = {}
        self.refuses: Callable[[dict[str, Any]], bool] = lambda question: False
        self.raw: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.asked: list[str] = []
        self.url = ""


@pytest.fixture
def liar(market: RunningMarket) -> Iterator[LyingRpc]:
    with lying_rpc(market.embedded.url) as server:
        yield server


@pytest.fixture
def chain(market: RunningMarket, liar: LyingRpc) -> Iterator[Chain]:
    """A market seen through an endpoint that lies only later."""
    with Chain(liar.url, market.chain.deployment, confirmations=1, timeout=2, patience=5) as found:
        yield found


@contextmanager
def lying_rpc(upstream: str) -> Iterator[LyingRpc]:
    liar = LyingRpc(upstream)
    client = httpx.Client(verify=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # head and body in one packet: two would wait 40 ms for each other

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["content-length"])))
            liar.asked.append(question["method"])
            if liar.raw:
                self.close_connection = True
                liar.raw(self)
                return
            answer = client.post(liar.upstream, json=question).json()
            if liar.refuses(question):
                answer = {
                    "jsonrpc": "2.0",
                    "id": question["id"],
                    "error": {"code": -32005, "message": "too much"},
                }
            tamper = liar.tampers.get(question["method"])
            if tamper and "error" not in answer:
                answer["result"] = tamper(answer.get("result"))
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    liar.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield liar
    finally:
        server.shutdown()
        server.server_close()
        client.close()
        thread.join()
