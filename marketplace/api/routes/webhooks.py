"""Webhooks of the account that is signed in."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from marketplace.accounts.mail import Sent
from marketplace.accounts.webhooks import Webhook as Hook
from marketplace.api.answers import asset_id, body_of, takes
from marketplace.api.cursors import After, Limit, read, write
from marketplace.api.doors import Me
from marketplace.api.letters import test_letter
from marketplace.api.problems import problems
from marketplace.api.state import TheDesk
from marketplace.errors import InputError
from marketplace.wire.accounts import (
    Deliveries,
    Delivery,
    NewWebhook,
    Topic,
    Webhook,
    WebhookRequest,
    Webhooks,
)

router = APIRouter(tags=["accounts"], responses=problems(401, 403))

MAX_BODY = 32_768
"""Bytes of a registration."""


def _private(response: Response) -> None:
    response.headers["cache-control"] = "no-store"


Private = [Depends(_private)]


@router.post(
    "/webhooks",
    operation_id="newWebhook",
    status_code=201,
    responses=problems(413),
    openapi_extra=takes(WebhookRequest),
    dependencies=Private,
)
def new_webhook(
    desk: TheDesk, me: Me, body: Annotated[WebhookRequest, Depends(body_of(WebhookRequest, limit=MAX_BODY))]
) -> NewWebhook:
    """Registers a URL for events that concern the account, from now on. The secret is shown this once."""
    desk.require_reachable(body.url)  # again before each delivery: names move
    topics = tuple(dict.fromkeys(topic.value for topic in body.events))
    assets = tuple(dict.fromkeys(asset_id(asset, did=desk.hub.did) for asset in body.assets))
    made = desk.webhooks.add(me.account, body.url, topics, assets, body.job, now=time.time())
    return NewWebhook(**dict(_shown(made)), secret=made.secret)


@router.get("/webhooks", operation_id="listWebhooks", dependencies=Private)
def webhooks(desk: TheDesk, me: Me) -> Webhooks:
    """The account's webhooks, without their secrets."""
    return Webhooks(webhooks=[_shown(hook) for hook in desk.webhooks.of(me.account)])


@router.delete("/webhooks/{webhook}", operation_id="deleteWebhook", status_code=204)
def delete_webhook(desk: TheDesk, me: Me, webhook: str) -> None:
    """Nothing more is sent there, not even what waits."""
    desk.webhooks.delete(me.account, webhook)


@router.post("/webhooks/{webhook}/test", operation_id="testWebhook", status_code=202, dependencies=Private)
def test_webhook(desk: TheDesk, me: Me, webhook: str) -> Delivery:
    """Sends `webhook.test`, once. A disabled webhook that answers it is active again."""
    hook = desk.webhooks.get(me.account, webhook)
    desk.tests.take(me.account, 1, "test deliveries")
    now = time.time()
    sent = desk.mail.post(test_letter(hook.id, now=now), now=now)
    desk.wake_courier()
    return _delivery(sent)


@router.get("/webhooks/{webhook}/deliveries", operation_id="listDeliveries", dependencies=Private)
def deliveries(
    desk: TheDesk, me: Me, webhook: str, response: Response, limit: Limit = 20, after: After = None
) -> Deliveries:
    """A page of what was sent to a webhook, or waits, newest first."""
    hook = desk.webhooks.get(me.account, webhook)
    found = desk.mail.of(hook.id, after=None if after is None else _number(after), limit=limit + 1)
    shown = found[:limit]
    following = write("deliveries", shown[-1].number) if len(found) > limit else None
    return Deliveries(deliveries=[_delivery(sent) for sent in shown], next=following)


def _number(cursor: str) -> int:
    text = read("deliveries", cursor)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InputError(
            "not a cursor of this list", got=repr(text)[:80], expected="the `next` of an earlier answer"
        )
    return int(text)


def _shown(hook: Hook) -> Webhook:
    return Webhook.model_validate(
        {
            "id": hook.id,
            "url": hook.url,
            "events": [Topic(topic) for topic in hook.events],
            "assets": [str(asset) for asset in hook.assets],
            "job": hook.job,
            "state": hook.state,
            "reason": hook.reason,
            "created_at": hook.created_at,
        }
    )


def _delivery(sent: Sent) -> Delivery:
    return Delivery.model_validate(
        {
            "id": sent.id,
            "type": sent.type,
            "event": sent.event,
            "state": sent.state,
            "attempts": sent.attempts,
            "next_at": sent.next_at,
            "status": sent.status,
            "error": sent.error,
            "created_at": sent.created_at,
        }
    )
