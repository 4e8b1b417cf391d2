"""`steelyard job`: order a job, watch it, open its result, settle it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from marketplace import jobs, purchase, results, settlement
from marketplace.chain.client import Sent
from marketplace.cli.output import short, table_or
from marketplace.cli.session import Session, parse_parameters, session
from marketplace.core.dataset import Listing
from marketplace.core.ids import parse_digest
from marketplace.core.job import END_STATES, Request, State
from marketplace.core.terms import Purpose
from marketplace.errors import RefusedError
from marketplace.lookup import job_opened, listing_of, request_of, resolve
from marketplace.watching import ANSWERED, Seen, watch_job

app = typer.Typer(help="Jobs on other people's data.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="0x and 64 hex digits")]

_WITH_RESULT = frozenset({State.submitted, State.settled})


@app.command()
def start(
    context: typer.Context,
    asset: Annotated[str, typer.Argument(help="id, DID, owner/slug or slug")],
    algorithm: Annotated[str, typer.Option(help="a listed one's name, or ./folder with algorithm.toml")],
    purpose: Annotated[str, typer.Option(help="what the job is for, as the terms name it")],
    param: Annotated[list[str] | None, typer.Option(help="name=value; repeat")] = None,
    params: Annotated[Path | None, typer.Option(help="JSON file with parameters")] = None,
) -> None:
    """Open a job on access you hold."""
    here = session(context)
    declared = Purpose.parse(purpose)
    values = parse_parameters(param or [], params)
    token = resolve(here.chain, here.store, asset, strict=True)
    access = purchase.usable_access(here.chain, here.address, token)
    listing = listing_of(here.chain, here.store, token)
    chosen = _algorithm(here, listing, algorithm)
    waits = jobs.require_permitted(
        here.chain,
        here.store,
        asset=token,
        offer_digest=access.offer_digest,
        grant=access.grant,
        buyer=here.address,
        algorithm=chosen,
        purpose=declared,
    )
    if waits:
        here.output.step("the owner must approve this algorithm before it runs")
    here.output.step(f"sealing the order for {chosen.parsed.manifest.name}")
    order = jobs.start(
        here.chain,
        here.store,
        here.keyring,
        here.account,
        offer_digest=access.offer_digest,
        grant=access.grant,
        listing=listing,
        algorithm=chosen,
        parameters=values,
        purpose=declared,
    )
    name = "0x" + order.request.job_id.hex()
    here.output.result(
        {
            "job": name,
            "algorithm": order.request.algorithm,
            "listed": chosen.listed,
            "transaction": order.sent.transaction,
            "gas": order.sent.gas_used,
        },
        [f"job {name} opened", f"transaction {order.sent.transaction}"],
        then=f"steelyard job watch {name}",
    )


def _algorithm(here: Session, listing: Listing, name: str) -> jobs.Algorithm:
    if "/" in name:
        return jobs.own_algorithm(Path(name))
    return jobs.listed_algorithm(here.store, listing, name)


@app.command("list")
def list_(context: typer.Context) -> None:
    """Your jobs and their states."""
    here = session(context)
    rows: list[dict[str, Any]] = []
    for event in jobs.opened_by(here.chain, here.address):
        job = here.chain.job(event.job_id, block=here.chain.confirmed_head())
        rows.append({"job": event.job_id, "state": job.state.name, "price": job.price, "until": job.until})
    cells = [("0x" + row["job"].hex(), row["state"]) for row in rows]
    shown = table_or("You have opened no job yet.", "Jobs", ("job", "state"), cells)
    then = f"steelyard job status {cells[-1][0]}" if cells else "steelyard dataset list"
    here.output.result({"jobs": rows}, [shown], then=then)


@app.command()
def status(context: typer.Context, job: JobId) -> None:
    """Where a job stands, and why."""
    here = session(context)
    found = results.status(here.chain, here.store, parse_digest(job, "job id"))
    here.output.result(_status_json(found), [_said(found)], then=_after(found, job))


def _said(found: results.Status) -> str:
    note = found.note
    if found.job.state is State.expired:
        note = "no answer came before the deadline; everything went back to the buyer"
    return found.job.state.name + (f": {note}" if note else "")


def _after(found: results.Status, job: str) -> str:
    """The next command of a buyer."""
    if found.job.state is State.open:
        return f"steelyard job watch {job}"
    if found.job.state in _WITH_RESULT:
        return f"steelyard job result {job} --to FOLDER"
    return "steelyard earnings show"


def _status_json(found: results.Status) -> dict[str, Any]:
    history = [
        {
            "event": type(event).__name__,
            "block": event.at.block,
            "transaction": event.at.transaction,
            **{name: getattr(event, name) for name in ("amount", "fee", "refund") if hasattr(event, name)},
        }
        for event in found.history
    ]
    return {
        "job": found.request.job_id,
        "state": found.job.state.name,
        "until": found.job.until,
        "note": found.note,
        "history": history,
    }


@app.command()
def watch(context: typer.Context, job: JobId) -> None:
    """Follow a job until it has an answer; exit code 1 where it has no result.

    Shows live progress where a hub is set, else the chain's states.
    """
    here = session(context)
    job_id = parse_digest(job, "job id")
    for seen in _watched(here, job_id, ANSWERED):
        if seen.state not in ANSWERED:
            here.output.event(seen.to_json(), str(seen))
    found = results.status(here.chain, here.store, job_id)
    last = {"source": "chain", "state": found.job.state.name, "note": found.note}
    here.output.result(last, [f"state on chain: {_said(found)}"], then=_after(found, job))
    if found.job.state not in _WITH_RESULT:
        raise typer.Exit(1)


@app.command()
def wait(
    context: typer.Context,
    job: JobId,
    until: Annotated[
        Literal["submitted", "ended"], typer.Option("--for", help="an answer, or that money has moved too")
    ] = "submitted",
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="give up after so long; default never")
    ] = None,
) -> None:
    """Wait until a job is submitted or has ended; exit code 1 where it has no result or the time ran out."""
    here = session(context)
    job_id = parse_digest(job, "job id")
    for seen in _watched(here, job_id, END_STATES if until == "ended" else ANSWERED, timeout):
        here.output.step(str(seen))
    found = results.status(here.chain, here.store, job_id)
    here.output.result(_status_json(found), [_said(found)], then=_after(found, job))
    if found.job.state not in _WITH_RESULT:
        raise typer.Exit(1)


def _watched(
    here: Session, job_id: bytes, until: frozenset[State], timeout: float | None = None
) -> Iterator[Seen]:
    return watch_job(here.chain, job_id, hub=here.settings.hub, until=until, timeout=timeout)


@app.command()
def result(
    context: typer.Context, job: JobId, to: Annotated[Path, typer.Option(help="a new or empty folder")]
) -> None:
    """Open a job's result with the key that this home made for it; every digest is checked."""
    here = session(context)
    opened = results.open_result(here.chain, here.store, here.keyring, parse_digest(job, "job id"))
    written = results.write_files(opened.files, to)
    here.output.result(
        {"job": job, "folder": str(to), "files": [str(path.relative_to(to)) for path in written]},
        [f"{path}  {path.stat().st_size} bytes" for path in written],
        then=_after_result(here, job),
    )


