"""`steelyard model`: register what a settled job made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marketplace import results, settlement
from marketplace.cli.session import read_object, session
from marketplace.core.ids import parse_digest
from marketplace.lookup import did_of, job_opened, request_of

app = typer.Typer(help="Models that jobs made.", no_args_is_help=True)


@app.command()
def register(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="a settled job of yours")],
    name: Annotated[str, typer.Option(help="what the model is called")],
    metrics: Annotated[
        Path | None, typer.Option(help="metrics.json of the opened result, to publish")
    ] = None,
) -> None:
    """Register the model of a settled job: you own it, the data's owner gets its credit."""
    here = session(context)
    request = request_of(job_opened(here.chain, parse_digest(job, "job id")))
    numbers = read_object(metrics, "the metrics file") if metrics else {}
    card = results.model_card(here.chain, here.store, here.keyring, request, name, numbers)
    provider = here.chain.job(request.job_id).provider
    sent, model = settlement.register_model(here.chain, here.store, here.account, request, card)
    units = here.chain.units(model, provider)
    here.output.result(
        {
            "model": str(model),
            "did": str(did_of(here.chain, model)),
            "job": job,
            "provider": provider,
            "units": units,
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"model {did_of(here.chain, model)}", f"{units} credit units to {provider}"],
        then=f"steelyard audit verify {job}",
    )
