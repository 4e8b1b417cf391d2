"""`steelyard dataset list|show`; publishing joins from the package that touches plaintext."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from marketplace.cli.orderable import orderables
from marketplace.cli.output import short, table_or
from marketplace.cli.session import Session, session
from marketplace.core.dataset import Listing
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32
from marketplace.core.ids import Status
from marketplace.core.policy import describe
from marketplace.core.readable import euros, instant
from marketplace.core.terms import Purpose, Terms
from marketplace.errors import RefusedError, SteelyardError, UnavailableError
from marketplace.hub import HubClient
from marketplace.lookup import (
    AnnouncedOffer,
    announced_offers,
    did_of,
    listing_of,
    published_datasets,
    resolve,
    terms_of,
)

Own = Annotated[str, typer.Argument(help="id, DID or slug of yours")]

app = typer.Typer(help="Datasets: find, read; with a node, publish and offer.", no_args_is_help=True)


@app.command("list")
def list_(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="words to search for")] = "",
) -> None:
    """Datasets on the market: from the hub where one is set, else from chain and shared store."""
    here = session(context)
    found = (
        HubClient(here.settings.hub, here.settings.timeout).search(query)
        if here.settings.hub
        else _from_chain(here, query)
    )
    rows = [(row["slug"] or row["id"], row["name"], row["rows"], short(row["owner"])) for row in found]
    empty = "No dataset has all of these words." if query else "No dataset is listed yet."
    shown = table_or(empty, "Datasets", ("dataset", "name", "rows", "owner"), rows)
    here.output.result({"datasets": found}, [shown], then=_after_list(found, query))


def _after_list(found: list[dict[str, Any]], query: str) -> str:
    if found:
        return f"steelyard dataset show {found[0]['id']}"
    return "steelyard dataset list" if query else "steelyard dataset publish --help"


def _from_chain(here: Session, query: str) -> list[dict[str, Any]]:
    words, store = query.lower().split(), here.store
    found = []
    for token, owner in published_datasets(here.chain):
        try:
            listing = listing_of(here.chain, store, token)
        except UnavailableError:
            raise  # a store that is away is no empty market
        except SteelyardError as error:
            here.output.say(f"left out {token}: {error}")
            continue
        text = " ".join((listing.slug, listing.name, listing.description, *listing.keywords)).lower()
        if all(word in text for word in words):
            found.append({"id": str(token), "owner": owner, **_brief(listing)})
    return found


def _brief(listing: Listing) -> dict[str, Any]:
    return {"slug": listing.slug, "name": listing.name, "rows": listing.rows}


@app.command()
def show(
    context: typer.Context, asset: Annotated[str, typer.Argument(help="id, DID, owner/slug or slug")]
) -> None:
    """One dataset: what it is, its terms in plain words, its offers."""
    here = session(context)
    token = resolve(here.chain, here.store, asset)
    listing = listing_of(here.chain, here.store, token)
    offers = announced_offers(here.chain, here.store, token)
    terms = terms_of(here.store, offers[0].offer) if offers else None
    algorithms = orderables(here.store, listing)
    standing = _standing(here, token, offers)
    lines = [
        *_about(here, token, listing),
        *(describe(terms) if terms else ()),
        f"for --purpose: {', '.join(_purposes(terms))}",
        "for --algorithm, each parameter as --param name=value:" if algorithms else "no listed algorithm",
        *(line for algorithm in algorithms for line in algorithm.lines()),
        *_conditions(offers, standing),
        _offer_table(offers, standing),
    ]
    here.output.result(
        {
            "id": str(token),
            "did": str(did_of(here.chain, token)),
            "owner": here.chain.owner_of(token),
            "status": here.chain.status(token).name,
            "listing": listing.to_document(),
            "purposes": _purposes(terms),
            "algorithms": [algorithm.to_json() for algorithm in algorithms],
            "offers": [{"digest": found.digest, **found.offer.to_json()} for found in offers],
        },
        lines,
        then=f"steelyard access buy {asset} --uses 1" if "" in standing else None,
    )


def _about(here: Session, token: int, listing: Listing) -> list[str]:
    return [
        f"{listing.name} ({listing.slug} {listing.version}, {listing.licence})",
        f"by {listing.creator.name}, owner {here.chain.owner_of(token)}",
        listing.description,
        f"{listing.rows} rows; columns: "
        + ", ".join(f"{column.name} ({column.kind})" for column in listing.columns),
        "personal data: " + ("yes" if listing.personal_data else "none declared"),
    ]


def _purposes(terms: Terms | None) -> list[str]:
    """The words that `--purpose` takes under these terms."""
    return [str(purpose) for purpose in (terms.purposes if terms and terms.purposes else Purpose)]


def _standing(here: Session, token: int, offers: list[AnnouncedOffer]) -> list[str]:
    """For each offer why it cannot be bought; empty where it can."""
    epoch, now, status = here.chain.epoch(token), here.chain.block_time(), here.chain.status(token)
    if status is not Status.active:
        return [status.name] * len(offers)
    return [
        "void" if found.offer.epoch != epoch else "ended" if found.offer.valid_until < now else ""
        for found in offers
    ]


def _conditions(offers: list[AnnouncedOffer], standing: list[str]) -> list[str]:
    """What the cheapest offer that stands says of disputes and of who may buy."""
    open_ = [found.offer for found, why in zip(offers, standing, strict=True) if not why]
    if not open_:
        return []
    offer = min(open_, key=lambda found: found.price)
    judges = {"arbiter": offer.arbiter, "verifier": offer.verifier}
    named = ", ".join(f"{what} {who}" for what, who in judges.items() if who != ZERO_ADDRESS)
    role = f"buyers need accreditation 0x{offer.required_role.hex()}"
    return [
        f"disputes: {named or 'nobody judges them'}",
        *([role] if offer.required_role != ZERO_BYTES32 else []),
    ]


def _offer_table(offers: list[AnnouncedOffer], standing: list[str]) -> str | Table:
    rows = [_offer_row(found, why) for found, why in zip(offers, standing, strict=True)]
    columns = ("price a use", "uses", "days", "failure fee", "valid until", "offer")
    return table_or("Nobody can buy it: its owner has announced no offer.", "Offers", columns, rows)


def _offer_row(found: AnnouncedOffer, why: str) -> tuple[str, ...]:
    offer = found.offer
    return (
        euros(offer.price),
        f"up to {offer.max_uses}",
        str(offer.term_days),
        f"{offer.failure_fee_bps / 100:g}%",
        why or instant(offer.valid_until).partition(" ")[0],
        short(found.digest),
    )


@app.command()
def pause(context: typer.Context, asset: Own) -> None:
    """Sell no more uses for now. Buyers may take unused ones back; jobs go on."""
    _set_status(context, asset, "pauseAsset", then=f"steelyard dataset resume {asset}")


@app.command()
def resume(context: typer.Context, asset: Own) -> None:
    """Sell uses again after a pause."""
    _set_status(context, asset, "resumeAsset", then=f"steelyard dataset show {asset}")


@app.command()
def retire(context: typer.Context, asset: Own) -> None:
    """Sell no more uses, for ever. Buyers may take unused ones back; jobs go on."""
    _set_status(context, asset, "retire", then=f"steelyard audit trace {asset}")


def _set_status(context: typer.Context, asset: str, call: str, *, then: str) -> None:
    here = session(context)
    token = resolve(here.chain, here.store, asset)
    if here.chain.owner_of(token) != here.address:
        raise RefusedError(
            "only its owner may do this", got=here.address, expected=here.chain.owner_of(token)
        )
    if here.chain.status(token) is Status.retired:
        raise RefusedError("the dataset is retired for ever", got=asset)
    sent = here.chain.send("AssetRegistry", call, (token,), here.account)
    status = here.chain.status(token).name
    here.output.result(
        {"asset": str(token), "status": status, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"{asset} is {status}; transaction {sent.transaction}"],
        then=then,
    )


@app.command("void-offers")
def void_offers(context: typer.Context, asset: Own) -> None:
    """Void every offer that you signed for a dataset so far; what was bought stays bought."""
    here = session(context)
    token = resolve(here.chain, here.store, asset)
    sent = here.chain.send("Market", "raiseEpoch", (token,), here.account)
    epoch = here.chain.epoch(token)
    here.output.result(
        {"asset": str(token), "epoch": epoch, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"offers before epoch {epoch} are void; transaction {sent.transaction}"],
        then=f"steelyard dataset offer {asset} --price EUROS",
    )
