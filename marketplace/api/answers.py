"""What all routes share: path values as types, bodies with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from marketplace.api.problems import misfit
from marketplace.core.canonical import JsonValue, parse_json
from marketplace.core.eip712 import parse_value
from marketplace.core.ids import Did, kind_of
from marketplace.errors import InputError, NotFoundError, TooLargeError

B = TypeVar("B", bound=BaseModel)

SECONDS_PER_BODY = 60.0
_THROWN_AWAY = 2 * 1024 * 1024


def asset_id(asset: str, *, did: Callable[[int], Did]) -> int:
    """A token id in decimal, or a DID. did: gives a token its DID here. Raises InputError, NotFoundError."""
    if asset.startswith("did:"):
        named = Did.parse(asset)
        if named != did(named.token):
            raise NotFoundError("the DID is of another market", got=asset, expected=did(named.token))
        return named.token
    token = int(parse_value("uint256", asset, where="the asset's id"))
    kind_of(token)
    return token


def digest(digest: str) -> bytes:
    """32 bytes. Raises InputError."""
    return bytes(parse_value("bytes32", digest, where="the digest"))


def job_id(job: str) -> bytes:
    """32 bytes. Raises InputError."""
    return bytes(parse_value("bytes32", job, where="the job's id"))


def account(text: str, *, where: str) -> str:
    """A checksummed address. Raises InputError."""
    return str(parse_value("address", text, where=where))


def buyer(buyer: str) -> str:
    """A checksummed address. Raises InputError."""
    return account(buyer, where="the buyer")


DigestPath = Annotated[bytes, Depends(digest)]
JobPath = Annotated[bytes, Depends(job_id)]
BuyerPath = Annotated[str, Depends(buyer)]


async def read_body(request: Request, *, limit: int) -> bytes:
    """The request's body. limit: bytes. Raises TooLargeError past it, InputError if it does not arrive in time.

    A body that is too large is read on and thrown away for a while: who is still sending hears no answer.
    """
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(SECONDS_PER_BODY):
            async for piece in request.stream():
                size += len(piece)
                if size <= limit:
                    body += piece
                elif size > limit + _THROWN_AWAY:
                    break
    except (ClientDisconnect, TimeoutError) as error:
        raise InputError(
            "the body did not arrive", expected=f"all of it in {SECONDS_PER_BODY:g} s"
        ) from error
    if size > limit:
        raise TooLargeError("the body is too long", got="more", expected=f"at most {limit} bytes")
    return bytes(body)


async def json_body(request: Request, *, limit: int) -> JsonValue:
    """The request's body as JSON. limit: bytes. Raises as `read_body`, and InputError where it is no JSON."""
    return parse_json(await read_body(request, limit=limit), what="the body", limit=limit)


def body_of(model: type[B], *, limit: int) -> Callable[[Request], Coroutine[Any, Any, B]]:
    """A dependency: the request's body as this type. limit: bytes. Raises as `json_body`."""

    async def read(request: Request) -> B:
        value = await json_body(request, limit=limit)
        try:
            return model.model_validate(value)
        except ValidationError as error:
            raise misfit(error, "body") from None

    return read


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """The same for the document: `openapi_extra` of a route; `add_error_answers` must know the type."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
