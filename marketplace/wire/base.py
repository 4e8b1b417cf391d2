"""The values that answers are made of, each with its form, its unit and an example."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1
"""Of what hub and clients say to each other: the number in `/v1/` and in the header."""

VERSION_HEADER = "steelyard-version"

_EXAMPLE = "0x3f" + "5a" * 31


class Wire(BaseModel):
    """Base of all of them."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Address = Annotated[
    str,
    Field(
        pattern="^0x[0-9a-fA-F]{40}$",
        description="an account, checksummed (EIP-55)",
        examples=["0x52908400098527886E0F7030069857D2E4169EE7"],
    ),
]
Digest = Annotated[
    str, Field(pattern="^0x[0-9a-f]{64}$", description="32 bytes as 0x-hex", examples=[_EXAMPLE])
]
Hex = Annotated[str, Field(pattern="^0x([0-9a-f]{2})*$", description="bytes as 0x-hex", examples=["0x00ff"])]
Uint256 = Annotated[
    str, Field(pattern="^[0-9]{1,78}$", description="an integer of up to 256 bits, decimal", examples=["100"])
]
TokenId = Annotated[
    str,
    Field(
        pattern="^[0-9]{1,78}$",
        description="an asset's token id, a uint256 in decimal",
        examples=[str((1 << 248) + 7)],
    ),
]
Tokens = Annotated[
    int,
    Field(
        ge=0,
        description="units of the Market's token, 6 decimals: 12.5 EUR is 12500000",
        examples=[12_500_000],
    ),
]
Seconds = Annotated[int, Field(ge=0, description="Unix seconds", examples=[1_795_000_000])]
Block = Annotated[int, Field(ge=0, description="a block's number", examples=[4_711])]
Count = Annotated[int, Field(ge=0, description="how many", examples=[3])]
Text = Annotated[str, Field(examples=["Valve readings"])]
EventId = Annotated[
    str,
    Field(
        pattern="^[0-9]{1,18}-[0-9]{1,18}-[0-9a-f]{16}$",
        description="names one event on chain: block, index of the log, first 8 bytes of the block's hash",
        examples=["4711-0-3f5a5a5a5a5a5a5a"],
    ),
]
Next = Annotated[
    str | None,
    Field(
        description="opaque: pass it as `after` for the next page; null at the end",
        examples=["YXNzZXRzOjQ3MTEtMA"],
    ),
]
