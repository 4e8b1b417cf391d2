"""Signing in, and webhooks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from marketplace.wire.assets import AssetSummary
from marketplace.wire.base import Address, Block, Count, Digest, EventId, Next, Seconds, TokenId, Wire
from marketplace.wire.trade import Grant, Job

MAX_URL = 500
MAX_ASSETS = 100


class NonceRequest(Wire):
    """Whose message it will be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Address


class Nonce(Wire):
    """What to sign. message: the text of EIP-4361, filled in: sign it as it stands (`personal_sign`)."""

    nonce: Annotated[str, Field(pattern="^[A-Za-z0-9]{8,}$", examples=["32891756abcdef01"])]
    expires_at: Seconds
    message: Annotated[
        str, Field(examples=["hub.example wants you to sign in with your Ethereum account:\n..."])
    ]


class SignInRequest(Wire):
    """A signed message. signature: 65 bytes, or whatever an ERC-1271 account takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: Annotated[str, Field(max_length=4_096, description="the text that was signed")]
    signature: Annotated[str, Field(pattern="^0x([0-9a-fA-F]{2}){0,2048}$", examples=["0x" + "00" * 65])]


class Session(Wire):
    """Who is signed in, and until when."""

    account: Address
    expires_at: Seconds


class NewSession(Session):
    """token: for `Authorization: Bearer`; shown this once."""

    token: Annotated[str, Field(examples=["sya_" + "A" * 43])]


class Topic(StrEnum):
    """What a webhook may ask for. `event.reversed` and `webhook.test` come without asking."""

    job_opened = "job.opened"
    job_submitted = "job.submitted"
    job_settled = "job.settled"
    job_rejected = "job.rejected"
    job_faulted = "job.faulted"
    job_failed = "job.failed"
    job_expired = "job.expired"
    job_disputed = "job.disputed"
    job_resolved = "job.resolved"
    access_bought = "access.bought"
    offer_changed = "offer.changed"
    asset_changed = "asset.changed"


class WebhookRequest(Wire):
    """Where events go. assets, job: only what concerns these; offers and assets of others only where named here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[
        str,
        Field(
            max_length=MAX_URL, description="https; of a public address", examples=["https://me.example/hook"]
        ),
    ]
    events: Annotated[list[Topic], Field(min_length=1, max_length=len(Topic))]
    assets: Annotated[tuple[TokenId, ...], Field(max_length=MAX_ASSETS)] = ()
    job: Digest | None = None


class Webhook(Wire):
    """A registered webhook. state: `disabled` after a day without an answer, or `410 Gone`; reason says which."""

    id: Annotated[str, Field(pattern="^wh_[0-9a-f]{32}$", examples=["wh_" + "0a" * 16])]
    url: Annotated[str, Field(examples=["https://me.example/hook"])]
    events: list[Topic]
    assets: list[TokenId]
    job: Digest | None
    state: Literal["active", "disabled"]
    reason: Annotated[str | None, Field(examples=[None])]
    created_at: Seconds


class NewWebhook(Webhook):
    """secret: signs every delivery (Standard Webhooks); shown this once."""

    secret: Annotated[str, Field(pattern="^whsec_", examples=["whsec_" + "A" * 43 + "="])]


class Webhooks(Wire):
    """The account's webhooks, oldest first: there are at most ten."""

    webhooks: list[Webhook]


class Delivery(Wire):
    """One message to a webhook. id: the header `webhook-id`, the same in every attempt."""

    id: Annotated[str, Field(pattern="^msg_[0-9a-f]{32}$", examples=["msg_" + "0b" * 16])]
    type: Annotated[str, Field(examples=["job.settled"])]
    event: EventId | None
    state: Annotated[Literal["pending", "delivered", "failed"], Field(examples=["delivered"])]
    attempts: Count
    next_at: Annotated[int | None, Field(description="Unix seconds of the next attempt", examples=[None])]
    status: Annotated[int | None, Field(description="the receiver's last answer", examples=[204])]
    error: Annotated[str | None, Field(description="why the last attempt failed", examples=[None])]
    created_at: Seconds


class Deliveries(Wire):
    """A page of deliveries, newest first; kept for a week."""

    deliveries: list[Delivery]
    next: Next


class MessageData(Wire):
    """What the event is about, as the catalogue had it when the message was written."""

    job: Job | None = None
    grant: Grant | None = None
    asset: AssetSummary | None = None
    offer_digest: Digest | None = None
    reversed: Annotated[
        EventId | None, Field(description="the event that the chain took back: forget its message")
    ] = None


class Message(Wire):
    """The body of a delivery. occurred_at: the block's time. fields: the event's own, as in the event stream."""

    id: EventId | None
    type: Annotated[str, Field(examples=["job.settled"])]
    occurred_at: Seconds
    block: Block | None
    transaction: Digest | None
    fields: dict[str, Any]
    data: MessageData
