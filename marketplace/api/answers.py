"""What all routes share: errors as JSON, path values as types, bodies with a bound."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from marketplace.core.canonical import JsonValue, parse_json
from marketplace.core.eip712 import parse_value
from marketplace.core.ids import Did, kind_of
from marketplace.errors import InputError, NotFoundError, SteelyardError, TooLargeError, TooManyError

SECONDS_PER_BODY = 60.0
_THROWN_AWAY = 2 * 1024 * 1024


class Problem(BaseModel):
    """Why not: what happened, what was got, what was expected, what to do. error: its kind."""

    error: str
    what: str
    got: str | None
    expected: str | None
    do: str | None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its documentation."""
    # Not as `model`: that would be documented with the media type of the route's own answer.
    content = {"application/json": {"schema": Problem.model_json_schema()}}
    return {status: {"content": content, "description": HTTPStatus(status).phrase} for status in statuses}


def add_error_answers(app: FastAPI) -> None:
    """Every refusal is `SteelyardError.to_json` with its status; the framework's own are put into that form."""
    app.add_exception_handler(SteelyardError, _steelyard_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)


async def _steelyard_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, SteelyardError):
        raise error
    return error_answer(error)


def error_answer(error: SteelyardError) -> JSONResponse:
    """An error of ours as the answer to a request."""
    headers = {}
    if isinstance(error, TooLargeError):
        # The rest of the body is not read, so the connection cannot serve another request.
        headers["connection"] = "close"
    if isinstance(error, TooManyError):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    return JSONResponse(error.to_json(), status_code=error.http_status, headers=headers)


def raw_answer(error: SteelyardError) -> bytes:
    """An error of ours as bytes, for a connection that is closed before anything is read from it."""
    body = json.dumps(error.to_json()).encode()
    status = HTTPStatus(error.http_status)
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    kind = NotFoundError if error.status_code == 404 else InputError
    answer = kind(str(error.detail), got=f"{request.method} {request.url.path}", do="See /openapi.json.")
    return JSONResponse(answer.to_json(), status_code=error.status_code, headers=error.headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    where = "/".join(str(part) for part in first["loc"])
    answer = InputError(f"{where} does not fit", got=repr(first.get("input"))[:80], expected=first["msg"])
    return JSONResponse(answer.to_json(), status_code=answer.http_status)


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
