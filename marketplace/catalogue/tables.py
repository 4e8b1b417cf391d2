"""The rows that a fold touches, and what its steps share. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from functools import singledispatch
from typing import Any, TypeVar

from marketplace.catalogue.rows import Announcement, Asset, Grant, Job, Participant, Row, taking
from marketplace.core.events import Event
from marketplace.core.job import State

R = TypeVar("R", bound=Row)
Key = tuple[object, ...]
Load = Callable[[type[Any], Key], Any]

ACCOUNTS = ("account", "buyer", "provider", "judge")
"""Fields, of events and rows, that name a participant."""


def nothing(row: type[Any], key: Key) -> None:
    """A `Load` for a fold that begins with empty tables."""


class Tables:
    """The rows that a fold has touched; any other is asked of `load` once."""

    def __init__(self, load: Load = nothing) -> None:
        self._load = load
        self._rows: dict[type[Row], dict[Key, Row | None]] = {}
        self._changed: dict[type[Row], set[Key]] = {}

    def get(self, row: type[R], *key: object) -> R | None:
        known = self._rows.setdefault(row, {})
        if key not in known:
            known[key] = self._load(row, key)
        return known[key]  # type: ignore[return-value]  # rows are kept under their own type

    def put(self, row: Row) -> None:
        kind, key = type(row), row.key()
        self._rows.setdefault(kind, {})[key] = row
        self._changed.setdefault(kind, set()).add(key)

    def unknown(self, row: type[Row], keys: Iterable[Key]) -> list[Key]:
        """The keys whose rows nobody has asked for yet."""
        known = self._rows.get(row, {})
        return [key for key in keys if key not in known]

    def know(self, row: type[R], keys: Iterable[Key], rows: Iterable[R]) -> None:
        """Takes the rows under these keys, as far as there are any, so that `load` is not asked."""
        known = self._rows.setdefault(row, {})
        known.update(dict.fromkeys(keys))
        known.update((found.key(), found) for found in rows)

    def changed(self) -> dict[type[Row], list[Row]]:
        """The rows to write, by type."""
        return {
            kind: [row for key in keys if (row := self._rows[kind][key]) is not None]
            for kind, keys in self._changed.items()
        }


def named_by(things: Iterable[object]) -> dict[type[Row], set[Key]]:
    """Keys of the rows that a fold of these events may ask for: whatever has the fields of a key names that row."""
    found: dict[type[Row], set[Key]] = {}
    for thing in things:
        kind = type(thing)
        if kind not in _naming:
            _naming[kind] = _ways_to_name(kind)
        for row, take in _naming[kind]:
            found.setdefault(row, set()).add(take(thing))
    return found


_naming: dict[type[object], list[tuple[type[Row], Callable[[object], Key]]]] = {}


def _ways_to_name(kind: type[Any]) -> list[tuple[type[Row], Callable[[object], Key]]]:
    names = {field.name for field in fields(kind)}
    loaded: tuple[type[Row], ...] = (Asset, Announcement, Grant, Job)
    keys = [(row, row.KEY) for row in loaded if names.issuperset(row.KEY)]
    keys += [(Participant, (name,)) for name in ACCOUNTS if name in names]
    return [(row, taking(key)) for row, key in keys]


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
