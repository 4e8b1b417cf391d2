"""Registered webhooks: whose, where to, and about what."""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from marketplace.accounts.database import AccountsDatabase
from marketplace.errors import NotFoundError, RefusedError
from marketplace.webhooks import new_secret

MAX_PER_ACCOUNT = 10
MAX_IN_ALL = 10_000


@dataclass(frozen=True)
class Webhook:
    """events: topics. assets: token ids, none for all that concern the account. job: 0x-hex, or None for all.

    state: `active` or `disabled`, with the reason. created_at: Unix seconds.
    """

    id: str
    account: str
    url: str
    events: tuple[str, ...]
    assets: tuple[int, ...]
    job: str | None
    secret: str = field(repr=False)
    state: str
    reason: str | None
    created_at: int


class Webhooks:
    """The webhooks in the hub's own file."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def add(
        self,
        account: str,
        url: str,
        events: tuple[str, ...],
        assets: tuple[int, ...],
        job: str | None,
        *,
        now: float,
    ) -> Webhook:
        """Raises RefusedError where the account has MAX_PER_ACCOUNT, or the hub MAX_IN_ALL."""
        secret = new_secret(secrets.token_bytes(32))
        made = Webhook(
            f"wh_{secrets.token_hex(16)}", account, url, events, assets, job, secret, "active", None, int(now)
        )
        with self._database.transaction() as connection:
            own, every = connection.execute(
                "select count(*) filter (where account = ?), count(*) from webhook", (account,)
            ).fetchone()
            for count, most, whose in (
                (own, MAX_PER_ACCOUNT, "this account"),
                (every, MAX_IN_ALL, "this hub"),
            ):
                if count >= most:
                    raise RefusedError(
                        f"{whose} has too many webhooks",
                        got=count,
                        expected=f"at most {most}",
                        do="Delete one.",
                    )
            connection.execute("insert into webhook values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _to_row(made))
        return made

    def of(self, account: str) -> list[Webhook]:
        """An account's webhooks, oldest first."""
        return self._select("select * from webhook where account = ? order by created_at, rowid", account)

    def active(self) -> list[Webhook]:
        """All that are not disabled."""
        return self._select("select * from webhook where state = 'active'")

    def get(self, account: str, webhook: str) -> Webhook:
        """Raises NotFoundError where this account has none of that id."""
        found = self._select("select * from webhook where account = ? and id = ?", account, webhook)
        if not found:
            raise _unknown(webhook)
        return found[0]

    def delete(self, account: str, webhook: str) -> None:
        """With all its mail. Raises as `get`."""
        with self._database.transaction() as connection:
            gone = connection.execute("delete from webhook where account = ? and id = ?", (account, webhook))
            if not gone.rowcount:
                raise _unknown(webhook)

    def _select(self, query: str, *values: str) -> list[Webhook]:
        with self._database.transaction() as connection:
            return [_from_row(row) for row in connection.execute(query, values)]


def disable(connection: sqlite3.Connection, webhook: str, reason: str) -> None:
    """No more is sent there, and what waits has failed."""
    connection.execute("update webhook set state = 'disabled', reason = ? where id = ?", (reason, webhook))
    connection.execute(
        "update delivery set state = 'failed', next_at = null where webhook = ? and state = 'pending'",
        (webhook,),
    )


def enable(connection: sqlite3.Connection, webhook: str) -> None:
    """It answers again."""
    connection.execute(
        "update webhook set state = 'active', reason = null where id = ? and state <> 'active'", (webhook,)
    )


def _unknown(webhook: str) -> NotFoundError:
    return NotFoundError("this account has no such webhook", got=webhook[:80], do="See GET /v1/webhooks.")


def _to_row(hook: Webhook) -> tuple[object, ...]:
    return (
        hook.id, hook.account, hook.url, " ".join(hook.events), json.dumps([str(asset) for asset in hook.assets]),
        hook.job, hook.secret, hook.state, hook.reason, hook.created_at,
    )  # fmt: skip


def _from_row(row: tuple[Any, ...]) -> Webhook:
    id, account, url, events, assets, *rest = row
    return Webhook(id, account, url, tuple(events.split()), tuple(map(int, json.loads(assets))), *rest)
