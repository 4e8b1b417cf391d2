"""The market as a whole: health, the deployment file, what problems mean."""

from __future__ import annotations

from fastapi import APIRouter, Response
from sqlalchemy import Connection

from marketplace.api import problems
from marketplace.api.state import TheDesk
from marketplace.catalogue import lists
from marketplace.catalogue.rows import Pause
from marketplace.catalogue.schema import fetch
from marketplace.wire.assets import Health
from marketplace.wire.problem import ProblemKinds

unversioned = APIRouter(tags=["market"])
router = APIRouter(tags=["market"])


@unversioned.get("/health", operation_id="getHealth")
def health(desk: TheDesk) -> Health:
    """How far the chain was read, and which contracts are paused."""
    trouble = desk.hub.trouble()
    with desk.hub.database.read() as connection:
        return Health(
            status="behind" if trouble else "ok",
            trouble=trouble,
            block=lists.reached(connection),
            paused=_paused(connection),
        )


def _paused(connection: Connection) -> list[str]:
    return [row.contract for row in fetch(connection, Pause) if row.paused]


@router.get(
    "/deployment",
    operation_id="getDeployment",
    response_class=Response,
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
def deployment(desk: TheDesk) -> Response:
    """The deployment file that this hub follows, to the byte; compare its digest with one that you trust."""
    return Response(desk.hub.deployment.to_bytes(), media_type="application/json")


@router.get("/problems", operation_id="listProblems")
def kinds_of_problems() -> ProblemKinds:
    """What the type of a problem means: each kind that this hub answers with."""
    return problems.kinds()
