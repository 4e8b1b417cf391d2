"""JSON-RPC over HTTP with a bound on every answer: its time, its length, its shape.

An endpoint is somebody else's machine. It may be slow, wrong or hostile, so nothing of an answer is used before one of
the parsers below made a value of it. Errors name host and port alone: the rest of an endpoint's URL may hold a key.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import httpx
from eth_utils.address import to_checksum_address

from marketplace.errors import InputError, IntegrityError, UnavailableError

MAX_ANSWER = 32 * 1024 * 1024
"""Most bytes of one answer: about 40,000 logs."""


_TOO_LONG = 413
_QUANTITY = re.compile("0x[0-9a-fA-F]{1,64}")


@dataclass(frozen=True)
class Failure:
    """What an endpoint said instead of a result. data: what a contract reverted with, if it did."""

    code: int
    message: str
    data: bytes = b""

    @property
    def reverted(self) -> bool:
        """Whether a contract refused, rather than the endpoint."""
        return bool(self.data) or self.code == 3 or "revert" in self.message.lower()


class Rpc:
    """One endpoint. Safe to share between threads."""

    def __init__(self, url: str, *, timeout: float) -> None:
        """url: http or https. timeout: seconds for one whole answer, > 0. Raises InputError for other URLs."""
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, TypeError, UnicodeError):
            parsed = httpx.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InputError(
                "the RPC URL does not parse",
                expected="http://HOST:PORT or https://HOST",
                do="Set STEELYARD_RPC.",
            )
        self.url = url
        self.host = f"{parsed.host}:{parsed.port}" if parsed.port else parsed.host
        self.timeout = timeout
        self._numbers = itertools.count(1)
        # The environment's proxies are not ours to read: settings.py is its sole reader.
        self._client = httpx.Client(
            timeout=timeout,
            verify=parsed.scheme == "https",  # reading the certificates takes longer than most calls
            trust_env=False,
            headers={"accept-encoding": "identity", "accept": "application/json"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, *params: object) -> Any:
        """The unparsed result. Raises UnavailableError where there is none, IntegrityError for no JSON-RPC."""
        answer = self.ask(method, *params)
        if isinstance(answer, Failure):
            raise UnavailableError(
                f"the RPC endpoint {self.host} refused {method}", got=f"{answer.code}: {answer.message}"
            )
        return answer

    def ask(self, method: str, *params: object) -> Any | Failure:
        """The unparsed result, or how the endpoint failed."""
        number = next(self._numbers)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        status, data = self._post(json.dumps(body).encode())
        if status == _TOO_LONG:
            return Failure(status, f"an answer of more than {MAX_ANSWER} bytes")
        answer = self._parse(data, status)
        if isinstance(answer, Failure):
            return answer
        if "error" in answer and answer["error"] is not None:
            return self._failure(answer["error"])
        if status != 200:
            return Failure(status, "HTTP status")
        if answer.get("id") != number or "result" not in answer:
            raise self._malformed(f"an answer to {method} without its id or result")
        return answer["result"]

    def _post(self, body: bytes) -> tuple[int, bytes]:
        deadline = time.monotonic() + self.timeout
        headers = {"content-type": "application/json"}
        try:
            with self._client.stream("POST", self.url, content=body, headers=headers) as response:
                return self._read(response, deadline)
        except httpx.HTTPError as error:
            raise self._silent(type(error).__name__) from None

    def _read(self, response: httpx.Response, deadline: float) -> tuple[int, bytes]:
        body = bytearray()
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_ANSWER:
                return _TOO_LONG, b""
            if time.monotonic() > deadline:
                raise self._silent(f"{len(body)} bytes in {self.timeout:g} s")
        return response.status_code, bytes(body)

    def _parse(self, data: bytes, status: int) -> dict[str, Any] | Failure:
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if isinstance(answer, dict):
            return answer
        if status != 200:
            return Failure(status, "HTTP status")
        raise self._malformed("an answer that is not a JSON object")

    def _failure(self, error: object) -> Failure:
        if not isinstance(error, dict):
            raise self._malformed("an error that is not an object")
        code, message, data = error.get("code"), error.get("message"), error.get("data")
        return Failure(
            code if isinstance(code, int) else 0,
            message[:300] if isinstance(message, str) else "",
            _revert_data(data),
        )

    def _silent(self, got: str) -> UnavailableError:
        return UnavailableError(
            f"the RPC endpoint {self.host} does not answer",
            got=got,
            expected=f"an answer within {self.timeout:g} s",
            do="Check that it runs and that STEELYARD_RPC names it, then try again.",
        )

    def _malformed(self, got: str) -> IntegrityError:
        return IntegrityError(
            f"what the RPC endpoint {self.host} says is not JSON-RPC",
            got=got,
            do="Check that STEELYARD_RPC names an Ethereum endpoint.",
        )


def _revert_data(value: object) -> bytes:
    if isinstance(value, str):
        try:
            return bytes.fromhex(value.removeprefix("Reverted ").removeprefix("0x"))
        except ValueError:
            pass
    return b""


def _wrong(where: str, value: object, expected: str) -> IntegrityError:
    return IntegrityError(
        f"the RPC endpoint's {where} does not parse",
        got=repr(value)[:80],
        expected=expected,
        do="The endpoint is faulty or lies: use another one.",
    )


def quantity(value: object, where: str) -> int:
    """An integer from 0x-hex. where: names it in errors. Raises IntegrityError."""
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise _wrong(where, value, "a 0x-hex number")


def data(value: object, where: str, length: int | None = None) -> bytes:
    """Bytes from 0x-hex, `length` of them where given. Raises IntegrityError."""
    if isinstance(value, str) and value[:2] == "0x":
        try:
            found = bytes.fromhex(value[2:])
        except ValueError:
            found = b""
        size = len(found)
        if size * 2 == len(value) - 2 and (length is None or length == size):  # fromhex skips spaces
            return found
    raise _wrong(where, value, "0x-hex" if length is None else f"{length} bytes in 0x-hex")


def address(value: object, where: str) -> str:
    """A checksummed address from 0x-hex in any case. Raises IntegrityError."""
    return checksummed(data(value, where, 20))


@lru_cache(maxsize=4096)
def checksummed(raw: bytes) -> str:
    """The checksummed text of 20 bytes; a hash each, so the frequent ones are kept."""
    return str(to_checksum_address(raw))


def fields(value: object, where: str) -> dict[str, Any]:
    """An object. Raises IntegrityError."""
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    return value


def items(value: object, where: str) -> list[Any]:
    """A list. Raises IntegrityError."""
    if not isinstance(value, list):
        raise _wrong(where, value, "a list")
    return value
