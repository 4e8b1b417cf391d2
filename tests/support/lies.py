"""A server that answers each HTTP request with whatever a test says: lies, silence, no end."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = Callable[[socket.socket], None]


@contextmanager
def answering_server(answer: Answer) -> Iterator[str]:
    """A server that reads a request and then does what `answer` says."""

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65_536)
            while b"chunked" in received and not received.endswith(b"0\r\n\r\n"):
                received += connection.recv(65_536)  # an answer to half a question breaks the connection
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=5)


def says(head: str, body: bytes = b"") -> Answer:
    text = head.replace("LENGTH", str(len(body))).replace("\n", "\r\n")
    return lambda connection: connection.sendall(
        f"HTTP/1.1 {text}\r\nconnection: close\r\n\r\n".encode() + body
    )


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(bytes(65_536))


def endless_chunks(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + bytes(65_536) + b"\r\n")


def endless_error(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 500 Oh\r\n\r\n")
    while True:
        connection.sendall(bytes(65_536))


def endless_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x-more: " + b"a" * 60_000 + b"\r\n")


def silent(connection: socket.socket) -> None:
    time.sleep(3)


def dripping(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(100):
        connection.sendall(b".")
        time.sleep(0.1)
