"""`steelyard dataset publish|move|offer`: a provider lists a dataset."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from compute.algorithms import bundle_of
from compute.provider import in_place
from compute.provider.card import TermsChoice, card_of, choice_of
from compute.provider.home import environments_of, vault_of
from compute.provider.publish import Price, Publisher
from compute.provider.survey import DataKind
from marketplace.cli.session import Session, session
from marketplace.core.content import kind_of
from marketplace.core.dataset import Environment
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32, parse_address
from marketplace.core.ids import Status, role_id
from marketplace.core.policy import CustomAlgorithms, Purpose, Terms
from marketplace.core.readable import euros, parse_euros
from marketplace.errors import InputError, NotFoundError, RefusedError, SteelyardError
from marketplace.jobs import listed_algorithm
from marketplace.keys import SEALING_KEY
from marketplace.names import Named, listing_of, published_datasets, resolve, versions_of
from marketplace.storage import get_document

_DAY = 86_400


def dataset_publish(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="a CSV or Parquet file, or a folder")],
    slug: Annotated[str, typer.Option(help="short name: a-z, 0-9, hyphens")] = "",
    name: Annotated[str, typer.Option(help="title")] = "",
    description: Annotated[str, typer.Option(help="what it is, for people")] = "",
    licence: Annotated[
        str, typer.Option(help="SPDX id, as CC-BY-4.0, or URL; nobody checks that there is such a licence")
    ] = "",
    creator: Annotated[str, typer.Option(help="who made it")] = "",
    algorithm: Annotated[
        list[str] | None, typer.Option(help="ready-made one that may run unasked; repeat")
    ] = None,
    purpose: Annotated[list[str] | None, typer.Option(help="allowed purpose; repeat; none = all")] = None,
    custom: Annotated[
        CustomAlgorithms | None, typer.Option(help="other people's algorithms; default denied")
    ] = None,
    review: Annotated[
        bool | None,
        typer.Option(
            "--review/--no-review", help="look at the output of custom ones before it leaves; default yes"
        ),
    ] = None,
    keyword: Annotated[list[str] | None, typer.Option(help="repeat")] = None,
    personal: Annotated[list[str] | None, typer.Option(help="kind of personal data in it; repeat")] = None,
    kind: Annotated[
        DataKind | None, typer.Option(help="what it is; found out for tables and pictures")
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="read where it lies, under a commitment; nothing is copied")
    ] = False,
    version: Annotated[str, typer.Option(help="three numbers; default 1.0.0, or one after --replaces")] = "",
    replaces: Annotated[
        str, typer.Option(help="the dataset that this is a new version of; what is left out is as there")
    ] = "",
) -> None:
    """Check, seal and list a file or a folder; the data stays here."""
    here = session(context)
    given = {
        "slug": slug,
        "name": name,
        "description": description,
        "licence": licence,
        "creator": creator,
        "version": version,
    }
    missing = [f"--{name}" for name, value in given.items() if not value and name != "version"]
    if missing and not replaces:
        raise typer.BadParameter(f"missing: {', '.join(missing)}; only with --replaces they may be left out")
    before = _replaced(here, replaces) if replaces else None
    card = card_of(given, tuple(keyword or ()), tuple(personal or ()), before.listing if before else None)
    purposes = tuple(Purpose.parse(text) for text in purpose) if purpose else None
    bundles = tuple(bundle_of(found) for found in algorithm or ())
    choice = choice_of(bundles, purposes, custom, review, _terms_before(here, before) if before else None)
    if before is None:
        _require_new_slug(here, card.slug)
    environments = environments_of(here)
    environments.prepare(here.output.step)
    published = _publisher(here, environments.listed()).publish(
        path,
        card,
        choice,
        here.output.step,
        kind=kind,
        in_place=in_place,
        replaces=before.listing.did if before else None,
    )
    paused = _stop_selling(here, before.token) if before else None
    did, sent, content = published.did, published.sent, published.found.content
    here.output.result(
        {
            "id": str(did.token),
            "did": str(did),
            "version": card.version,
            "content": kind_of(content),
            "rows": content.records,
            "columns": len(published.listing.column_names),
            "replaces": str(before.token) if before else None,
            "listing": str(published.listing.cid),
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [
            f"{did}",
            f"{content.words()} {'committed to' if in_place else 'sealed'} and listed; transaction {sent.transaction}",
            *([paused] if paused else []),
        ],
        then=f"steelyard dataset offer {card.slug} --price EUROS",
    )


def _replaced(here: Session, name: str) -> Named:
    """The newest version of the dataset that a new one replaces. Raises RefusedError for another owner's."""
    token = resolve(here.chain, here.store, name)
    if (owner := here.chain.owner_of(token)) != here.address:
        raise RefusedError("only its owner replaces a dataset", got=here.address, expected=owner)
    newest = versions_of(here.chain, here.store, token)[-1]
    if newest.token != token:
        raise InputError(
            "that dataset has a newer version already",
            got=name,
            expected=f"version {newest.listing.version}",
            do=f"Replace that one: --replaces {newest.token}",
        )
    return newest


def _terms_before(here: Session, before: Named) -> TermsChoice:
    """What the version before allows. Raises NotFoundError where its terms or bundles are not stored any more."""
    listing = before.listing
    terms = Terms.parse(get_document(here.store, listing.terms.digest))
    bundles = tuple(listed_algorithm(here.store, listing, listed.name).data for listed in listing.algorithms)
    return TermsChoice(
        bundles,
        terms.purposes,
        terms.custom_algorithms,
        terms.review_output,
        terms.assignee,
        terms.expires_at,
    )


def _stop_selling(here: Session, token: int) -> str:
    """The old version is sold no more; who bought it goes on with it."""
    if here.chain.status(token) is not Status.active:
        return "the version before was not sold any more"
    try:
        here.chain.send("AssetRegistry", "pauseAsset", (token,), here.account)
    except SteelyardError as error:
        return f"the version before is still sold ({error.what}): steelyard dataset pause {token}"
    return "the version before is sold no more; what was bought of it stays good"


def dataset_move(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(help="id, DID or slug of one that lies in place")],
    path: Annotated[Path, typer.Argument(help="where it lies now")],
) -> None:
    """Say where data in place lies now; every byte of it is checked first."""
    here = session(context)
    token = resolve(here.chain, here.store, asset)
    vault = vault_of(here)
    key = here.keyring.sealing_key(SEALING_KEY)
    moved = in_place.move(
        vault,
        token,
        path.resolve(),
        key.private,
        owner=here.chain.owner_of(token),
        domain=here.chain.domain,
        on_step=here.output.step,
    )
    here.output.result(
        {"asset": str(token), "path": str(moved.path), "files": len(moved.files), "bytes": moved.size},
        [f"{asset} lies at {moved.path}: {len(moved.files)} files, {moved.size} bytes, as they were listed"],
        then="steelyard node run",
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
            raise InputError(
                "you have a dataset of that slug",
                got=slug,
                do=f"Choose another --slug, or publish its next version by --replaces {slug}.",
            )


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
