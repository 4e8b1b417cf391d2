"""`steelyard accreditation`: who vouches for whom, in which role."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from marketplace.cli.session import session
from marketplace.core.eip712 import ZERO_ADDRESS, parse_address
from marketplace.core.ids import role_id
from marketplace.core.readable import instant

app = typer.Typer(help="Accreditations: offers may ask buyers for one.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(help="an address, 0x and 40 hex digits")]
Role = Annotated[str, typer.Option(help="the role's name, as offers say it")]
_DAY = 86_400


@app.command()
def give(
    context: typer.Context,
    account: Account,
    role: Role,
    days: Annotated[int, typer.Option(min=1, max=3_650, help="days that it lasts")] = 365,
) -> None:
    """Vouch for an account, as an issuer that is trusted with the role."""
    here = session(context)
    until = here.chain.block_time() + days * _DAY
    _set(context, account, role, until, f"{account} is accredited as {role} until {instant(until)}")


@app.command()
def revoke(context: typer.Context, account: Account, role: Role) -> None:
    """Take an accreditation back."""
    _set(context, account, role, 0, f"{account} is not accredited as {role} any more")


def _set(context: typer.Context, account: str, role: str, until: int, said: str) -> None:
    here = session(context)
    call = (parse_address(account, where="the account"), role_id(role), until)
    sent = here.chain.send("ParticipantRegistry", "accredit", call, here.account)
    here.output.result(
        {
            "account": account,
            "role": role_id(role),
            "valid_until": until,
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [said],
        then=f"steelyard accreditation show {account} --role {role!r}",
    )


@app.command()
def show(context: typer.Context, account: Account, role: Role) -> None:
    """Whether an account is accredited in a role now, and by whom. Exit code 1 where it is not."""
    here = session(context)
    key = (parse_address(account, where="the account"), role_id(role))
    valid = here.chain.is_accredited(*key)
    issuer, until = here.chain.call("ParticipantRegistry", "accreditationOf", *key)
    found: dict[str, Any] = {"account": account, "role": key[1], "issuer": issuer, "valid_until": until}
    if issuer == ZERO_ADDRESS:
        line = f"nobody vouches for {account} as {role}"
    else:
        line = f"{issuer} vouches for {account} as {role} until {instant(until)}"
    here.output.result({**found, "accredited": valid}, [line, "accredited" if valid else "not accredited"])
    if not valid:
        raise typer.Exit(1)
