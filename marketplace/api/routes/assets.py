"""Datasets and models, their listings and offers."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from marketplace.api import views
from marketplace.api.answers import DigestPath, account, asset_id
from marketplace.api.cursors import After, Limit, link, page, read, write
from marketplace.api.state import TheDesk, known
from marketplace.catalogue import lists, search
from marketplace.catalogue.rows import Asset as AssetRow
from marketplace.catalogue.rows import Listing
from marketplace.catalogue.schema import get
from marketplace.core.ids import Kind
from marketplace.core.terms import Purpose
from marketplace.errors import InputError
from marketplace.wire.assets import Asset, Assets, Models, Offer, Offers

router = APIRouter(tags=["assets"])


def token(desk: TheDesk, asset: str) -> int:
    """The path's asset, by token id or DID."""
    return asset_id(asset, did=desk.hub.did)


Token = Annotated[int, Depends(token)]
Owner = Annotated[str | None, Query(description="an account", examples=["0x" + "11" * 20])]


def _query(
    query: Annotated[
        str, Query(max_length=search.MAX_TEXT, description="words of the listing", examples=["valves"])
    ] = "",
    kind: Annotated[
        str | None, Query(description="dataset, algorithm or model", examples=["dataset"])
    ] = None,
    owner: Owner = None,
    max_price: Annotated[
        int | None, Query(ge=0, lt=2**48, description="token units per use", examples=[25_000_000])
    ] = None,
    purpose: Annotated[str | None, Query(description="allowed by the terms", examples=["research"])] = None,
    limit: Limit = 20,
    after: After = None,
) -> search.Query:
    return search.Query(
        text=query,
        kind=None if kind is None else _kind(kind),
        owner=None if owner is None else account(owner, where="the owner"),
        max_price=max_price,
        purpose=None if purpose is None else Purpose.parse(purpose),
        limit=limit,
        after=None if after is None else search.Place.parse(read("assets", after)),
    )


def _kind(text: str) -> Kind:
    try:
        return Kind[text]
    except KeyError:
        raise InputError("not a kind of asset", got=text, expected=", ".join(Kind.__members__)) from None


@router.get("/assets", operation_id="listAssets")
def assets(
    desk: TheDesk, query: Annotated[search.Query, Depends(_query)], request: Request, response: Response
) -> Assets:
    """A page of assets whose listing was read and fits, newest first."""
    with desk.hub.database.read() as connection:
        found = search.search(connection, query, now=int(time.time()))
    following = write("assets", found.next) if found.next else None
    link(request, response, following)
    return Assets(assets=[views.hit_of(hit, desk.hub.did) for hit in found.hits], next=following)


@router.get("/assets/{asset}", operation_id="getAsset")
def asset(desk: TheDesk, asset: Token) -> Asset:
    """One asset, by token id or DID: its owner, listing, offers and number of jobs."""
    with desk.hub.database.read() as connection:
        row = known(get(connection, AssetRow, asset), "asset", asset)
        offers = search.offers_of(connection, row, now=int(time.time()))
        return views.asset_of(row, get(connection, Listing, asset), offers, desk.hub.did)


@router.get("/assets/{asset}/offers", operation_id="listOffersOfAsset")
def offers_of_asset(
    desk: TheDesk, asset: Token, request: Request, response: Response, limit: Limit = 20, after: After = None
) -> Offers:
    """A page of the offers that anybody announced for an asset, newest first; `standing` says what they are worth."""
    place = None if after is None else search.Place.parse(read("offers", after))
    with desk.hub.database.read() as connection:
        row = known(get(connection, AssetRow, asset), "asset", asset)
        found = lists.offers(connection, asset, after=place, limit=limit + 1)
    now = int(time.time())
    shown, following = page(
        request, response, "offers", found, limit, lambda one: search.Place(one[0].block, one[0].log_index)
    )
    worth = [search.OfferView(document, search.standing(document, row, now=now)) for _, document in shown]
    return Offers(offers=[views.offer_of(view) for view in worth], next=following)


@router.get("/models", operation_id="listModels")
def models(
    desk: TheDesk,
    request: Request,
    response: Response,
    owner: Owner = None,
    holder: Annotated[str | None, Query(description="who has some of the model's credits")] = None,
    limit: Limit = 20,
    after: After = None,
) -> Models:
    """A page of registered models, newest first."""
    with desk.hub.database.read() as connection:
        found = lists.models(
            connection,
            owner=None if owner is None else account(owner, where="the owner"),
            holder=None if holder is None else account(holder, where="the holder"),
            after=None if after is None else search.Place.parse(read("models", after)),
            limit=limit + 1,
        )
        shown, following = page(
            request, response, "models", found, limit, lambda row: search.Place(row.block, row.log_index)
        )
        models = [views.model_of(connection, row, desk.hub.did) for row in shown]
    return Models(models=models, next=following)


@router.get("/offers/{digest}", operation_id="getOffer")
def offer(desk: TheDesk, digest: DigestPath) -> Offer:
    """An announced offer and what it is worth now."""
    with desk.hub.database.read() as connection:
        found = search.offer(connection, digest, now=int(time.time()))
    return views.offer_of(known(found, "offer", views.hexed(digest)))
