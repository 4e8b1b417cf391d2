"""Asks a hub: search and live progress. What a hub says is a convenience; trade and audit never ask it."""

from __future__ import annotations

import time
import unicodedata
import weakref
from dataclasses import dataclass
from typing import Any

import httpx

from marketplace.core.canonical import parse_json
from marketplace.errors import InputError, IntegrityError, UnavailableError

_MAX_STEPS = 1 << 32
_MAX_ANSWER = 4 * 1024 * 1024


@dataclass(frozen=True)
class Live:
    """A node's last word about a job, as the hub passes it on; not proved."""

    stage: str
    done: int
    of: int


class HubClient:
    """One hub. url: as `http://127.0.0.1:8000`."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url, self._timeout = url.rstrip("/"), timeout
        # Loading certificates takes longer than a search: only where there is TLS.
        self._client = httpx.Client(
            timeout=timeout,
            trust_env=False,
            verify=url.lower().startswith("https:"),
            headers={"accept-encoding": "identity"},
        )
        self.close = weakref.finalize(self, self._client.close)

    def search(self, words: str) -> list[dict[str, Any]]:
        """Datasets that fit the words, newest first; each has id, owner, slug, name, rows, content, price."""
        answer = self._get("/assets", {"query": words, "kind": "dataset", "limit": "100"})
        try:
            return [_hit(entry) for entry in answer["assets"]]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise IntegrityError(
                "the hub's answer does not parse", got=self._url, expected="a page of assets"
            ) from None

    def progress(self, job_id: bytes) -> Live | None:
        """Live progress, or None: a hub that is away or odd is no reason to stop watching."""
        try:
            found = self._get(f"/jobs/0x{job_id.hex()}", {})["progress"]
            if found is None:
                return None
            done, of = int(found["done"]), int(found["of"])
            fits = 0 <= done <= of < _MAX_STEPS
            return Live(printable(str(found["stage"]), 80), done if fits else 0, of if fits else 0)
        except (UnavailableError, IntegrityError, KeyError, TypeError, ValueError, OverflowError):
            return None

    def _get(self, path: str, query: dict[str, str]) -> Any:
        try:
            return parse_json(self._body(path, query), what="the hub's answer", limit=_MAX_ANSWER)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnavailableError(
                "the hub does not answer",
                got=f"{self._url}: {type(error).__name__}",
                do="Unset STEELYARD_HUB to search the chain itself.",
            ) from None
        except InputError as error:
            raise IntegrityError(error.what, got=self._url, expected="JSON") from None

    def _body(self, path: str, query: dict[str, str]) -> bytes:
        deadline = time.monotonic() + 2 * self._timeout
        body = bytearray()
        with self._client.stream("GET", f"{self._url}{path}", params=query) as answer:
            answer.raise_for_status()
            for piece in answer.iter_raw():
                body += piece
                if len(body) > _MAX_ANSWER or time.monotonic() > deadline:
                    raise IntegrityError("the hub's answer does not end", got=f"{len(body)} bytes")
        return bytes(body)


def _hit(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(int(entry["id"])),
        "owner": printable(str(entry["owner"]), 42),
        "slug": printable(str(entry.get("slug") or ""), 64),
        "name": printable(str(entry.get("name") or "(listing not read)"), 200),
        "rows": _integer(entry.get("rows")),
        "content": printable(str(entry.get("content") or ""), 16),
        "price": _integer(entry.get("price")),
    }


def _integer(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError


def printable(text: str, most: int) -> str:
    """Text from outside as a terminal may show it: no control characters, bounded."""
    return "".join(c for c in text[:most] if unicodedata.category(c)[0] != "C")
