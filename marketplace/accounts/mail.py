"""Messages to webhooks: written in the step in which the event was seen, kept until they arrive or a day has passed."""

from __future__ import annotations

import random
import secrets
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from marketplace.accounts.database import AccountsDatabase
from marketplace.accounts.webhooks import disable, enable

FIRST_RETRY = 5.0
LAST_RETRY = 4 * 3600.0
"""Seconds until a message is tried again: tripling from the first to the last, each 20 % more or less by chance."""

GIVE_UP = 24 * 3600
"""Seconds after which an undelivered message disables its webhook."""

MAX_PENDING = 1_000
"""Messages that may wait for one webhook; more disable it."""

KEPT = 7 * 24 * 3600
"""Seconds for which messages stay after they were made."""

GONE = 410
"""The receiver's own way to end a webhook."""


@dataclass(frozen=True)
class Letter:
    """A message that is not made yet. event: the event's id, or None for a test."""

    webhook: str
    type: str
    event: str | None
    body: bytes


@dataclass(frozen=True)
class Due:
    """A message whose time has come."""

    number: int
    id: str
    webhook: str
    url: str
    secret: str = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Sent:
    """What became of a message so far."""

    number: int
    id: str
    webhook: str
    type: str
    event: str | None
    state: str
    attempts: int
    next_at: int | None
    status: int | None
    error: str | None
    created_at: int


def post(connection: sqlite3.Connection, letters: Iterable[Letter], *, now: float) -> list[str]:
    """Queues letters, in the caller's transaction; returns their ids. One for a webhook that is gone is dropped."""
    made, hooks = [], set()
    for letter in letters:
        id = f"msg_{secrets.token_hex(16)}"
        connection.execute(
            "insert into delivery (id, webhook, type, event, body, state, attempts, next_at, created_at)"
            " select ?, ?, ?, ?, ?, 'pending', 0, ?, ? where exists (select 1 from webhook where id = ?)",
            (id, letter.webhook, letter.type, letter.event, letter.body, now, int(now), letter.webhook),
        )
        made.append(id)
        hooks.add(letter.webhook)
    for hook in hooks:
        waiting = connection.execute(
            "select count(*) from delivery where webhook = ? and state = 'pending'", (hook,)
        ).fetchone()[0]
        if waiting > MAX_PENDING:
            disable(connection, hook, f"more than {MAX_PENDING} messages were waiting")
    return made


def told(connection: sqlite3.Connection, event: str) -> list[str]:
    """Webhooks that were sent an event's message and not yet its reversal."""
    found = connection.execute(
        "select webhook, sum(case type when 'event.reversed' then -1 else 1 end) as told from delivery"
        " where event = ? group by webhook having told > 0",
        (event,),
    )
    return [webhook for webhook, _ in found]


class Mail:
    """The messages in the hub's own file."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database

    def post(self, letter: Letter, *, now: float) -> Sent:
        """Queues one letter, and says what became of it: that it waits."""
        with self._database.transaction() as connection:
            (id,) = post(connection, [letter], now=now)
            row = connection.execute("select * from sent where id = ?", (id,)).fetchone()
        return Sent(*row)

    def due(self, *, now: float, busy: Collection[str], most: int) -> list[Due]:
        """At most `most` messages whose time has come, one for each webhook that is not busy; longest due first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "select number, delivery.id, webhook, url, secret, body from delivery join webhook"
                " on webhook.id = webhook where number in (select min(number) from delivery"
                " where delivery.state = 'pending' and next_at <= ? group by webhook)"
                " order by next_at, number limit ?",
                (now, most + len(busy)),
            ).fetchall()
        return [Due(*row) for row in rows if row[2] not in busy][:most]

    def arrived(self, due: Due, status: int) -> None:
        """status: 2xx. A webhook that was disabled and answers a test is active again."""
        with self._database.transaction() as connection:
            connection.execute(
                "update delivery set state = 'delivered', attempts = attempts + 1, next_at = null, status = ?,"
                " error = null where number = ?",
                (status, due.number),
            )
            enable(connection, due.webhook)

    def failed(self, due: Due, status: int | None, error: str, *, now: float) -> None:
        """Tries again later, or gives the webhook up."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "update delivery set attempts = attempts + 1, status = ?, error = ? where number = ?"
                " returning attempts, created_at, type",
                (status, error[:300], due.number),
            ).fetchone()
            if row is None:
                return  # its webhook was deleted meanwhile
            attempts, created_at, kind = row
            if status == GONE:
                disable(connection, due.webhook, "it answered 410 Gone")
            elif now - created_at > GIVE_UP:
                disable(connection, due.webhook, f"no message arrived for a day: {error[:200]}")
            elif kind == "webhook.test":
                self._end(connection, due)
            else:
                wait = min(FIRST_RETRY * 3 ** (attempts - 1), LAST_RETRY) * random.uniform(0.8, 1.2)  # noqa: S311
                connection.execute(
                    "update delivery set next_at = ? where number = ?", (now + wait, due.number)
                )

    @staticmethod
    def _end(connection: sqlite3.Connection, due: Due) -> None:
        connection.execute(
            "update delivery set state = 'failed', next_at = null where number = ?", (due.number,)
        )

    def of(self, webhook: str, *, after: int | None, limit: int) -> list[Sent]:
        """A webhook's messages, newest first. after: the number of the last one shown."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "select * from sent where webhook = ? and number < ? order by number desc limit ?",
                (webhook, after if after is not None else 2**62, limit),
            ).fetchall()
        return [Sent(*row) for row in rows]

    def forget_old(self, *, now: float) -> None:
        """Drops messages that were made longer ago than KEPT."""
        with self._database.transaction() as connection:
            connection.execute(
                "delete from delivery where created_at < ? and state <> 'pending'", (int(now) - KEPT,)
            )
