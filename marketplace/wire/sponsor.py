"""Calls that a hub's operator pays the gas of."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from marketplace.wire.base import Address, Digest, Seconds, Uint256, Wire


class ForwardRequest(Wire):
    """One call, as the forwarder's EIP-712 type has it. from: who signs, and who has called then."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    caller: Annotated[Address, Field(alias="from")]
    to: Address
    value: Uint256
    gas: Uint256
    nonce: Uint256
    deadline: Seconds
    data: Annotated[
        str, Field(pattern="^0x([0-9a-f]{2})*$", max_length=16_386, examples=["0x51cff8d9" + "00" * 32])
    ]


class SponsoredCall(Wire):
    """A call and its caller's signature."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: ForwardRequest
    signature: Annotated[str, Field(pattern="^0x[0-9a-fA-F]{130}$", examples=["0x" + "00" * 65])]


class Carried(Wire):
    """The transaction that carried a call, confirmed; look yourself whether it did."""

    transaction: Digest
