"""Server-sent events of a hub, through cuts: after each the stream is asked to go on where it was.

Source: the event stream format of the HTML standard.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from marketplace.core.canonical import JsonValue, parse_json
from marketplace.errors import InputError, IntegrityError, UnavailableError
from marketplace.hub.asking import MAX_ANSWER, Asking
from marketplace.wire.base import VERSION

HEARTBEAT = 45.0
"""Seconds without a byte after which a stream is dead: a hub says something every 15."""

PATIENCE = 60.0
"""Seconds in which a hub that went away may come back."""

PAUSE = 2.0
"""Seconds before it is asked again, as it says itself."""


@dataclass(frozen=True)
class Sent:
    """One event. kind: its name. id: where the stream can go on after it, if there."""

    kind: str
    data: JsonValue
    id: str | None


def follow(hub: Asking, path: str, *, after: str | None = None) -> Iterator[Sent]:
    """The events of a stream, without end. after: the id of the last one that is known.

    Raises UnavailableError after PATIENCE without an answer, IntegrityError for what is no event, and at once the
    error that a refusal stands for.
    """
    last, until = after, time.monotonic() + PATIENCE
    while True:
        try:
            for sent in _listen(hub, path, last):
                last = sent.id if sent.id is not None else last
                yield sent
                until = time.monotonic() + PATIENCE
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            gone: UnavailableError = hub.away(type(error).__name__)
        except UnavailableError as error:
            gone = error
        else:
            gone = hub.away("the stream ended")
        if time.monotonic() > until:
            raise gone
        time.sleep(PAUSE)


def _listen(hub: Asking, path: str, last: str | None) -> Iterator[Sent]:
    headers = {"accept": "text/event-stream"} | ({"last-event-id": last} if last else {})
    patience = httpx.Timeout(HEARTBEAT)
    with hub.http.stream("GET", f"{hub.url}/v{VERSION}{path}", headers=headers, timeout=patience) as answer:
        if answer.status_code != 200:
            raise hub.refusal(answer, answer.read())
        kind, data, id = "", list[str](), None
        for line in _lines(answer):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if data:
                    yield Sent(kind, _json("\n".join(data)), id)
                kind, data, id = "", [], None
            elif field == "event":
                kind = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                id = value


def _lines(answer: httpx.Response) -> Iterator[str]:
    rest = b""
    for piece in answer.iter_raw():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_ANSWER or any(len(line) > MAX_ANSWER for line in lines):
            raise IntegrityError("the hub's event does not end", got=f"{len(rest)} bytes")
        yield from (line.rstrip(b"\r").decode("utf-8", "replace") for line in lines)


def _json(text: str) -> JsonValue:
    try:
        return parse_json(text.encode(), what="the hub's event", limit=MAX_ANSWER)
    except InputError as error:
        raise IntegrityError(error.what, expected="JSON") from None
