"""`steelyard earnings`: what the market owes you, and getting it."""

from __future__ import annotations

from typing import Annotated

import typer

from marketplace import settlement
from marketplace.cli.session import session
from marketplace.core.readable import euros

app = typer.Typer(help="Money that is owed to you.", no_args_is_help=True)


@app.command()
def show(context: typer.Context) -> None:
    """What the Market holds for you, and what your wallet holds."""
    here = session(context)
    owed, held = here.chain.balance(here.address), here.chain.token_balance(here.address)
    here.output.result(
        {"address": here.address, "owed": owed, "held": held},
        [f"owed by the market: {euros(owed)}", f"in the wallet: {euros(held)}"],
        then="steelyard earnings withdraw" if owed else None,
    )


@app.command()
def withdraw(
    context: typer.Context, to: Annotated[str, typer.Option(help="another address; default your wallet")] = ""
) -> None:
    """Pay out everything that is owed."""
    here = session(context)
    sent, amount = settlement.withdraw(here.chain, here.account, to or here.address)
    here.output.result(
        {"amount": amount, "to": to or here.address, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"{euros(amount)} paid out to {to or here.address}"],
    )
