"""Random events over a few accounts, assets, offers and jobs, so that they often speak of the same things."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from hypothesis import strategies as st

from marketplace.catalogue.record import EVENTS
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.events import Event, Position
from marketplace.core.ids import Kind, asset_id
from marketplace.core.job import Receipt

ACCOUNTS = ["0x" + str(n) * 40 for n in range(1, 5)]
ASSETS = [
    asset_id(kind, ACCOUNTS[0], bytes([n]) * 32)
    for n, kind in enumerate((1, 1, 2, 3))
    for kind in [Kind(kind)]
]
DIGESTS = [bytes([n]) * 32 for n in range(1, 5)]
CONTRACTS = ["0x" + letter * 40 for letter in "ab"]

_BITS = {
    "uses": 16,
    "index": 16,
    "last_day": 16,
    "price": 48,
    "fee": 48,
    "refund": 48,
    "epoch": 32,
    "until": 40,
    "valid_until": 40,
    "leaves_at": 40,
    "penalty": 48,
    "from_staked": 48,
    "from_leaving": 48,
    "to_provider": 50,
    "to_buyer": 50,
    "isolation": 8,
}


def _receipts() -> st.SearchStrategy[Receipt]:
    digest, uint40 = st.sampled_from(DIGESTS), st.integers(0, 2**40 - 1)
    return st.builds(Receipt, digest, digest, digest, digest, digest, st.integers(0, 255), uint40, uint40)


def _values(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if hint is Receipt:
        return _receipts()
    if hint is bool:
        return st.booleans()
    if hint is str:
        return st.sampled_from([*ACCOUNTS, ZERO_ADDRESS])
    if hint is bytes:
        return st.binary(max_size=100) if name in ("signature", "wrapped_key") else st.sampled_from(DIGESTS)
    if name in ("asset_id", "model_id"):
        return st.sampled_from(ASSETS)
    if name in ("fault", "ground", "ruling", "status"):
        return st.integers(0, 2)
    return st.integers(0, 2 ** _BITS.get(name, 256) - 1)


def _event(kind: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind) if field.name not in ("at", "contract")]
    place = Position(0, 0, bytes(32), bytes(32))
    values = {name: _values(name, hints[name]) for name in names}
    return st.builds(kind, at=st.just(place), contract=st.sampled_from(CONTRACTS), **values)


def chains(max_size: int = 30) -> st.SearchStrategy[list[Event]]:
    """Lists of events with rising positions, one to three in a block."""
    return st.lists(
        st.sampled_from(sorted(EVENTS)).flatmap(lambda name: _event(EVENTS[name])), max_size=max_size
    ).map(place)


def place(events: list[Event], first_block: int = 1, salt: int = 0) -> list[Event]:
    """The events at positions of their own: three logs to a block. salt: tells branches apart."""
    return [_at(event, first_block + n // 3, n % 3, salt) for n, event in enumerate(events)]


def _at(event: Event, block: int, index: int, salt: int) -> Event:
    block_hash = bytes([salt]) * 24 + block.to_bytes(8)
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    values["at"] = Position(block, index, block_hash, bytes([index]) * 32)
    return type(event)(**values)
