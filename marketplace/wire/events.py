"""Events of the market, as the general stream carries them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from marketplace.wire.base import Address, Block, Count, Digest, EventId, Wire


class MarketEvent(Wire):
    """One confirmed event of the contracts. data: its own fields; integers are decimal text, bytes 0x-hex."""

    id: EventId
    event: Annotated[str, Field(description="the contract's name for it", examples=["AssetPublished"])]
    contract: Address
    block: Block
    log_index: Count
    block_hash: Digest
    transaction: Digest
    job_id: Digest | None
    data: Annotated[dict[str, Any], Field(examples=[{"asset_id": "7"}])]


class Reorganised(Wire):
    """Events that the chain took back, newest first; forget them. What came instead follows."""

    gone: list[EventId]


class Gone(Wire):
    """A job whose opening the chain took back."""

    id: Digest
