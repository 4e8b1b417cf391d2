"""The rows that a fold touches, and what its steps share. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import singledispatch
from typing import Any, TypeVar

from marketplace.catalogue.rows import Job, Participant, Row
from marketplace.core.events import Event
from marketplace.core.job import State

R = TypeVar("R", bound=Row)
Load = Callable[[type[Any], tuple[object, ...]], Any]


def nothing(row: type[Any], key: tuple[object, ...]) -> None:
    """A `Load` for a fold that begins with empty tables."""


class Tables:
    """The rows that a fold has touched; any other is asked of `load` once."""

    def __init__(self, load: Load = nothing) -> None:
        self._load = load
        self._rows: dict[type[Row], dict[tuple[object, ...], Row | None]] = {}
        self._changed: dict[type[Row], set[tuple[object, ...]]] = {}

    def get(self, row: type[R], *key: object) -> R | None:
        known = self._rows.setdefault(row, {})
        if key not in known:
            known[key] = self._load(row, key)
        return known[key]  # type: ignore[return-value]  # rows are kept under their own type

    def put(self, row: Row) -> None:
        self._rows.setdefault(type(row), {})[row.key()] = row
        self._changed.setdefault(type(row), set()).add(row.key())

    def changed(self) -> dict[type[Row], list[Row]]:
        """The rows to write, by type."""
        return {
            kind: [row for key in keys if (row := self._rows[kind][key]) is not None]
            for kind, keys in self._changed.items()
        }


@singledispatch
def apply(event: Event, tables: Tables) -> None:
    """One event's changes; approvals change no row, their nodes read them from the chain."""


def end(
    tables: Tables,
    job_id: bytes,
    state: State,
    *,
    to_provider: int = 0,
    to_buyer: int = 0,
    note: bytes | None = None,
) -> None:
    job = tables.get(Job, job_id)
    if job is None:
        return
    tables.put(
        replace(
            job,
            state=state.value,
            price=0,
            note=job.note if note is None else note,
            credited_provider=job.credited_provider + to_provider,
            credited_buyer=job.credited_buyer + to_buyer,
        )
    )
    add(tables, job.provider, earned=to_provider)
    add(tables, job.buyer, refunded=to_buyer)


def add(tables: Tables, account: str, **amounts: int) -> None:
    row = tables.get(Participant, account) or Participant(account, 0, 0, 0, 0, 0, 0)
    tables.put(replace(row, **{name: getattr(row, name) + amount for name, amount in amounts.items()}))
