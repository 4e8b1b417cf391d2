"""A refusal: RFC 9457's members, and ours."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from marketplace.wire.base import Wire

MEDIA_TYPE = "application/problem+json"

URN = "urn:steelyard:problem:"


class Problem(Wire):
    """Why not: what happened, what was got, what was expected, what to do (RFC 9457)."""

    type: Annotated[
        str,
        Field(
            description="the kind of problem; GET /v1/problems explains each", examples=[f"{URN}not-found"]
        ),
    ]
    title: Annotated[str, Field(description="the kind in words", examples=["Not found"])]
    status: Annotated[int, Field(ge=400, le=599, description="the HTTP status", examples=[404])]
    detail: Annotated[
        str, Field(description="what, got, expected and do in one text", examples=["no such job; got 0x00"])
    ]
    instance: Annotated[str | None, Field(description="the path that was asked", examples=["/v1/jobs/0x00"])]
    what: Annotated[str, Field(description="what happened", examples=["no such job"])]
    got: Annotated[str | None, Field(description="what was got", examples=["0x00"])]
    expected: Annotated[str | None, Field(description="what was expected", examples=["a job's id"])]
    do: Annotated[str | None, Field(description="what to do", examples=["It may not be confirmed yet."])]


class ProblemKind(Wire):
    """One kind of problem."""

    type: Annotated[str, Field(description="as in a problem", examples=[f"{URN}not-found"])]
    title: Annotated[str, Field(examples=["Not found"])]
    status: Annotated[int, Field(description="the usual HTTP status", examples=[404])]
    meaning: Annotated[str, Field(description="when it is answered", examples=["The name does not exist."])]


class ProblemKinds(Wire):
    """All kinds of problems that this hub answers with."""

    problems: list[ProblemKind]
