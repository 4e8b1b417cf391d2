"""`steelyard dataset list|show`; publishing joins from the package that touches plaintext."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from marketplace.browse import search
from marketplace.cli.offers import conditions, described, offer_table, others, to_json
from marketplace.cli.orderable import orderables
from marketplace.cli.output import short, table_or
from marketplace.cli.session import Session, session
from marketplace.core.dataset import Environment, Listing
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.environments import named
from marketplace.core.ids import Status, parse_digest
from marketplace.core.terms import Purpose, Terms
from marketplace.errors import InputError, RefusedError
from marketplace.hub import HubClient, printable
from marketplace.lookup import (
    Standing,
    did_of,
    listing_of,
    offers_for,
    resolve,
    terms_of,
)

Own = Annotated[str, typer.Argument(help="id, DID or slug of yours")]

_MOST_PACKAGES = 40

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
    found = search(here.chain, here.store, query, say=here.output.say)
    return [{"id": str(one.token), "owner": one.publisher, **_brief(one.listing)} for one in found]


def _brief(listing: Listing) -> dict[str, Any]:
    return {"slug": listing.slug, "name": listing.name, "rows": listing.rows}


@app.command()
def show(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(help="id, DID, owner/slug or slug")],
    offer: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="describe this offer, not the cheapest")
    ] = None,
) -> None:
    """One dataset: what it is, what `access buy` would buy and on which terms, its other offers."""
    here = session(context)
    digest = None if offer is None else parse_digest(offer, "offer's digest")
    token = resolve(here.chain, here.store, asset, say=here.output.say)
    listing = listing_of(here.chain, here.store, token)
    buyer = _buyer(here)
    offers = offers_for(here.chain, here.store, token, buyer, here.chain.block_time())
    shown = described(offers, digest)
    terms = terms_of(here.store, shown.announced.offer) if shown else None
    algorithms = orderables(here.store, listing)
    lines = [
        *_about(here, token, listing),
        *conditions(shown, terms, named=digest is not None, anybody=buyer == ZERO_ADDRESS),
        f"for --purpose: {', '.join(_purposes(terms))}",
        "for --algorithm, each parameter as --param name=value:" if algorithms else "no listed algorithm",
        *(line for algorithm in algorithms for line in algorithm.lines()),
        offer_table(offers, shown),
        *others(offers, shown),
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
            "offer": shown.announced.digest if shown else None,
            "offers": [to_json(found) for found in offers],
        },
        lines,
        then=_purchase(token, shown),
    )


def _buyer(here: Session) -> str:
    """Who would buy: this home's wallet; anybody where it has none, or several and none is chosen."""
    try:
        return here.address
    except InputError:
        if here.settings.wallet:
            raise
        return ZERO_ADDRESS


def _purchase(token: int, shown: Standing | None) -> str | None:
    """The command that buys what was shown, and nothing else under the same name."""
    if shown is None or shown.obstacle:
        return None
    return f"steelyard access buy {token} --offer 0x{shown.announced.digest.hex()} --uses 1"


def _about(here: Session, token: int, listing: Listing) -> list[str]:
    return [
        f"{listing.name} ({listing.slug} {listing.version}, {listing.licence})",
        f"by {listing.creator.name}, owner {here.chain.owner_of(token)}",
        listing.description,
        f"{listing.rows} rows; columns: "
        + ", ".join(f"{column.name} ({column.kind})" for column in listing.columns),
        "personal data: " + ("yes" if listing.personal_data else "none declared"),
        *(_environment(one) for one in listing.environments),
    ]


def _environment(one: Environment) -> str:
    """What algorithms can import there; `--json` has the whole list."""
    shown = ", ".join(printable(package, 80) for package in one.packages[:_MOST_PACKAGES])
    rest = len(one.packages) - _MOST_PACKAGES
    return f"environment {named([one])}: {shown}" + (f" and {rest} more" if rest > 0 else "")


def _purposes(terms: Terms | None) -> list[str]:
    """The words that `--purpose` takes under these terms."""
    return [str(purpose) for purpose in (terms.purposes if terms and terms.purposes else Purpose)]


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
    token = resolve(here.chain, here.store, asset, say=here.output.say)
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
    token = resolve(here.chain, here.store, asset, say=here.output.say)
    sent = here.chain.send("Market", "raiseEpoch", (token,), here.account)
    epoch = here.chain.epoch(token)
    here.output.result(
        {"asset": str(token), "epoch": epoch, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"offers before epoch {epoch} are void; transaction {sent.transaction}"],
        then=f"steelyard dataset offer {asset} --price EUROS",
    )
