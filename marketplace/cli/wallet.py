"""`steelyard wallet`: keys of the people behind a market."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from marketplace.chain.deployment import DEVELOPMENT_CHAIN
from marketplace.chain.embedded import fund as fund_wallet
from marketplace.cli.output import table_or
from marketplace.cli.session import Session, session
from marketplace.core.readable import euros
from marketplace.errors import InputError, SteelyardError

app = typer.Typer(help="Wallets of this home.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="letters a-z, digits and hyphens")]


@app.command()
def new(context: typer.Context, name: Name) -> None:
    """Make a wallet; its key file is encrypted under your passphrase."""
    here = session(context)
    account = here.keyring.new_wallet(name)
    here.output.result(
        {"name": name, "address": account.address},
        [f"wallet {name}: {account.address}"],
        then=_after_new(here),
    )


def _after_new(here: Session) -> str:
    """On a development chain a new wallet can be filled."""
    try:
        development = here.deployment.chain_id == DEVELOPMENT_CHAIN
    except SteelyardError:
        development = False  # a wallet needs no market
    return "steelyard wallet fund" if development else "steelyard wallet show"


@app.command("import")
def import_(context: typer.Context, name: Name) -> None:
    """Read a private key (hex) from standard input and keep it encrypted."""
    here = session(context)
    text = sys.stdin.readline().strip().removeprefix("0x")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise InputError("no private key on standard input", expected="64 hex digits") from None
    account = here.keyring.import_wallet(name, key)
    here.output.result(
        {"name": name, "address": account.address},
        [f"wallet {name}: {account.address}"],
        then="steelyard wallet show",
    )


@app.command()
def show(context: typer.Context) -> None:
    """All wallets and what they hold."""
    here = session(context)
    rows = [
        (name, address, here.chain.token_balance(address)) for name, address in here.keyring.wallets().items()
    ]
    here.output.result(
        {"wallets": [{"name": name, "address": address, "units": units} for name, address, units in rows]},
        [
            table_or(
                "This home has no wallet yet.",
                "Wallets",
                ("name", "address", "holds"),
                [(name, address, euros(units)) for name, address, units in rows],
            )
        ],
        then=None if rows else "steelyard wallet new NAME",
    )


@app.command()
def fund(
    context: typer.Context,
    euros_: Annotated[int, typer.Option("--euros", min=0, max=1_000_000)] = 1_000,
) -> None:
    """Test money and gas for your wallet: development chain only."""
    here = session(context)
    fund_wallet(here.chain, here.address, euros_)
    held = here.chain.token_balance(here.address)
    here.output.result(
        {"address": here.address, "units": held},
        [f"{here.address} holds {euros(held)} of test money, and gas"],
    )
