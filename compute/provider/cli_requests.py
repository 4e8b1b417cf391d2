"""`steelyard request`: what waits for the owner, what it would do, yes or no."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from compute.provider import requests
from compute.provider.decisions import decisions
from compute.provider.home import journal_of, outputs_of
from compute.provider.journal import WAITS_FOR_OWNER, Step
from compute.provider.readable import Readable, readable
from marketplace.cli.session import Session, session
from marketplace.core.ids import parse_digest
from marketplace.core.readable import instant
from marketplace.errors import RefusedError
from marketplace.hub import printable
from marketplace.keys import SEALING_KEY
from marketplace.results import write_files

_MOST_SHOWN = 4_000

JobId = Annotated[str, typer.Argument(help="0x and 64 hex digits")]


def request_list(context: typer.Context) -> None:
    """Jobs that wait for you."""
    here = session(context)
    rows = [
        {
            "job": "0x" + entry.job_id.hex(),
            "waits_for": "approval of the algorithm"
            if entry.step is Step.approval
            else "release of the output",
            "buyer": entry.request.buyer,
            "until": entry.until,
        }
        for entry in requests.waiting(journal_of(here))
    ]
    lines = [line for row in rows for line in _lines(row)] or ["Nothing waits for you."]
    then = f"steelyard request show {rows[0]['job']}" if rows else "steelyard node status"
    here.output.result({"requests": rows}, lines, then=then)


def request_history(context: typer.Context) -> None:
    """Who approved, released or refused what, and when: your decisions as chain and content have them."""
    here = session(context)
    made = decisions(here.chain, here.store, here.address)
    rows = [
        {
            "at": decision.at,
            "what": decision.what,
            "by": decision.by,
            "algorithm": "0x" + decision.algorithm.hex() if decision.algorithm else None,
            "asset": decision.asset,
            "buyer": decision.buyer or None,
            "until": decision.until,
            "job": "0x" + decision.job.hex() if decision.job else None,
            "transaction": "0x" + decision.transaction.hex(),
        }
        for decision in made
    ]
    lines = [line for row in rows for line in _decided(row)] or ["You have decided nothing yet."]
    here.output.result({"decisions": rows}, lines, then="steelyard request list")


def _decided(row: dict[str, Any]) -> tuple[str, ...]:
    about = [f"  {name} {row[name]}" for name in ("job", "algorithm", "buyer") if row[name]]
    until = f", until {instant(row['until'])}" if row["until"] else ""
    return f"{instant(row['at'])}  {row['what']}{until}", *about


def _lines(row: dict[str, Any]) -> tuple[str, ...]:
    """A job's id has a line of its own, whole: the next command takes it."""
    waits = f"  waits for {row['waits_for']}, until {instant(row['until'])}"
    return str(row["job"]), waits, f"  buyer {row['buyer']}"


def request_show(
    context: typer.Context,
    job: JobId,
    to: Annotated[Path | None, typer.Option(help="a new folder for every file, whole and untouched")] = None,
) -> None:
    """Everything to read before deciding; what a terminal would hide or do stands as an escape, as \\u200b."""
    here = session(context)
    pending = _pending(here, job)
    files = pending.output if pending.output is not None else dict(pending.order.algorithm.files)
    kind = "output" if pending.output is not None else "algorithm"
    shown = {name: readable(data, _MOST_SHOWN) for name, data in files.items()}
    lines: list[Any] = _heading(pending, kind, job)
    for name, data in files.items():
        lines += [f"--- {name} ({len(data)} bytes)", shown[name].text, *_missing(shown[name], job)]
    if to is not None:
        lines += [f"wrote {path}" for path in write_files(files, to)]
    option = " --output" if kind == "output" else ""
    request, spec = pending.entry.request, pending.order.spec
    value = {
        "job": job,
        "kind": kind,
        "buyer": request.buyer,
        "purpose": spec.purpose,
        "algorithm": {"name": pending.order.algorithm.manifest.name, "digest": request.algorithm},
        "parameters": pending.order.parameters,
        "files": [
            {"name": name, "bytes": len(data), "text": shown[name].text, "whole": shown[name].whole}
            for name, data in files.items()
        ],
    }
    here.output.result(
        value,
        lines,
        then=f"steelyard request approve {job}{option}   (or: steelyard request refuse {job})",
    )


def _heading(pending: requests.Pending, kind: str, job: str) -> list[str]:
    manifest, spec = pending.order.algorithm.manifest, pending.order.spec
    return [
        f"{kind} of job {job}",
        f"buyer {pending.entry.request.buyer}, purpose {printable(spec.purpose, 100)} (declared)",
        f"algorithm {manifest.name} {manifest.version}: {printable(manifest.description, 500)}",
        f"parameters {pending.order.parameters}",
    ]


def _missing(shown: Readable, job: str) -> list[str]:
    if shown.whole:
        return []
    return [f"(not the whole; read that before you approve: steelyard request show {job} --to FOLDER)"]


def _pending(here: Session, job: str) -> requests.Pending:
    private = here.keyring.sealing_key(SEALING_KEY).private
    return requests.show(
        here.chain, here.store, outputs_of(here), journal_of(here), parse_digest(job, "job id"), private
    )


def request_approve(
    context: typer.Context,
    job: JobId,
    output: Annotated[bool, typer.Option("--output", help="sign the release of the output")] = False,
) -> None:
    """Sign: this algorithm may run for this buyer, now and for 30 days. With --output: this output may leave."""
    here = session(context)
    _require_stage(here, job, Step.review if output else Step.approval)
    struct, sent = requests.approve(
        here.chain,
        here.store,
        journal_of(here),
        here.account,
        parse_digest(job, "job id"),
        now=int(time.time()),
    )
    kind = type(struct).__name__
    here.output.result(
        {"job": job, "signed": kind, "transaction": sent.transaction, "gas": sent.gas_used},
        [f"{kind} signed and announced; transaction {sent.transaction}"],
        then="steelyard request list",
    )


def _require_stage(here: Session, job: str, wanted: Step) -> None:
    """The owner says what is signed: what waits may have changed since it was shown."""
    step = journal_of(here).get(parse_digest(job, "job id")).step
    if step in WAITS_FOR_OWNER and step is not wanted:
        option = " --output" if step is Step.review else ""
        raise RefusedError(
            f"the job waits for your {'release of its output' if option else 'approval of its algorithm'}",
            do=f"Read it: steelyard request show {job}; then: steelyard request approve {job}{option}",
        )


def request_refuse(context: typer.Context, job: JobId) -> None:
    """Say no: the node rejects the job and the buyer gets everything back."""
    here = session(context)
    requests.refuse(journal_of(here), parse_digest(job, "job id"))
    here.output.result(
        {"job": job, "refused": True}, ["refused; the node rejects the job"], then="steelyard request list"
    )
