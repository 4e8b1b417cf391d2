"""`steelyard job dispute|resolve`: what buyers and judges can do about a result or a fault."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from marketplace import disputes
from marketplace.chain.client import Sent
from marketplace.cli.job import JobId, app
from marketplace.cli.session import Session, session
from marketplace.core.events import JobDisputed
from marketplace.core.ids import parse_digest
from marketplace.core.job import Ground, Ruling
from marketplace.core.readable import euros, instant

__all__ = ["app"]


@app.command()
def dispute(
    context: typer.Context,
    job: JobId,
    ground: Annotated[
        Literal["unavailable", "malformed", "other"],
        typer.Option(help="why: the last one is for the arbiter"),
    ],
    words: Annotated[str, typer.Option(help="what is wrong; everybody can read it")] = "",
) -> None:
    """Dispute a result or a fault within its window; you stake the market's challenge bond."""
    here = session(context)
    case = disputes.case_of(here.chain, here.store, parse_digest(job, "job id"))
    stake = here.chain.deployment.limits.challenge_bond
    here.output.step(f"staking {euros(stake)}")
    chosen = Ground[ground]
    sent = disputes.dispute(here.chain, here.store, here.account, case, chosen, words)
    found = next(event for event in sent.events if isinstance(event, JobDisputed))
    here.output.result(
        {
            "job": job,
            "judge": found.judge,
            "until": found.until,
            "stake": stake,
            "transaction": sent.transaction,
            "gas": sent.gas_used,
        },
        [f"{found.judge} judges until {instant(found.until)}", f"transaction {sent.transaction}"],
        then=f"steelyard job status {job}",
    )


@app.command()
def resolve(
    context: typer.Context,
    job: JobId,
    ruling: Annotated[
        Literal["pay", "refund", "split"],
        typer.Option(help="pay the provider, refund the buyer, or split the price"),
    ],
    words: Annotated[str, typer.Option(help="the reasons; everybody can read them")] = "",
) -> None:
    """Judge a disputed job, as the arbiter or verifier that its offer names."""
    here = session(context)
    case = disputes.case_of(here.chain, here.store, parse_digest(job, "job id"))
    sent = disputes.resolve(here.chain, here.store, here.account, case, Ruling[ruling], words)
    _resolved(here, job, sent)


def _resolved(here: Session, job: str, sent: Sent) -> None:
    state = here.chain.job(parse_digest(job, "job id")).state.name
    fee = here.chain.deployment.limits.judge_fee
    here.output.result(
        {"job": job, "state": state, "fee": fee, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"the job is {state}; {euros(fee)} are credited to you"],
        then="steelyard earnings withdraw",
    )
