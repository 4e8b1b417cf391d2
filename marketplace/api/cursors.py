"""Cursors of lists: opaque to whoever passes them on, and only good for the list that gave them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from marketplace.errors import InputError

E = TypeVar("E")

MAX_LIMIT = 100

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="entries of a page")]
After = Annotated[str | None, Query(max_length=300, description="`next` of the page before, as it came")]


def write(name: str, place: object) -> str:
    """A cursor of the list `name`. place: where its page ends, as text."""
    return base64.urlsafe_b64encode(f"{name}:{place}".encode()).rstrip(b"=").decode()


def read(name: str, cursor: str) -> str:
    """The place that `write` was given. Raises InputError for a cursor of another list, or none."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (UnicodeError, binascii.Error, ValueError):
        found = ""
    start, colon, place = found.partition(":")
    if start != name or not colon or write(name, place) != cursor:
        raise InputError(
            "not a cursor of this list",
            got=repr(cursor)[:80],
            expected="the `next` of an earlier answer",
            do="Leave `after` out to begin anew.",
        )
    return place


def page(
    request: Request,
    response: Response,
    name: str,
    found: Sequence[E],
    limit: int,
    place: Callable[[E], object],
) -> tuple[Sequence[E], str | None]:
    """What a page of the list `name` shows, and the cursor of the next one, which the header Link names too.

    found: up to limit + 1 entries. place: where a page ends that ends with this entry, as text.
    """
    shown = found[:limit]
    following = write(name, place(shown[-1])) if len(found) > limit else None
    link(request, response, following)
    return shown, following


def link(request: Request, response: Response, cursor: str | None) -> None:
    """Names the next page in the header Link (RFC 8288), with all filters of this one."""
    if cursor is not None:
        query = {name: value for name, value in request.query_params.items() if name != "after"}
        url = f"{request.url.path}?{urlencode({**query, 'after': cursor})}"
        response.headers["link"] = f'<{url}>; rel="next"'
