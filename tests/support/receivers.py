"""Receivers of webhooks: real HTTP servers on loopback, kind and otherwise."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came. statuses: to answer with, the last one again and again. manner: `plain`, `slow` or `endless`."""

    port: int = 0
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=lambda: [204])
    manner: str = "plain"
    location: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        found = self.receiver
        found.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if found.manner == "slow":
            with contextlib.suppress(OSError):
                for byte in b"HTTP/1.1 200 OK\r\nx: " + b"y" * 10_000:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
            return
        status = found.statuses.pop(0) if len(found.statuses) > 1 else found.statuses[0]
        self.send_response(status)
        if found.location:
            self.send_header("location", found.location)
        self.end_headers()
        with contextlib.suppress(OSError):
            while found.manner == "endless":
                self.wfile.write(b"x" * 65_536)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A hub that had enough, or did not like the certificate."""


@contextlib.contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver; with `tls` it speaks that."""
    found = Receiver()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"receiver": found}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield found
    finally:
        found.manner = "plain"
        server.shutdown()
        thread.join()
        server.server_close()
