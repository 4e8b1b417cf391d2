"""`steelyard dataset publish|offer`: a provider lists a dataset."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from compute.algorithms import bundle_of
from compute.provider.home import environments_of, vault_of
from compute.provider.publish import Card, Price, Publisher, TermsChoice
from marketplace.cli.session import Session, session
from marketplace.core.dataset import Environment
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32, parse_address
from marketplace.core.ids import role_id
from marketplace.core.policy import CustomAlgorithms, Purpose
from marketplace.core.readable import euros, parse_euros
from marketplace.errors import InputError, NotFoundError, SteelyardError
from marketplace.keys import SEALING_KEY
from marketplace.lookup import listing_of, published_datasets, resolve

_DAY = 86_400


def dataset_publish(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="a CSV or Parquet file")],
    slug: Annotated[str, typer.Option(help="short name: a-z, 0-9, hyphens")],
    name: Annotated[str, typer.Option(help="title")],
    description: Annotated[str, typer.Option(help="what it is, for people")],
    licence: Annotated[
        str, typer.Option(help="SPDX id, as CC-BY-4.0, or URL; nobody checks that there is such a licence")
    ],
    creator: Annotated[str, typer.Option(help="who made it")],
    algorithm: Annotated[
        list[str] | None, typer.Option(help="ready-made one that may run unasked; repeat")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="allowed purpose; repeat; none = all")] = None,
    custom: Annotated[
        CustomAlgorithms, typer.Option(help="other people's algorithms")
    ] = CustomAlgorithms.denied,
    review: Annotated[bool, typer.Option(help="look at the output of custom ones before it leaves")] = True,
    keyword: Annotated[list[str] | None, typer.Option(help="repeat")] = None,
    personal: Annotated[list[str] | None, typer.Option(help="kind of personal data in it; repeat")] = None,
) -> None:
    """Check, seal and list a dataset; the data stays here."""
    here = session(context)
    card = Card(
        slug,
        name,
        description,
        licence,
        creator,
        keywords=tuple(keyword or ()),
        sensitive=tuple(personal or ()),
    )
    purposes = tuple(Purpose.parse(text) for text in purpose) if purpose else None
    choice = TermsChoice(tuple(bundle_of(found) for found in algorithm or ()), purposes, custom, review)
    _require_new_slug(here, slug)
    environments = environments_of(here)
    environments.prepare(here.output.step)
    published = _publisher(here, environments.listed()).publish(file, card, choice, here.output.step)
    did, sent = published.did, published.sent
    here.output.result(
        {
            "id": str(did.token),
            "did": str(did),
            "rows": published.profile.rows,
            "columns": len(published.profile.columns),
            "listing": str(published.listing.cid),
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"{did}", f"{published.profile.rows} rows sealed and listed; transaction {sent.transaction}"],
        then=f"steelyard dataset offer {slug} --price EUROS",
    )


def _require_new_slug(here: Session, slug: str) -> None:
    """Commands name a dataset by its slug: an owner's second of that name could not be named."""
    for token, publisher in published_datasets(here.chain):
        if publisher != here.address:
            continue
        try:
            taken = listing_of(here.chain, here.store, token).slug == slug
        except SteelyardError:
            continue  # a listing that cannot be read has no slug
        if taken:
            raise InputError("you have a dataset of that slug", got=slug, do="Choose another --slug.")


def _publisher(here: Session, environments: tuple[Environment, ...] = ()) -> Publisher:
    keys = here.keyring.sealing_keys()
    if SEALING_KEY not in keys:
        raise NotFoundError("this home has no node yet", do="Run `steelyard node init` first.")
    return Publisher(here.chain, here.store, vault_of(here), here.account, keys[SEALING_KEY], environments)


def dataset_offer(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(help="id, DID or slug")],
    price: Annotated[str | None, typer.Option(help="euros for one use, as 12.50")] = None,
    free: Annotated[bool, typer.Option("--free", help="instead of a price: a use costs nothing")] = False,
    max_uses: Annotated[int, typer.Option(min=1, max=65_535)] = 100,
    term_days: Annotated[int, typer.Option(min=1, max=3_650, help="days that a purchase lasts")] = 30,
    valid_days: Annotated[int, typer.Option(min=1, max=3_650, help="days that the offer stands")] = 90,
    failure_fee: Annotated[
        float, typer.Option(min=0, max=20, help="percent kept when an algorithm fails")
    ] = 10.0,
    arbiter: Annotated[str, typer.Option(help="address that judges disputes; none: nobody does")] = "",
    verifier: Annotated[str, typer.Option(help="address that judges missing or malformed outputs")] = "",
    role: Annotated[str, typer.Option(help="accreditation that a buyer needs; none: nobody needs one")] = "",
) -> None:
    """Sign an offer for a dataset and announce it."""
    here = session(context)
    if not math.isfinite(failure_fee):
        raise InputError("not a failure fee", got=failure_fee, expected="0 to 20 percent")
    token = resolve(here.chain, here.store, asset)
    terms = Price(
        _price(price, free),
        max_uses,
        term_days,
        here.chain.block_time() + valid_days * _DAY,
        round(failure_fee * 100),
        parse_address(arbiter, where="--arbiter") if arbiter else ZERO_ADDRESS,
        parse_address(verifier, where="--verifier") if verifier else ZERO_ADDRESS,
        role_id(role) if role else ZERO_BYTES32,
    )
    offer, digest, sent = _publisher(here).offer(token, terms)
    here.output.result(
        {
            "offer": digest,
            "asset": str(token),
            **offer.to_json(),
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"offered at {euros(offer.price)} a use, up to {max_uses} uses, for {term_days} days"],
        then=f"steelyard dataset show {asset}",
    )


def _price(text: str | None, free: bool) -> int:
    """Token units a use. What costs nothing is said so: a price of 0 may be a slip."""
    if free:
        if text is not None:
            raise InputError("both a price and --free", got=text, do="Leave one of them out.")
        return 0
    if text is None:
        raise InputError("an offer needs a price", do="Name it as --price EUROS, or say --free.")
    units = parse_euros(text)
    if units == 0:
        raise InputError(
            "a price of 0 gives every use away", got=text, do="Say --free instead, if that is meant."
        )
    return units