def _after_result(here: Session, job: str) -> str:
    if here.chain.job(parse_digest(job, "job id")).state is not State.settled:
        return f"steelyard job accept {job}"
    if settlement.registered_model(here.chain, _request(here, job)) is None:
        return f"steelyard model register {job} --name NAME"
    return f"steelyard audit verify {job}"


@app.command()
def accept(context: typer.Context, job: JobId) -> None:
    """Settle a submitted job now; the provider is credited."""
    here = session(context)
    _settled(here, job, settlement.accept(here.chain, here.account, _request(here, job)))


@app.command()
def finalise(context: typer.Context, job: JobId) -> None:
    """Settle a job whose window is over; anyone may."""
    here = session(context)
    sent = settlement.finalise(here.chain, here.account, [parse_digest(job, "job id")])
    if not sent.events:
        raise RefusedError(
            "the window is not over, or the job has ended",
            got=here.chain.job(parse_digest(job, "job id")).state.name,
        )
    _settled(here, job, sent)


@app.command()
def expire(context: typer.Context, job: JobId) -> None:
    """After the deadline without an answer: everything back to the buyer."""
    here = session(context)
    _settled(here, job, settlement.expire(here.chain, here.account, _request(here, job)))


def _request(here: Session, job: str) -> Request:
    return request_of(job_opened(here.chain, parse_digest(job, "job id")))


def _settled(here: Session, job: str, sent: Sent) -> None:
    state = here.chain.job(parse_digest(job, "job id")).state.name
    here.output.result(
        {"job": job, "state": state, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"job {short(parse_digest(job, 'job id'))} is {state}"],
        then=f"steelyard model register {job} --name NAME"
        if state == "settled"
        else "steelyard earnings withdraw",
    )
