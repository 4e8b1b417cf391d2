"""`steelyard bond`: what a provider pledges for its node."""

from __future__ import annotations

from typing import Annotated

import typer

from marketplace import bonds
from marketplace.cli.session import session
from marketplace.core.readable import euros, instant, parse_euros

app = typer.Typer(help="What a provider pledges for its node: buyers get it where the node fails them.")

Amount = Annotated[str, typer.Argument(help="euros, as 100 or 12.50")]


@app.command()
def show(context: typer.Context) -> None:
    """Your bond, and what the market asks for."""
    here = session(context)
    bond, limits = here.chain.bond(here.address), here.chain.deployment.limits
    lines = [f"{euros(bond.staked)} staked; {euros(limits.min_bond)} are needed to sell"]
    if bond.leaving:
        lines.append(f"{euros(bond.leaving)} leaves after {instant(bond.leaves_at)}")
    short = bonds.missing(here.chain, here.address)
    here.output.result(
        {
            "provider": here.address,
            "staked": bond.staked,
            "leaving": bond.leaving,
            "leaves_at": bond.leaves_at,
            "needed": limits.min_bond,
        },
        lines,
        then=f"steelyard bond deposit {euros(short).split()[0]}" if short else None,
    )


@app.command()
def deposit(context: typer.Context, amount: Amount) -> None:
    """Add to your bond."""
    here = session(context)
    sent = bonds.deposit(here.chain, here.account, parse_euros(amount))
    staked = here.chain.bond(here.address).staked
    here.output.result(
        {"staked": staked, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"{euros(staked)} staked; transaction {sent.transaction}"],
        then="steelyard bond show",
    )


@app.command()
def leave(context: typer.Context, amount: Amount) -> None:
    """Announce that a part of your bond shall leave; until then it can still be slashed."""
    here = session(context)
    sent = bonds.start_unbonding(here.chain, here.account, parse_euros(amount))
    bond = here.chain.bond(here.address)
    here.output.result(
        {
            "leaving": bond.leaving,
            "leaves_at": bond.leaves_at,
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"{euros(bond.leaving)} leaves after {instant(bond.leaves_at)}"],
        then="steelyard bond release",
    )


@app.command()
def release(context: typer.Context) -> None:
    """Take out what has left: it is credited to your balance."""
    here = session(context)
    sent, units = bonds.release(here.chain, here.account, here.address)
    here.output.result(
        {"released": units, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"{euros(units)} credited"],
        then="steelyard earnings withdraw",
    )
