"""`steelyard dataset list|show`; publishing joins from the package that touches plaintext."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from marketplace.cli.output import euros, short, table
from marketplace.cli.session import Session, session
from marketplace.core.dataset import Listing
from marketplace.core.policy import describe
from marketplace.errors import SteelyardError, UnavailableError
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
    rows = [(row["slug"], row["name"], row["rows"], short(row["owner"]), row["id"]) for row in found]
    then = f"steelyard dataset show {found[0]['id']}" if found else None
    shown = table("Datasets", ("slug", "name", "rows", "owner", "id"), rows)
    here.output.result({"datasets": found}, [shown], then=then)


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
    lines: list[Any] = [
        f"{listing.name} ({listing.slug} {listing.version}, {listing.licence})",
        f"by {listing.creator.name}, owner {here.chain.owner_of(token)}",
        listing.description,
        f"{listing.rows} rows; columns: "
        + ", ".join(f"{column.name} ({column.kind})" for column in listing.columns),
        "personal data: " + ("yes" if listing.personal_data else "none declared"),
        "algorithms: "
        + (", ".join(algorithm.name for algorithm in listing.algorithms) or "custom ones only"),
    ]
    for found in offers[:1]:
        lines += describe(terms_of(here.store, found.offer))
    lines.append(
        table("Offers", ("price a use", "uses", "days", "offer"), [_offer_row(found) for found in offers])
    )
    here.output.result(
        {
            "id": str(token),
            "did": str(did_of(here.chain, token)),
            "owner": here.chain.owner_of(token),
            "listing": listing.to_document(),
            "offers": [{"digest": found.digest, **found.offer.to_json()} for found in offers],
        },
        lines,
        then=f"steelyard access buy {listing.slug} --uses 1",
    )


def _offer_row(found: AnnouncedOffer) -> tuple[str, str, str, str]:
    offer = found.offer
    return euros(offer.price), f"up to {offer.max_uses}", str(offer.term_days), short(found.digest)


@app.command("void-offers")
def void_offers(
    context: typer.Context, asset: Annotated[str, typer.Argument(help="id, DID or slug of yours")]
) -> None:
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
