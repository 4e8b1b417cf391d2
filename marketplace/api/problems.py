"""Refusals over HTTP: RFC 9457 problems, one kind for each class of `marketplace.errors`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from marketplace import errors
from marketplace.errors import (
    InputError,
    NotFoundError,
    SignInError,
    SteelyardError,
    TooLargeError,
    TooManyError,
)
from marketplace.wire.problem import MEDIA_TYPE, URN, Problem, ProblemKind, ProblemKinds

KINDS: tuple[type[SteelyardError], ...] = (
    errors.SteelyardError,
    errors.InputError,
    errors.TooLargeError,
    errors.NotFoundError,
    errors.VersionError,
    errors.IntegrityError,
    errors.RefusedError,
    errors.SignInError,
    errors.TooManyError,
    errors.UnavailableError,
    errors.FullError,
)


def name_of(kind: type[SteelyardError]) -> str:
    """The last part of a problem's type: `NotFoundError` is `not-found`."""
    if kind is SteelyardError:
        return "internal"
    return re.sub("(?<=[a-z])(?=[A-Z])", "-", kind.__name__.removesuffix("Error")).lower()


def kinds() -> ProblemKinds:
    """What each type means: the documentation that the type's name stands for."""
    return ProblemKinds(
        problems=[
            ProblemKind(
                type=URN + name_of(kind),
                title=title_of(kind),
                status=kind.http_status,
                meaning=(kind.__doc__ or "").partition("\n")[0],
            )
            for kind in KINDS
        ]
    )


def title_of(kind: type[SteelyardError]) -> str:
    """The kind in words."""
    return name_of(kind).replace("-", " ").capitalize()


def problem_of(error: SteelyardError, instance: str | None, status: int | None = None) -> Problem:
    """An error of ours as RFC 9457 has it. instance: the path that was asked."""
    kind = next(known for known in type(error).__mro__ if known in KINDS)
    return Problem(
        type=URN + name_of(kind),
        title=title_of(kind),
        status=status or error.http_status,
        detail=str(error),
        instance=instance,
        what=error.what,
        got=error.got,
        expected=error.expected,
        do=error.do,
    )


def error_answer(
    error: SteelyardError,
    instance: str | None = None,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An error of ours as the answer to a request."""
    added = dict(headers or {})
    if isinstance(error, TooLargeError):
        # The rest of the body is not read, so the connection cannot serve another request.
        added["connection"] = "close"
    if isinstance(error, TooManyError):
        added["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, SignInError):
        added["www-authenticate"] = 'Bearer realm="steelyard"'
    problem = problem_of(error, instance, status)
    return JSONResponse(problem.model_dump(), problem.status, headers=added, media_type=MEDIA_TYPE)


def raw_answer(error: SteelyardError) -> bytes:
    """An error of ours as bytes, for a connection that is closed before anything is read from it."""
    body = json.dumps(problem_of(error, None).model_dump()).encode()
    status = HTTPStatus(error.http_status)
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\nretry-after: 1\r\n"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route, for its documentation."""
    # Not as `model`: that would be documented with the media type of the route's own answer.
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"content": content, "description": HTTPStatus(status).phrase} for status in statuses}


def misfit(error: ValidationError | RequestValidationError, where: str = "") -> InputError:
    """The first thing that pydantic has against a value. where: what stands before the path of it."""
    first = error.errors()[0]
    path = "/".join(str(part) for part in (*([where] if where else []), *first["loc"]))
    return InputError(f"{path} does not fit", got=repr(first.get("input"))[:80], expected=first["msg"])


def add_error_answers(app: FastAPI, bodies: Sequence[type[BaseModel]] = ()) -> None:
    """Every refusal is a problem, the framework's own too; the document names its form.

    bodies: what the application takes and parses itself; they join the document as well.
    """
    app.add_exception_handler(SteelyardError, _steelyard_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _fault)
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        if "Problem" in document.get("components", {}).get("schemas", {}):
            return document
        _, found = models_json_schema(
            [(model, "validation") for model in (Problem, *bodies)],  # type: ignore[misc]  # a list of pairs it is
            ref_template="#/components/schemas/{model}",
        )
        known = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in found["$defs"].items():
            known.setdefault(name, schema)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the document


async def _steelyard_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, SteelyardError):
        raise error
    return error_answer(error, request.url.path)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    kind = NotFoundError if error.status_code == 404 else InputError
    answer = kind(str(error.detail), got=f"{request.method} {request.url.path}", do="See /openapi.json.")
    return error_answer(answer, request.url.path, status=error.status_code, headers=error.headers)


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return error_answer(misfit(error), request.url.path)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    # A fault of ours: what it was stands in the log, not in the answer.
    return error_answer(
        SteelyardError("something in the hub failed", do="Tell its operator."), request.url.path
    )
