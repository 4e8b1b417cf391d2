"""Grants, jobs and participants; live progress."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from marketplace.api import views
from marketplace.api.answers import BuyerPath, DigestPath, JobPath, account, asset_id, body_of, takes
from marketplace.api.cursors import After, Limit, page, read
from marketplace.api.problems import problems
from marketplace.api.progress import Reporter
from marketplace.api.state import Desk, TheDesk, known
from marketplace.catalogue import lists, search
from marketplace.catalogue.rows import Grant as GrantRow
from marketplace.catalogue.rows import Job as JobRow
from marketplace.catalogue.rows import Participant as ParticipantRow
from marketplace.catalogue.schema import get
from marketplace.core.eip712 import parse_value
from marketplace.core.job import Progress, State
from marketplace.errors import InputError
from marketplace.wire.trade import (
    Grant,
    Grants,
    Jobs,
    LiveJob,
    Participant,
    Participants,
    PostedProgress,
    TakenProgress,
)

router = APIRouter(tags=["trade"])

MAX_PROGRESS = 4_096
"""Bytes of a progress message."""

Account = Annotated[str | None, Query(description="an account", examples=["0x" + "11" * 20])]
AssetText = Annotated[str | None, Query(max_length=200, description="a token id or DID")]
StateText = Annotated[str | None, Query(description="of the job", examples=["open"])]


def _account(text: str | None, where: str) -> str | None:
    return None if text is None else account(text, where=where)


def _asset(desk: Desk, text: str | None) -> int | None:
    return None if text is None else asset_id(text, did=desk.hub.did)


@router.get("/jobs", operation_id="listJobs")
def jobs(
    desk: TheDesk,
    request: Request,
    response: Response,
    buyer: Account = None,
    provider: Account = None,
    asset: AssetText = None,
    state: StateText = None,
    limit: Limit = 20,
    after: After = None,
) -> Jobs:
    """A page of jobs that fit all filters, newest first."""
    with desk.hub.database.read() as connection:
        found = lists.jobs(
            connection,
            buyer=_account(buyer, "the buyer"),
            provider=_account(provider, "the provider"),
            asset=_asset(desk, asset),
            state=None if state is None else _state(state).value,
            after=None if after is None else search.Place.parse(read("jobs", after)),
            limit=limit + 1,
        )
    shown, following = page(
        request, response, "jobs", found, limit, lambda row: search.Place(row.block, row.log_index)
    )
    return Jobs(jobs=[views.job_summary_of(row) for row in shown], next=following)


def _state(text: str) -> State:
    names = [state.name for state in State if state is not State.none]
    if text not in names:
        raise InputError("not a state of a job", got=text[:80], expected=", ".join(names))
    return State[text]


@router.get("/jobs/{job}", operation_id="getJob")
def job(desk: TheDesk, job: JobPath) -> LiveJob:
    """A job's state, its history with transactions, and its progress."""
    with desk.hub.database.read() as connection:
        row = known(get(connection, JobRow, job), "job", views.hexed(job))
        found = views.job_of(connection, row)
    return LiveJob(**dict(found), progress=views.progress_of(desk.board.last(job)))


@router.post(
    "/jobs/{job}/progress",
    operation_id="postProgress",
    status_code=202,
    responses=problems(403, 413),
    openapi_extra=takes(PostedProgress),
)
def post_progress(
    desk: TheDesk,
    job: JobPath,
    body: Annotated[PostedProgress, Depends(body_of(PostedProgress, limit=MAX_PROGRESS))],
) -> TakenProgress:
    """Takes progress from the present node of the job's provider."""
    progress = Progress.from_json(body.progress.model_dump())
    if progress.job_id != job:
        raise InputError(
            "the progress is of another job", got=views.hexed(progress.job_id), expected=views.hexed(job)
        )
    desk.board.post(progress, bytes.fromhex(body.signature[2:]), _reporter(desk, job))
    desk.hub.pulse.beat()
    return TakenProgress(job=views.hexed(job), sequence=progress.sequence)


def _reporter(desk: Desk, job_id: bytes) -> Reporter | None:
    with desk.hub.database.read() as connection:
        job = get(connection, JobRow, job_id)
        return None if job is None else Reporter(job.phase, search.node_of(connection, job))


@router.get("/grants", operation_id="listGrants")
def grants(
    desk: TheDesk,
    request: Request,
    response: Response,
    buyer: Account = None,
    provider: Account = None,
    asset: AssetText = None,
    limit: Limit = 20,
    after: After = None,
) -> Grants:
    """A page of grants that fit all filters, in the order of their offers' digests."""
    with desk.hub.database.read() as connection:
        found = lists.grants(
            connection,
            buyer=_account(buyer, "the buyer"),
            provider=_account(provider, "the provider"),
            asset=_asset(desk, asset),
            after=None if after is None else _grant_place(read("grants", after)),
            limit=limit + 1,
        )
    shown, following = page(
        request, response, "grants", found, limit, lambda row: f"{row.offer_digest.hex()} {row.buyer}"
    )
    return Grants(grants=[views.grant_of(row) for row in shown], next=following)


def _grant_place(text: str) -> tuple[bytes, str]:
    digest, _, buyer = text.partition(" ")
    return bytes(parse_value("bytes32", f"0x{digest}", where="the cursor")), account(
        buyer, where="the cursor"
    )


@router.get("/grants/{digest}/{buyer}", operation_id="getGrant")
def grant(desk: TheDesk, digest: DigestPath, buyer: BuyerPath) -> Grant:
    """What a buyer holds under an offer."""
    with desk.hub.database.read() as connection:
        found = get(connection, GrantRow, digest, buyer)
    return views.grant_of(known(found, "grant", f"{views.hexed(digest)} of {buyer}"))


@router.get("/participants", operation_id="listParticipants")
def participants(
    desk: TheDesk, request: Request, response: Response, limit: Limit = 20, after: After = None
) -> Participants:
    """A page of everybody who traded, in the order of their addresses."""
    place = None if after is None else account(read("participants", after), where="the cursor")
    with desk.hub.database.read() as connection:
        found = lists.participants(connection, after=place, limit=limit + 1)
        shown, following = page(request, response, "participants", found, limit, lambda row: row.account)
        participants = [views.participant_of(connection, row) for row in shown]
    return Participants(participants=participants, next=following)


@router.get("/participants/{participant}", operation_id="getParticipant")
def participant(desk: TheDesk, participant: str) -> Participant:
    """What an account has traded, in all."""
    address = account(participant, where="the participant")
    with desk.hub.database.read() as connection:
        row = known(get(connection, ParticipantRow, address), "participant", address)
        return views.participant_of(connection, row)
