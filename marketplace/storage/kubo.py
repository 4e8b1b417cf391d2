"""Blocks in an IPFS daemon, by Kubo's RPC: nothing that it says is believed, every block is checked here.

What is put is pinned, each block by itself, so that the daemon's garbage collection leaves it and a wrong block can be
replaced under its parents. What the daemon lacks it seeks among its peers, for a part of the timeout.

Covered: a daemon that lies, hangs, dies or is none. Not covered: who else reaches its RPC, which may do anything with
it: keep it on loopback. What is put may be given to anybody who asks for it by name.
Errors name host and port alone: the rest of the address may hold a password, and hubs publish errors.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import ipfshttpclient
import requests
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from marketplace.core.cid import Cid
from marketplace.errors import (
    FullError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    TooManyError,
    UnavailableError,
)
from marketplace.storage.kubo_wire import Address, Client
from marketplace.storage.ports import check_block

_SEARCH = 0.75
"""Of the timeout: how long the daemon may ask its peers, so that it can still say that none answered."""

_STATUS: dict[int, type[SteelyardError]] = {
    401: RefusedError,
    403: RefusedError,
    429: TooManyError,
    507: FullError,
}
# What Kubo and js-ipfs say; their status is 500 whatever it was.
_MISSING = ("not found", "could not find", "no such file", "deadline exceeded", "timed out")
_CHANGED = ("different hash", "hash mismatch")
_FULL = ("no space left", "quota")
# The library asserts and indexes where a daemon says something else than it should.
_FOREIGN = (
    ipfshttpclient.exceptions.Error,
    requests.RequestException,
    HTTPError,
    OSError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_SILENCES: dict[type[BaseException], str] = {
    ipfshttpclient.exceptions.ConnectionError: "no connection",
    ipfshttpclient.exceptions.ProtocolError: "a broken connection, or no HTTP",
    ipfshttpclient.exceptions.TimeoutError: "silence",
    ReadTimeoutError: "silence",
    ProtocolError: "a part of an answer",
}


class KuboStore:
    """A `ContentStore` in the daemon behind an RPC address, for many threads. It retries nothing."""

    def __init__(self, address: str, *, timeout: float = 10.0) -> None:
        """address: a URL or a multiaddr. timeout: seconds of silence, and half of what a whole answer may take.

        Raises InputError if `address` is none.
        """
        place = Address.parse(address)
        self.host, self._search = place.host, f"{1000 * _SEARCH * timeout:.0f}ms"
        self._client = Client(place, timeout)
        self.close = weakref.finalize(self, self._client.close)

    def __repr__(self) -> str:
        return f"KuboStore({self.host!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, cid: Cid, block: bytes) -> None:
        """As `ContentStore.put`; the block is pinned when this returns."""
        check_block(cid, block)
        what = f"block {cid} could not be stored"
        self._make_way(cid, block, what)
        # A leaf is pinned as it comes. A node by itself alone: else its children could not be replaced any more.
        leaf = cid.codec == "raw"
        kind = {"format": cid.codec, "version": "1", "mhtype": "sha2-256", "cid-base": "base32"}
        with self._asking(what):
            answer = self._client.block.put(BytesIO(block), opts=self._local(pin=leaf, **kind))
            name = answer["Key"]
            if not leaf:
                self._client.pin.add(str(cid), recursive=False, opts=self._local())
        if name != str(cid):
            raise UnavailableError(
                f"{what} at {self.host}",
                got=f"the name {str(name)[:80]}",
                do="Check that STEELYARD_IPFS is the RPC of an IPFS daemon.",
            )

    def get(self, cid: Cid) -> bytes:
        """As `ContentStore.get`; NotFoundError also where none of the daemon's peers gave it in time."""
        return cid.check(self._given(cid, {"timeout": self._search}))

    def has(self, cid: Cid) -> bool:
        """As `ContentStore.has`, of the daemon itself: its peers are not asked."""
        try:
            with self._asking(f"it is not known whether block {cid} is there", seeking=True):
                self._client.block.stat(str(cid), opts=self._local())
        except NotFoundError:
            return False
        return True

    def _given(self, cid: Cid, options: dict[str, str]) -> bytes:
        """The bytes that the daemon gives for a name, unchecked."""
        with self._asking(f"block {cid} could not be fetched", seeking=True):
            return bytes(self._client.block.get(str(cid), opts=options))

    def _make_way(self, cid: Cid, block: bytes, what: str) -> None:
        """Removes other bytes that lie under this name: a daemon keeps what it has and looks no more."""
        try:
            if self._given(cid, self._local()) == block:
                return
        except NotFoundError:
            return
        except IntegrityError:
            pass  # the daemon noticed it, or holds far too much
        with suppress(UnavailableError), self._asking(what):
            self._client.pin.rm(str(cid), opts=self._local())  # fails where it was not pinned
        with self._asking(what):
            refusal = self._client.remove_block(str(cid)).get("Error")
        if refusal:
            raise UnavailableError(
                f"{what} at {self.host}: other bytes lie there, and the daemon keeps them",
                got=str(refusal)[:300],
                do="Mend the daemon's repository: ipfs repo verify.",
            )

    def _local(self, **options: Any) -> dict[str, str]:
        """Options of a command that is about this daemon alone."""
        said = {name: str(value).lower() for name, value in options.items()}
        return {"offline": "true", "timeout": self._search, **said}

    @contextmanager
    def _asking(self, what: str, *, seeking: bool = False) -> Iterator[None]:
        """Turns what the library raises into errors of ours. seeking: that there is no such block is an answer."""
        try:
            yield
        except ipfshttpclient.exceptions.ErrorResponse as error:
            raise self._refusal(what, _status(error), str(error), seeking) from None
        except ipfshttpclient.exceptions.StatusError as error:
            raise self._refusal(what, _status(error), "", False) from None
        except _FOREIGN as error:  # without its cause, whose text may hold the path of the address
            raise UnavailableError(
                f"the IPFS daemon at {self.host} gave no answer",
                got=_SILENCES.get(type(error), f"something that does not parse: {type(error).__name__}"),
                do="Check that it runs and that STEELYARD_IPFS is its RPC, then try again.",
            ) from None

    def _refusal(self, what: str, status: int, said: str, seeking: bool) -> SteelyardError:
        words = said.lower()
        if seeking and any(sign in words for sign in _MISSING):
            return NotFoundError(
                f"{what}: neither the IPFS daemon at {self.host} nor its peers have it",
                do="Ask its owner to store it.",
            )
        kind = _STATUS.get(status, UnavailableError)
        if any(sign in words for sign in _CHANGED):
            kind = IntegrityError
        if any(sign in words for sign in _FULL):
            kind = FullError
        return kind(
            f"{what} at {self.host}", got=f"HTTP {status}: {said[:300]}", do="See the daemon's answer."
        )


def _status(error: ipfshttpclient.exceptions.StatusError) -> int:
    response = getattr(error.original, "response", None)
    return 0 if response is None else int(response.status_code)
