"""`steelyard model`: register what a settled job made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from marketplace import results, settlement
from marketplace.cli.session import parse_job_id, read_object, session
from marketplace.core.spec import ModelCard
from marketplace.lookup import did_of, job_opened, offer_of, request_of

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
    request = request_of(job_opened(here.chain, parse_job_id(job)))
    found = results.status(here.chain, here.store, request.job_id)
    offer = offer_of(here.chain, here.store, request.offer_digest).offer
    spec, _ = results.open_spec(here.store, here.keyring, request.spec)
    receipt = results.receipt_of(here.chain, here.store, request.job_id).receipt
    card = ModelCard.of(
        {
            "name": name,
            "job": "0x" + request.job_id.hex(),
            "dataset": str(did_of(here.chain, offer.asset_id)),
            "algorithm": "0x" + request.algorithm.hex(),
            "algorithm_name": spec.algorithm.name,
            "output": "0x" + receipt.output_digest.hex(),
            "purpose": spec.purpose,
            "metrics": _metrics(metrics),
        }
    )
    sent, model = settlement.register_model(here.chain, here.store, here.account, request, card)
    units = here.chain.units(model, found.job.provider)
    here.output.result(
        {
            "model": str(model),
            "did": str(did_of(here.chain, model)),
            "job": job,
            "provider": found.job.provider,
            "units": units,
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"model {did_of(here.chain, model)}", f"{units} credit units to {found.job.provider}"],
        then=f"steelyard audit verify {job}",
    )


def _metrics(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    found = read_object(path, "the metrics file")
    flat = dict(found)
    for name, inner in found.items():
        if isinstance(inner, dict):
            flat |= {f"{name}.{key}": value for key, value in inner.items()}
    return {name: value for name, value in flat.items() if isinstance(value, int | float | str)}
