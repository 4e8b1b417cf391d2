"""Gas for buyers who hold no coin, where the hub's operator pays it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from marketplace.api.answers import body_of, takes
from marketplace.api.problems import problems
from marketplace.api.state import TheDesk
from marketplace.core.forward import ForwardRequest
from marketplace.errors import RefusedError, TooManyError
from marketplace.wire.sponsor import Carried, SponsoredCall

router = APIRouter(tags=["accounts"])

MAX_BODY = 32_768
"""Bytes of a call with its signature."""


@router.post(
    "/sponsor", operation_id="sponsorCall", responses=problems(403, 413), openapi_extra=takes(SponsoredCall)
)
def sponsor(
    desk: TheDesk, body: Annotated[SponsoredCall, Depends(body_of(SponsoredCall, limit=MAX_BODY))]
) -> Carried:
    """Sends a buyer's signed call and answers once it is confirmed. Without an answer it may still be carried."""
    paying = desk.hub.sponsor
    if paying is None:
        raise RefusedError(
            "this hub pays nobody's gas", do="Name another one by STEELYARD_SPONSOR, or pay it."
        )
    request = ForwardRequest.from_json(body.request.model_dump(by_alias=True))
    if not desk.sponsoring.acquire(blocking=False):
        raise TooManyError("too many calls are being carried", do="Try again in some seconds.")
    try:
        transaction = paying.carry(request, bytes.fromhex(body.signature[2:]))
    finally:
        desk.sponsoring.release()
    return Carried(transaction="0x" + transaction.hex())
