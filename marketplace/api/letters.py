"""Which webhooks an event is for, and what they are told.

An account hears of jobs and grants in which it is the buyer or the provider; of assets and offers where it owns the
asset or its webhook names it. An offer that a stranger announced is nobody's news.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from marketplace.accounts.mail import Letter
from marketplace.accounts.webhooks import Webhook
from marketplace.api.views import ToDid, event_of, grant_of, hexed, job_of, summary_of
from marketplace.catalogue.rows import Asset, EventRow, Grant, Job
from marketplace.catalogue.schema import get
from marketplace.core.event_id import EventId
from marketplace.wire.accounts import Message, MessageData, Topic

TOPICS = {
    "JobOpened": Topic.job_opened,
    "ReceiptSubmitted": Topic.job_submitted,
    "JobSettled": Topic.job_settled,
    "JobRejected": Topic.job_rejected,
    "JobFaulted": Topic.job_faulted,
    "JobFailed": Topic.job_failed,
    "JobExpired": Topic.job_expired,
    "JobDisputed": Topic.job_disputed,
    "DisputeResolved": Topic.job_resolved,
    "DisputeLapsed": Topic.job_resolved,
    "AccessBought": Topic.access_bought,
    "OfferAnnounced": Topic.offer_changed,
    "EpochRaised": Topic.offer_changed,
    "AssetPublished": Topic.asset_changed,
    "Transfer": Topic.asset_changed,
    "StatusSet": Topic.asset_changed,
}

REVERSED, TEST = "event.reversed", "webhook.test"


@dataclass(frozen=True)
class News:
    """An event, what it is about, and who may hear of it. asset: token id. job: 0x-hex."""

    topic: Topic
    event: Message
    asset: int
    job: str | None
    accounts: frozenset[str]
    public: bool

    def is_for(self, hook: Webhook) -> bool:
        if self.topic not in hook.events or (hook.job is not None and hook.job != self.job):
            return False
        named = self.asset in hook.assets
        if hook.account in self.accounts:
            return named or not hook.assets
        return self.public and named


def news_of(connection: Connection, row: EventRow, did: ToDid) -> News | None:
    """What an event means to webhooks; None where it means nothing. The block's time is filled in later."""
    topic, event = TOPICS.get(row.name), event_of(row)
    if topic is None:
        return None
    if row.job_id is not None:
        job = get(connection, Job, row.job_id)
        if job is None:
            return None
        about = MessageData(job=job_of(connection, job))
        return _news(topic, row, about, job.asset_id, {job.buyer, job.provider}, job=hexed(job.job_id))
    asset = get(connection, Asset, int(event.data["asset_id"]))
    if asset is None:
        return None
    if topic is Topic.access_bought:
        digest, buyer = bytes.fromhex(event.data["offer_digest"][2:]), event.data["buyer"]
        grant = get(connection, Grant, digest, buyer)
        if grant is None:
            return None
        return _news(topic, row, MessageData(grant=grant_of(grant)), asset.asset_id, {buyer, grant.provider})
    if row.name == "OfferAnnounced" and event.data["by"] != asset.owner:
        return None
    about = MessageData(asset=summary_of(asset, did), offer_digest=event.data.get("offer_digest"))
    return _news(topic, row, about, asset.asset_id, {asset.owner}, public=True)


def _news(
    topic: Topic,
    row: EventRow,
    about: MessageData,
    asset: int,
    accounts: set[str],
    *,
    job: str | None = None,
    public: bool = False,
) -> News:
    event = event_of(row)
    message = Message(
        id=event.id,
        type=topic.value,
        occurred_at=0,
        block=event.block,
        transaction=event.transaction,
        fields=event.data,
        data=about,
    )
    return News(topic, message, asset, job, frozenset(accounts), public)


def letters_for(news: News, hooks: Iterable[Webhook], block_time: Callable[[int], int]) -> list[Letter]:
    """One for each webhook that hears of it. block_time: asked only where there is one."""
    heard = [hook for hook in hooks if news.is_for(hook)]
    if not heard:
        return []
    at = block_time(news.event.block or 0)
    body = news.event.model_copy(update={"occurred_at": at}).model_dump_json().encode()
    return [Letter(hook.id, news.topic.value, news.event.id, body) for hook in heard]


def reversal(webhook: str, event: EventId, *, now: float) -> Letter:
    """That an event of which a webhook was told is no more. now: Unix seconds, for what is no more has no time."""
    message = _plain(REVERSED, now, MessageData(reversed=str(event)))
    return Letter(webhook, REVERSED, str(event), message)


def test_letter(webhook: str, *, now: float) -> Letter:
    """For a receiver to try."""
    return Letter(webhook, TEST, None, _plain(TEST, now, MessageData()))


def _plain(kind: str, now: float, data: MessageData) -> bytes:
    message = Message(
        id=None, type=kind, occurred_at=int(now), block=None, transaction=None, fields={}, data=data
    )
    return message.model_dump_json().encode()
