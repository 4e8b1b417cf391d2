"""`steelyard earnings`: what the market owes you, what earned it, and getting it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from marketplace import settlement
from marketplace.cli.output import short, table
from marketplace.cli.periods import From, To, parse_period
from marketplace.cli.session import Session, session
from marketplace.core.books import JobLine, Kind
from marketplace.core.readable import euros, instant
from marketplace.core.statement import Earned, Line, earned_by_dataset
from marketplace.statements import Account, names_of

app = typer.Typer(help="Money that is owed to you.", no_args_is_help=True)


@app.command()
def show(context: typer.Context, first: From = "", last: To = "") -> None:
    """What the Market holds for you, what each dataset earned, what is still pending, and what was withdrawn."""
    here = session(context)
    period = parse_period(first, last)
    account = Account.read(here.chain, here.address)
    lines = [line for line in account.lines() if period.holds(line.time)]
    earned, pending = earned_by_dataset(lines), account.pending()
    withdrawn = [line for line in lines if line.flow.kind is Kind.withdrawal]
    owed, held = here.chain.balance(here.address), here.chain.token_balance(here.address)
    here.output.result(
        {
            "address": here.address,
            "owed": owed,
            "held": held,
            "datasets": [vars(one) | {"asset": str(one.asset)} for one in earned],
            "pending": [_pending_json(job) for job in pending],
            "withdrawals": [_withdrawal_json(line) for line in withdrawn],
        },
        [
            f"owed by the market: {euros(owed)}",
            f"in the wallet: {euros(held)}",
            *_tables(here, earned, pending, withdrawn),
        ],
        then="steelyard earnings withdraw" if owed else None,
    )


def _pending_json(job: JobLine) -> dict[str, Any]:
    return {
        "job": job.job_id,
        "asset": str(job.asset),
        "state": job.state.name,
        "amount": job.held,
        "until": job.until,
    }


def _withdrawal_json(line: Line) -> dict[str, Any]:
    flow = line.flow
    return {"time": line.time, "amount": flow.amount, "to": flow.about, "transaction": flow.at.transaction}


def _tables(
    here: Session, earned: list[Earned], pending: list[JobLine], withdrawn: list[Line]
) -> list[Table]:
    assets = {one.asset for one in earned} | {job.asset for job in pending if job.asset is not None}
    names = names_of(here.chain, here.store, assets, here.output.say).datasets if assets else {}
    by_dataset = [
        (names.get(one.asset, short(one.asset)), one.jobs, *map(euros, (one.sales, one.fees, one.penalties)))
        for one in earned
    ]
    open_jobs = [
        (
            short(job.job_id),
            names.get(job.asset or 0, ""),
            job.state.name,
            euros(job.held),
            instant(job.until),
        )
        for job in pending
    ]
    paid_out = [(instant(line.time), euros(line.flow.amount), short(line.flow.about)) for line in withdrawn]
    shown = (
        ("Earned", ("dataset", "jobs paid", "sales", "failure fees", "penalties"), by_dataset),
        ("Pending", ("job", "dataset", "state", "amount", "until"), open_jobs),
        ("Withdrawn", ("time", "amount", "to"), paid_out),
    )
    return [table(title, columns, rows) for title, columns, rows in shown if rows]


@app.command()
def withdraw(
    context: typer.Context, to: Annotated[str, typer.Option(help="another address; default your wallet")] = ""
) -> None:
    """Pay out everything that is owed; the contract pays no part of it."""
    here = session(context)
    sent, amount = settlement.withdraw(here.chain, here.account, to or here.address)
    here.output.result(
        {"amount": amount, "to": to or here.address, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"{euros(amount)} paid out to {to or here.address}"],
        then="steelyard earnings show",
    )
