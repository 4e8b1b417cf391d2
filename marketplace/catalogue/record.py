"""Events as rows and back, without loss: the `eventrow` table is the chain's logs in words. Pure."""

from __future__ import annotations

from dataclasses import fields
from json.encoder import encode_basestring
from typing import Any, get_type_hints

from marketplace.catalogue.rows import EventRow
from marketplace.core.canonical import canonical, parse_json
from marketplace.core.events import (
    ASSET_REGISTRY_EVENTS,
    CREDIT_EVENTS,
    MARKET_EVENTS,
    PARTICIPANT_EVENTS,
    Event,
    Position,
)
from marketplace.core.job import Receipt
from marketplace.errors import IntegrityError

EVENTS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (*ASSET_REGISTRY_EVENTS, *PARTICIPANT_EVENTS, *CREDIT_EVENTS, *MARKET_EVENTS)
}

_OWN = {"at", "contract"}
_FIELDS = {
    kind: sorted(field.name for field in fields(kind) if field.name not in _OWN) for kind in EVENTS.values()
}
_HINTS = {kind: get_type_hints(kind) for kind in EVENTS.values()}


def to_row(event: Event) -> EventRow:
    """The row of one event."""
    return EventRow(
        block=event.at.block,
        log_index=event.at.index,
        block_hash=event.at.block_hash,
        transaction=event.at.transaction,
        contract=event.contract,
        name=type(event).__name__,
        job_id=getattr(event, "job_id", None),
        data=_canonical(event),
    )


def to_json(event: Event) -> dict[str, Any]:
    """The event's own fields as JSON: integers as decimal text, bytes as 0x-hex."""
    return {name: _encode(getattr(event, name)) for name in _FIELDS[type(event)]}


def _canonical(event: Event) -> str:
    """What `canonical` makes of the event's JSON; several times faster, for its names are known and in order."""
    return "{" + ",".join(f'"{name}":{_text(getattr(event, name))}' for name in _FIELDS[type(event)]) + "}"


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return f'"0x{value.hex()}"'
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, int) else canonical(_encode(value)).decode()


def from_row(row: EventRow) -> Event:
    """The event of a row. Raises IntegrityError where the row was not written by `to_row`."""
    kind = EVENTS.get(row.name)
    data = parse_json(row.data.encode(), what="a stored event")
    if kind is None or not isinstance(data, dict):
        raise IntegrityError("the catalogue holds an event that it cannot have written", got=row.name)
    hints = _HINTS[kind]
    at = Position(row.block, row.log_index, row.block_hash, row.transaction)
    values = {name: _decode(hints[name], value) for name, value in data.items()}
    return kind(at=at, contract=row.contract, **values)


def _encode(value: object) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Receipt):
        return value.to_json()
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return str(value)


def _decode(hint: Any, value: Any) -> Any:
    if hint is Receipt:
        return Receipt.from_json(value)
    if hint is bytes:
        return bytes.fromhex(value[2:])
    return int(value) if hint is int else value
