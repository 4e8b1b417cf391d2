"""The hub's own file: `<home>/hub-accounts.db`, SQLite, readable by its owner alone."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marketplace.errors import UnavailableError

VERSION = 1
"""Of the tables. This file is no cache: one of another version is left alone."""

_TABLES = """
create table meta (name text primary key, value blob not null) strict;
create table session (
    token blob primary key, account text not null, expires_at integer not null
) strict;
create index session_by_account on session (account, expires_at);
create table webhook (
    id text primary key, account text not null, url text not null, events text not null, assets text not null,
    job text, secret text not null, state text not null, reason text, created_at integer not null
) strict;
create index webhook_by_account on webhook (account);
create table delivery (
    number integer primary key autoincrement, id text not null unique,
    webhook text not null references webhook (id) on delete cascade,
    type text not null, event text, body blob not null, state text not null, attempts integer not null,
    next_at real, status integer, error text, created_at integer not null
) strict;
create view sent as select
    number, id, webhook, type, event, state, attempts, cast(next_at as integer) as next_at, status, error, created_at
    from delivery;
create index delivery_by_webhook on delivery (webhook, number);
create index delivery_by_event on delivery (event);
create index delivery_due on delivery (next_at) where state = 'pending';
create table seen (block integer, log_index integer, hash blob not null, primary key (block, log_index)) strict;
create table undone (
    number integer primary key autoincrement, batch integer not null, id text not null, block integer not null,
    log_index integer not null, base text
) strict;
create index undone_by_id on undone (id);
create index undone_by_batch on undone (batch);
"""


class AccountsDatabase:
    """One connection, one transaction at a time. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Opens or creates it. Raises UnavailableError where it does not open, or is of another version."""
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Before SQLite makes it with the usual rights; its journal takes after the file.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            path.chmod(0o600)
            self._connection = sqlite3.connect(
                path, timeout=30, check_same_thread=False, isolation_level=None
            )
            self._connection.execute("pragma journal_mode=wal")
            self._connection.execute("pragma foreign_keys=on")
            found = self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise UnavailableError(
                "the hub's own database does not open",
                got=f"{path.name}: {getattr(error, 'strerror', None) or error}",
                expected="an SQLite file that this user may write",
                do="Restore it from a backup, or move it away: then everybody signs in and registers webhooks anew.",
            ) from error
        if found != VERSION:
            self._connection.close()
            raise UnavailableError(
                f"{path.name} is of another version",
                got=found,
                expected=VERSION,
                do="Run the hub that wrote it, or move the file away.",
            )

    def _prepare(self) -> int:
        with self.transaction() as connection:
            found: int = connection.execute("pragma user_version").fetchone()[0]
            if found:
                return found
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"pragma user_version={VERSION}")
            return VERSION

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on disk when it ends. Raises UnavailableError where the file cannot be written."""
        with self._lock:
            try:
                self._connection.execute("begin immediate")
                try:
                    yield self._connection
                except BaseException:
                    self._connection.execute("rollback")
                    raise
                self._connection.execute("commit")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise UnavailableError("the hub's own database did not answer", got=error) from error

    def close(self) -> None:
        with self._lock:
            self._connection.close()
