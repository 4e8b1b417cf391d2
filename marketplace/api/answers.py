"""What all routes share: errors as JSON, path values as types, bodies with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from marketplace.core.canonical import JsonValue, parse_json
from marketplace.core.eip712 import parse_value
from marketplace.core.ids import Did, kind_of
from marketplace.errors import InputError, NotFoundError, SteelyardError

SECONDS_PER_BODY = 20.0


def add_error_answers(app: FastAPI) -> None:
    """Every refusal is `SteelyardError.to_json` with its status; the framework's own are put into that form."""
    app.add_exception_handler(SteelyardError, _steelyard_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)


async def _steelyard_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, SteelyardError):
        raise error
    return JSONResponse(error.to_json(), status_code=error.http_status)


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


async def json_body(request: Request, *, limit: int) -> JsonValue:
    """The request's body as JSON. limit: bytes. Raises InputError: too long, too slow or no JSON."""
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS_PER_BODY):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise InputError("the body is too long", expected=f"at most {limit} bytes")
    except (ClientDisconnect, TimeoutError) as error:
        raise InputError(
            "the body did not arrive", expected=f"all of it in {SECONDS_PER_BODY:g} s"
        ) from error
    return parse_json(bytes(body), what="the body", limit=limit)
