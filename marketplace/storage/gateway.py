"""Blocks over HTTP, from anyone's gateway: nothing that it says is believed, every block is checked here.

Errors name host and port alone: the rest of a gateway's URL may hold a password or a key, and hubs publish errors.
"""

from __future__ import annotations

import re
import time
import weakref
from types import TracebackType
from typing import Self

import httpx

from marketplace.core.cid import Cid
from marketplace.errors import (
    FullError,
    InputError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    TooManyError,
    UnavailableError,
)
from marketplace.storage.ports import MAX_BLOCK, check_block

_MAX_ANSWER = 4096
_HOST = re.compile(rb"[A-Za-z0-9._:-]+")
_REFUSALS: dict[int, type[SteelyardError]] = {
    400: InputError,
    401: RefusedError,
    403: RefusedError,
    413: InputError,
    422: InputError,
    429: TooManyError,
    502: IntegrityError,
    507: FullError,
}
_TOO_MANY = 429
_SECONDS = re.compile("[1-9][0-9]?")


class GatewayStore:
    """A `ContentStore` behind `GET`, `HEAD` and `PUT <url>/ipfs/<cid>`, for many threads.

    It retries nothing, but waits where the gateway says that it is asked too much, for as long as an answer may take.
    """

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """url: http or https, without `/ipfs`. timeout: seconds of silence, and half of what a whole answer may take.

        Raises InputError if `url` is none.
        """
        self.url, self.host = _address(url)
        self._timeout = timeout
        self._client = httpx.Client(
            timeout=timeout,
            trust_env=False,  # proxies and .netrc of the environment are no settings of ours
            headers={"accept-encoding": "identity", "user-agent": "steelyard"},
        )
        self.close = weakref.finalize(self, self._client.close)

    def __repr__(self) -> str:
        return f"GatewayStore({self.host!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, cid: Cid, block: bytes) -> None:
        """As `ContentStore.put`."""
        check_block(cid, block)
        status, answer = self._ask("PUT", cid, block)
        if status not in (200, 201, 204):
            raise self._refusal(status, answer, f"block {cid} could not be stored")

    def get(self, cid: Cid) -> bytes:
        """As `ContentStore.get`."""
        status, answer = self._ask("GET", cid)
        if status == 404:
            raise NotFoundError(
                f"block {cid} is not at {self.host}", do="Try another gateway, or ask its owner to store it."
            )
        if status != 200:
            raise self._refusal(status, answer, f"block {cid} could not be fetched")
        return cid.check(answer)

    def has(self, cid: Cid) -> bool:
        """As `ContentStore.has`."""
        status, answer = self._ask("HEAD", cid)
        if status not in (200, 404):
            raise self._refusal(status, answer, f"it is not known whether block {cid} is there")
        return status == 200

    def _ask(self, method: str, cid: Cid, body: bytes | None = None) -> tuple[int, bytes]:
        """The status and the body, of at most MAX_BLOCK bytes."""
        deadline = time.monotonic() + 2 * self._timeout
        while True:
            status, answer, wait = self._asked(method, cid, body)
            if status != _TOO_MANY or not wait or time.monotonic() + wait > deadline:
                return status, answer
            time.sleep(wait)

    def _asked(self, method: str, cid: Cid, body: bytes | None) -> tuple[int, bytes, int]:
        """The status, the body, and the seconds to wait as the gateway says, 0 where it does not."""
        try:
            with self._client.stream(method, f"{self.url}/ipfs/{cid}", content=body) as response:
                limit = MAX_BLOCK if response.status_code == 200 else _MAX_ANSWER
                wait = _SECONDS.fullmatch(response.headers.get("retry-after", ""))
                return response.status_code, self._body(response, cid, limit), int(wait[0]) if wait else 0
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            raise UnavailableError(
                f"the gateway at {self.host} gave no answer",
                got=f"{type(error).__name__}: {error}",
                do="Check that it runs and that the address is right, then try again.",
            ) from error

    def _body(self, response: httpx.Response, cid: Cid, limit: int) -> bytes:
        deadline = time.monotonic() + 2 * self._timeout
        body = bytearray()
        # Raw: an answer that claims to be compressed could unfold to any size.
        for piece in response.iter_raw():
            body += piece
            if len(body) > limit and response.status_code == 200:
                raise IntegrityError(
                    f"the gateway at {self.host} sent too much for block {cid}",
                    expected=f"at most {limit} bytes",
                )
            if len(body) > limit:
                break
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the gateway at {self.host} answers too slowly",
                    got=f"{len(body)} bytes in {2 * self._timeout:g} s",
                    do="Try again, or use another gateway.",
                )
        return bytes(body[:limit])

    def _refusal(self, status: int, answer: bytes, what: str) -> SteelyardError:
        kind = _REFUSALS.get(status, UnavailableError)
        text = answer.decode("utf-8", "replace")
        return kind(
            f"{what} at {self.host}", got=f"HTTP {status}: {text[:300]}", do="See the gateway's answer."
        )


def _address(url: str) -> tuple[str, str]:
    """The URL without a slash at its end, and its host and port, which errors may name."""
    try:
        parsed = httpx.URL(url)
        fits = (
            parsed.scheme in ("http", "https")
            and _HOST.fullmatch(parsed.raw_host) is not None
            and (parsed.port is None or 0 < parsed.port < 65_536)
            and not (parsed.query or parsed.fragment)
        )
    except (httpx.InvalidURL, TypeError, ValueError):
        fits = False
    if not fits:
        raise InputError(
            "this is not the address of a gateway",
            expected="http://HOST:PORT or https://HOST",
            do="Set STEELYARD_GATEWAY.",
        )
    return str(parsed).rstrip("/"), parsed.netloc.decode()
