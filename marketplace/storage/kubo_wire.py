"""How `KuboStore` reaches a daemon: where it is, and an HTTP transport for `ipfshttpclient` that bounds each answer.

By itself the library reads an answer to its end, however long, waits for ever on one that drips, follows redirects
and proxies of the environment. Here an answer is read before the library sees it: so many bytes, so many seconds.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from io import BytesIO
from typing import Any, cast
from urllib.parse import SplitResult, unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse

from marketplace.core.unixfs import LEAF
from marketplace.errors import InputError, IntegrityError, UnavailableError
from marketplace.storage.ports import MAX_BLOCK

# Read by the library when it is imported: its own copy of requests does not work with today's urllib3.
os.environ["PY_IPFS_HTTP_CLIENT_PATCH_REQUESTS"] = "no"
import ipfshttpclient
from ipfshttpclient.client.block import Section as _BlockSection

_MAX_WORDS = 65_536
_PIECE = 65_536
_THREADS = 32
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_MULTIADDR = re.compile(r"/(?:dns|dns4|dns6|ip4|ip6)/([A-Za-z0-9._:-]+)/tcp/([0-9]{1,5})(?:/(https?))?")


@dataclass(frozen=True)
class Address:
    """A daemon's RPC. base: the path below which its commands are. host: what errors may name."""

    secure: bool
    name: str
    port: int
    base: str = "api/v0"
    auth: tuple[str, str] | None = None

    @property
    def host(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    @property
    def multiaddr(self) -> str:
        kind = "ip6" if ":" in self.name else "dns"
        return f"/{kind}/{self.name}/tcp/{self.port}/{'https' if self.secure else 'http'}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read a URL, which may hold a name and password and a path, or a multiaddr.

        Raises InputError, which does not repeat it.
        """
        try:
            found = cls._of_multiaddr(text) if text.startswith("/") else cls._of_url(urlsplit(text))
        except (ValueError, UnicodeError, AttributeError):
            found = None
        if found is None or not 0 < found.port < 65_536:
            raise InputError(
                "this is not the address of an IPFS daemon's RPC",
                expected="http://HOST:5001, https://HOST or /ip4/ADDRESS/tcp/5001",
                do="Set STEELYARD_IPFS.",
            )
        return found

    @classmethod
    def _of_multiaddr(cls, text: str) -> Address | None:
        parts = _MULTIADDR.fullmatch(text)
        return cls(parts[3] == "https", parts[1], int(parts[2])) if parts else None

    @classmethod
    def _of_url(cls, url: SplitResult) -> Address | None:
        host = (
            url.netloc.rpartition("@")[2].partition(":")[0] if "[" not in url.netloc else f"[{url.hostname}]"
        )
        if url.scheme not in ("http", "https") or not _HOST.fullmatch(host) or url.query or url.fragment:
            return None
        port = url.port if url.port is not None else (443 if url.scheme == "https" else 80)
        base = url.path.strip("/").removesuffix("api/v0").strip("/")
        auth = (unquote(url.username), unquote(url.password or "")) if url.username else None
        return cls(url.scheme == "https", host.strip("[]"), port, f"{base}/api/v0".lstrip("/"), auth)


class Client(ipfshttpclient.Client):  # type: ignore[misc]  # the library has no types
    """The library's client, for many threads, with answers that end."""

    def __init__(self, address: Address, timeout: float) -> None:
        """timeout: seconds of silence, and half of what a whole answer may take."""
        super().__init__(
            address.multiaddr,
            address.base,
            chunk_size=LEAF,
            session=True,
            auth=address.auth,
            headers={"accept-encoding": "identity", "user-agent": "steelyard"},
            timeout=timeout,
        )
        session = cast(requests.Session, self._client._session)
        session.trust_env = False  # proxies and .netrc of the environment are no settings of ours
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Bounded(address.host, 2 * timeout))

    def remove_block(self, name: str) -> dict[str, Any]:
        """`block rm`, which the library lacks; its answer has an `Error` where the daemon would not."""
        return dict(_Removing(self).rm(name))


class _Removing(_BlockSection):  # type: ignore[misc]  # as above
    def rm(self, name: str) -> dict[str, Any]:
        answers = self._client.request("/block/rm", (name,), opts={"force": "true"}, decoder="json")
        return cast(dict[str, Any], answers[0])


class _Bounded(HTTPAdapter):
    """Reads each answer whole: at most a block, or so many words, in `seconds`."""

    def __init__(self, host: str, seconds: float) -> None:
        super().__init__(pool_maxsize=_THREADS)
        self._host, self._seconds = host, seconds

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        deadline = time.monotonic() + self._seconds
        response = super().send(request, *args, **kwargs)
        try:
            if response.is_redirect:
                raise UnavailableError(
                    f"the IPFS daemon at {self._host} sends its askers elsewhere",
                    got=f"HTTP {response.status_code}",
                    do="Set STEELYARD_IPFS to the RPC itself.",
                )
            block = response.status_code == 200 and "/block/get?" in (request.path_url or "")
            body = self._body(response.raw, MAX_BLOCK if block else _MAX_WORDS, deadline)
        except BaseException:
            response.raw.close()
            raise
        response.raw.release_conn()
        response.raw = BytesIO(body)
        return response

    def _body(self, raw: BaseHTTPResponse, limit: int, deadline: float) -> bytes:
        body = bytearray()
        # As it comes: an answer that claims to be compressed could unfold to any size.
        while piece := raw.read1(_PIECE, decode_content=False):
            body += piece
            if len(body) > limit:
                raise IntegrityError(
                    f"the IPFS daemon at {self._host} sent too much", expected=f"at most {limit} bytes"
                )
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the IPFS daemon at {self._host} answers too slowly",
                    got=f"{len(body)} bytes in {self._seconds:g} s",
                    do="Try again, or use another daemon.",
                )
        return bytes(body)
