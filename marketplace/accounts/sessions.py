"""Who is signed in: opaque tokens, of which only hashes are kept, bounded in time and number."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from marketplace.accounts.database import AccountsDatabase
from marketplace.errors import SignInError

SECONDS = 3_600
"""A session's life."""

MAX_PER_ACCOUNT = 8
"""Sessions of one account; the one that ends first gives way."""

PREFIX = "sya_"
"""Of a token, so that a secret scanner knows one."""


@dataclass(frozen=True)
class Session:
    """expires_at: Unix seconds."""

    account: str
    expires_at: int


class Sessions:
    """The sessions in the hub's own file."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def open(self, account: str, *, now: float) -> tuple[str, Session]:
        """A new token, and what it stands for. now: Unix seconds."""
        token = PREFIX + secrets.token_urlsafe(32)
        session = Session(account, int(now) + SECONDS)
        with self._database.transaction() as connection:
            connection.execute("delete from session where expires_at <= ?", (int(now),))
            connection.execute(
                "insert into session values (?, ?, ?)", (_hash(token), account, session.expires_at)
            )
            connection.execute(
                "delete from session where account = ? and token not in (select token from session"
                " where account = ? order by expires_at desc, rowid desc limit ?)",
                (account, account, MAX_PER_ACCOUNT),
            )
        return token, session

    def of(self, token: str, *, now: float) -> Session:
        """Raises SignInError for a token that stands for nobody, or no longer."""
        with self._database.transaction() as connection:
            found = connection.execute(
                "select account, expires_at from session where token = ? and expires_at > ?",
                (_hash(token), int(now)),
            ).fetchone()
        if found is None:
            raise SignInError(
                "nobody is signed in with this token", do="Sign in again: POST /v1/sign-in/nonce."
            )
        return Session(*found)

    def close(self, token: str) -> None:
        """The token stands for nobody from now on."""
        with self._database.transaction() as connection:
            connection.execute("delete from session where token = ?", (_hash(token),))


def _hash(token: str) -> bytes:
    # A token has 256 bits of its own, so a plain hash hides it well.
    return hashlib.sha256(token.encode()).digest()
