"""`steelyard access`: buy access to a dataset, see it, get money back for what was not used."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from marketplace import purchase
from marketplace.cli.output import short, table_or
from marketplace.cli.session import session
from marketplace.core.ids import parse_digest
from marketplace.core.readable import euros, parse_euros
from marketplace.errors import NotFoundError
from marketplace.lookup import offer_of, resolve, usable_offer
from marketplace.statements import names_of

app = typer.Typer(help="Access to datasets.", no_args_is_help=True)

Asset = Annotated[str, typer.Argument(help="id, DID, owner/slug or slug")]


@app.command()
def buy(
    context: typer.Context,
    asset: Asset,
    uses: Annotated[int, typer.Option(min=1, max=65_535, help="jobs to pay for")] = 1,
    pay: Annotated[Literal["permit", "approve"], typer.Option(help="one transaction, or two")] = "permit",
    offer: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="this offer and no other; `dataset show` names it")
    ] = None,
    most: Annotated[
        str | None, typer.Option(metavar="EUROS", help="buy nothing if a use costs more, as 12.50")
    ] = None,
) -> None:
    """Buy uses of a dataset at its cheapest offer that is open to you, or at the one that you name."""
    here = session(context)
    digest = None if offer is None else parse_digest(offer, "offer's digest")
    limit = None if most is None else parse_euros(most)
    token = resolve(here.chain, here.store, asset, strict=True)
    now = here.chain.block_time()
    announced = usable_offer(here.chain, here.store, token, here.address, now, digest=digest)
    cost = uses * announced.offer.price
    here.output.step(f"buying {uses} uses for {euros(cost)}")
    sent = purchase.buy(here.chain, here.account, announced, uses, pay=pay, most=limit)
    grant = here.chain.grant(announced.digest, here.address)
    here.output.result(
        {
            "offer": announced.digest,
            "asset": str(token),
            "uses": uses,
            "cost": cost,
            "unused": grant.unused(),
            "last_day": grant.last_day,
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"bought {uses} uses for {euros(cost)}; {grant.unused()} unused", f"transaction {sent.transaction}"],
        then=f"steelyard job start {asset} --algorithm NAME --purpose PURPOSE",
    )


@app.command("list")
def list_(context: typer.Context) -> None:
    """Your access: what is paid, used and left."""
    here = session(context)
    held = purchase.accesses(here.chain, here.address)
    assets = {access.asset_id for access in held}
    slugs = names_of(here.chain, here.store, assets, here.output.say).datasets
    rows: list[dict[str, Any]] = [
        {
            "asset": str(access.asset_id),
            "slug": slugs.get(access.asset_id),
            "provider": access.grant.provider,
            "offer": access.offer_digest,
            "paid": access.grant.jobs_paid,
            "opened": access.grant.jobs_opened,
            "unused": access.grant.unused(),
            "ended": purchase.has_ended(access.grant, here.chain.block_time()),
        }
        for access in held
    ]
    columns = ("dataset", "provider", "paid", "opened", "unused", "ended")
    shown = table_or("You have bought no access yet.", "Access", columns, [_cells(row) for row in rows])
    here.output.result({"access": rows}, [shown], then=None if rows else "steelyard dataset list")


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    name = row["slug"] or row["asset"]
    ended = "yes" if row["ended"] else "no"
    return name, short(row["provider"]), row["paid"], row["opened"], row["unused"], ended


@app.command()
def refund(context: typer.Context, asset: Asset) -> None:
    """Claim unused uses back to your balance: of an ended access, or where the provider does not keep its side."""
    here = session(context)
    token = resolve(here.chain, here.store, asset, say=here.output.say)
    mine = [found for found in purchase.accesses(here.chain, here.address) if found.asset_id == token]
    now = here.chain.block_time()
    unused = [found for found in mine if found.grant.unused()]
    unused.sort(key=lambda found: not purchase.has_ended(found.grant, now))  # one that has ended first
    if not unused:
        raise NotFoundError(
            "nothing unused on this dataset", got=asset, do="`steelyard access list` shows all."
        )
    offer = offer_of(here.chain, here.store, unused[0].offer_digest).offer
    sent, amount = purchase.claim_unused(here.chain, here.account, unused[0], offer)
    here.output.result(
        {
            "offer": unused[0].offer_digest,
            "amount": amount,
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"{euros(amount)} credited for {unused[0].grant.unused()} uses of {short(token)}"],
        then="steelyard earnings withdraw",
    )
