"""One question to a hub: the answer as a type, or what is wrong with it. Every wait has an end."""

from __future__ import annotations

import time
import unicodedata
import weakref
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from marketplace import errors
from marketplace.core.canonical import JsonValue, parse_json
from marketplace.errors import InputError, IntegrityError, SteelyardError, UnavailableError
from marketplace.wire.base import VERSION, VERSION_HEADER
from marketplace.wire.problem import MEDIA_TYPE, Problem

M = TypeVar("M", bound=BaseModel)

MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of an answer."""

_WITHOUT = "Unset STEELYARD_HUB to search the chain itself."
_KINDS: dict[int, type[SteelyardError]] = {
    400: errors.VersionError,
    401: errors.SignInError,
    403: errors.RefusedError,
    404: errors.NotFoundError,
    422: errors.InputError,
}


class Asking:
    """One hub. url: as `http://127.0.0.1:8000`. timeout: seconds for a step of an answer; twice that for all of it."""

    def __init__(self, url: str, timeout: float) -> None:
        self.url, self._timeout = url.rstrip("/"), timeout
        # Loading certificates takes longer than a search: only where there is TLS.
        self.http = httpx.Client(
            timeout=timeout,
            trust_env=False,
            verify=url.lower().startswith("https:"),
            headers={"accept-encoding": "identity", VERSION_HEADER: str(VERSION)},
        )
        self.close = weakref.finalize(self, self.http.close)

    def get(self, model: type[M], path: str, query: Mapping[str, str], *, versioned: bool = True) -> M:
        """The answer to GET, of this type. Fields that it does not know are ignored.

        Raises IntegrityError naming the field that is missing or does not fit, UnavailableError for a hub that does
        not answer or is older than this client, else the error that the hub's problem stands for.
        """
        return self.typed(model, self.json(path, query, versioned=versioned))

    def post(self, model: type[M], path: str, body: JsonValue, *, timeout: float) -> M:
        """The answer to POST, of this type. timeout: seconds for all of it. Raises as `get`."""
        place = f"{self.url}/v{VERSION}{path}"
        try:
            answer = self._answer("POST", place, timeout, json=body)
            return self.typed(model, parse_json(answer, what="the hub's answer", limit=MAX_ANSWER))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.away(type(error).__name__) from None

    def typed(self, model: type[M], value: object) -> M:
        """Raises IntegrityError."""
        try:
            return model.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = "/".join(str(part) for part in first["loc"]) or "all of it"
            raise IntegrityError(
                "the hub's answer does not parse",
                got=f"{self.url}: {where}: {first['msg']}",
                expected=model.__name__,
                do="The hub may be of another release: update the older of the two.",
            ) from None

    def json(self, path: str, query: Mapping[str, str], *, versioned: bool = True) -> JsonValue:
        """The answer as JSON. Raises as `get`."""
        place = f"{self.url}/v{VERSION}{path}" if versioned else f"{self.url}{path}"
        try:
            answer = self._answer("GET", place, self._timeout, params=dict(query))
            return parse_json(answer, what="the hub's answer", limit=MAX_ANSWER)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.away(type(error).__name__) from None
        except InputError as error:
            if type(error) is not InputError:
                raise
            raise IntegrityError(error.what, got=self.url, expected="JSON") from None

    def away(self, got: str) -> UnavailableError:
        """The error for a hub that does not answer."""
        return UnavailableError("the hub does not answer", got=f"{self.url}: {got}", do=_WITHOUT)

    def _answer(self, method: str, place: str, timeout: float, **what: Any) -> bytes:
        """timeout: seconds for a step; twice that for all of it."""
        deadline = time.monotonic() + 2 * timeout
        body = bytearray()
        with self.http.stream(method, place, timeout=timeout, **what) as answer:
            for piece in answer.iter_raw():
                body += piece
                if len(body) > MAX_ANSWER or time.monotonic() > deadline:
                    raise IntegrityError("the hub's answer does not end", got=f"{len(body)} bytes")
        if answer.status_code != 200:
            raise self.refusal(answer, bytes(body))
        return bytes(body)

    def refusal(self, answer: httpx.Response, body: bytes) -> SteelyardError:
        """What a status other than 200 means."""
        if answer.headers.get("content-type") == MEDIA_TYPE:
            return self._problem(answer.status_code, body)
        if answer.status_code == 404 and VERSION_HEADER not in answer.headers:
            return UnavailableError(
                f"the hub does not answer under /v{VERSION}",
                got=self.url,
                expected="a hub of this release",
                do=f"It is older than this client: ask its operator to update it. {_WITHOUT}",
            )
        return self.away(f"HTTP {answer.status_code}")

    def _problem(self, status: int, body: bytes) -> SteelyardError:
        try:
            problem = Problem.model_validate(parse_json(body, what="a problem", limit=MAX_ANSWER))
        except (ValidationError, InputError):
            return self.away(f"HTTP {status}")
        texts = (problem.got, problem.expected, problem.do)
        got, expected, do = (None if text is None else printable(text, 500) for text in texts)
        kind = _KINDS.get(status, UnavailableError)
        return kind(f"the hub says: {printable(problem.what, 300)}", got=got, expected=expected, do=do)


def printable(text: str, most: int) -> str:
    """Text from outside as a terminal may show it: no control characters, bounded."""
    return "".join(c for c in text[:most] if unicodedata.category(c)[0] != "C")
