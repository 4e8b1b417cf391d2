"""Datasets and models, their listings and offers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from marketplace.wire.base import (
    Address,
    Block,
    Count,
    Digest,
    Next,
    Seconds,
    Text,
    TokenId,
    Tokens,
    Uint256,
    Wire,
)


class Health(Wire):
    """Whether the hub answers from a catalogue that is up to date."""

    status: Annotated[Literal["ok", "behind"], Field(examples=["ok"])]
    trouble: Annotated[str | None, Field(description="why it may be behind", examples=[None])]
    block: Annotated[int | None, Field(description="the newest block that was read", examples=[4_711])]
    paused: Annotated[list[Address], Field(description="contracts that start nothing new")]


class Listing(Wire):
    """What the shared store holds under an asset's metadata digest."""

    status: Annotated[
        Literal["unread", "ok", "unavailable", "invalid"], Field(description="`ok`: read, and it fits")
    ]
    reason: Annotated[str, Field(description="why it is not ok", examples=[""])]
    slug: Annotated[str | None, Field(description="short name, the owner's", examples=["valves"])] = None
    name: Text | None = None
    description: Annotated[str | None, Field(examples=["Vibration of a shuttle's valves."])] = None
    rows: Annotated[
        int | None, Field(description="of the table, 0 where there is none", examples=[49_097])
    ] = None
    purposes: Annotated[
        list[str] | None, Field(description="allowed by the terms", examples=[["predictive-maintenance"]])
    ] = None
    document: Annotated[
        dict[str, Any] | None, Field(description="the document itself: Croissant, or a model card")
    ]


class AssetSummary(Wire):
    """An asset as the chain has it."""

    id: TokenId
    did: Annotated[str, Field(description="its name across markets", examples=["did:steelyard:31337:0x..:1"])]
    kind: Annotated[Literal["dataset", "algorithm", "model"], Field(examples=["dataset"])]
    owner: Address
    publisher: Address
    metadata: Digest
    epoch: Annotated[int, Field(ge=0, description="offers of an earlier epoch are void", examples=[0])]
    status: Annotated[Literal["active", "paused", "retired"], Field(examples=["active"])]
    jobs: Count
    block: Block


class Hit(AssetSummary):
    """One result of a search. price: of the cheapest offer open to anyone; offers: how many of these stand."""

    slug: Annotated[str, Field(examples=["valves"])]
    name: Text
    description: Annotated[str, Field(examples=["Vibration of a shuttle's valves."])]
    rows: Annotated[int, Field(examples=[49_097])]
    purposes: Annotated[list[str], Field(description="allowed by the terms", examples=[["research"]])]
    price: Tokens | None
    offers: Count


class Assets(Wire):
    """A page of assets, newest first."""

    assets: list[Hit]
    next: Next


class SignedOffer(Wire):
    """An offer as its owner signed it; names are those of the EIP-712 struct."""

    assetId: TokenId  # noqa: N815  # signed under this name
    provider: Address
    buyer: Annotated[str, Field(description="who may buy; the zero address: anyone")]
    price: Tokens
    maxUses: Count  # noqa: N815
    termDays: Count  # noqa: N815
    validUntil: Seconds  # noqa: N815
    epoch: Count
    arbiter: Address
    verifier: Address
    failureFeeBps: Annotated[  # noqa: N815
        int,
        Field(ge=0, description="hundredths of a per cent kept when an algorithm fails", examples=[1_000]),
    ]
    royaltyBps: Count  # noqa: N815
    royaltyFloor: Tokens  # noqa: N815
    maxContributors: Count  # noqa: N815
    minCreditBps: Count  # noqa: N815
    requiredRole: Digest  # noqa: N815
    termsDigest: Digest  # noqa: N815
    budgetCost: Digest  # noqa: N815
    salt: Digest


class Offer(Wire):
    """An announced offer, and what it is worth now."""

    digest: Digest
    document: Digest
    asset_id: TokenId
    standing: Annotated[
        Literal["open", "forged", "void", "expired", "unavailable", "invalid"],
        Field(description="only `open` ones can be bought"),
    ]
    reason: Annotated[str, Field(description="why the document could not be read", examples=[""])]
    signer: Address | None
    offer: SignedOffer | None
    signature: Annotated[str | None, Field(description="the owner's, 0x-hex", examples=["0x00"])]


class Offers(Wire):
    """A page of an asset's announced offers, newest first."""

    offers: list[Offer]
    next: Next


class Asset(AssetSummary):
    """One asset with its listing, and its offers: cheapest open one first, at most 1,000."""

    listing: Listing
    offers: list[Offer]


class CreditShare(Wire):
    """Units of a model's credits that an account holds."""

    account: Address
    units: Uint256


class Model(AssetSummary):
    """A registered model: the job that made it, and who holds its credits (at most 100 of them)."""

    name: Text | None
    job_id: Digest | None
    credits: list[CreditShare]


class Models(Wire):
    """A page of models, newest first."""

    models: list[Model]
    next: Next
