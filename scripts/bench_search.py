"""Search over a hundred thousand listings: how long a page takes, for questions that people ask and some that hurt."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from marketplace.catalogue.documents import entry_of
from marketplace.catalogue.rows import Asset, Entry, Listing, OfferDocument, Row
from marketplace.catalogue.schema import Database, put
from marketplace.catalogue.search import Place, Query, search
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.ids import Kind, asset_id
from marketplace.core.terms import Purpose

_NOW = 1_000
_OWNERS = 500
_BATCH = 2_000
_RARE_PURPOSE = Purpose.education
_PURPOSES = [purpose for purpose in Purpose if purpose != _RARE_PURPOSE]
_SYLLABLES = [a + b for a, b in zip("bcdfghjklmnprstvwxyz" * 2, "aeiou" * 8, strict=True)]
_DOCUMENT = '{"padding":"' + "x" * 3_000 + '"}'


def fill(database: Database, listings: int) -> None:
    """Writes assets, listings, entries and offers by the same `put` as the indexer's; no chain, no store.

    Words are drawn as in any language: a few everywhere, most of them rare. A document is of 3 kB.
    """
    draw = random.Random(1)  # noqa: S311  # the same listings every time
    words = vocabulary(draw)
    for start in range(0, listings, _BATCH):
        made = [_listing(draw, words, number) for number in range(start, min(start + _BATCH, listings))]
        with database.write() as connection:
            for kind in (Asset, Listing, Entry, OfferDocument):
                put(connection, [row for rows in made for row in rows if isinstance(row, kind)])


def vocabulary(draw: random.Random) -> list[str]:
    """Words, the most frequent first."""
    return ["".join(draw.choice(_SYLLABLES) for _ in range(draw.randint(2, 5))) for _ in range(20_000)]


def owner(number: int) -> str:
    """The account that owns the listings of this number; the first one owns a tenth of all."""
    return "0x" + f"{0 if number % 10 == 0 else number % _OWNERS:040x}"


def _listing(draw: random.Random, words: list[str], number: int) -> list[Row]:
    by = owner(number)
    token = asset_id(Kind.dataset, by, number.to_bytes(32))
    asset = Asset(token, 1, by, by, b"m" * 32, 0, 0, 0, number // 2, number % 2)
    purposes = draw.sample(_PURPOSES, draw.randint(1, 3)) if number % 1_000 else [_RARE_PURPOSE]
    said = " ".join(words[min(int(draw.paretovariate(0.6)), len(words)) - 1] for _ in range(40))
    spaced = f" {' '.join(purposes)} "
    listing = Listing(
        token, b"m" * 32, "ok", "", f"set-{number}", f"Set {number}", said, 1, spaced, _DOCUMENT
    )
    price = 1_000_000 + draw.randrange(99_000_000)
    digest = number.to_bytes(32)
    offer = OfferDocument(
        digest, digest, token, "ok", "", by, by, ZERO_ADDRESS, price, _NOW + number % 50, 0, "{}"
    )
    return [asset, listing, entry_of(asset, listing, f"Set {number} set-{number} {said}"), offer]


def questions(listings: int) -> dict[str, Callable[[random.Random], Query]]:
    """What is asked, by name; each draws its words, and asks for a page that begins anywhere."""
    words = vocabulary(random.Random(1))  # noqa: S311

    def ask(**fixed: object) -> Callable[[random.Random], Query]:
        def one(draw: random.Random) -> Query:
            given = {name: value(draw) if callable(value) else value for name, value in fixed.items()}
            place = None if draw.random() < 0.5 else Place(draw.randrange(listings // 2), 0)
            return Query(**given, after=place)  # type: ignore[arg-type]

        return one

    def common(draw: random.Random) -> str:
        return draw.choice(words[:50])

    def rare(draw: random.Random) -> str:
        return draw.choice(words[2_000:])

    return {
        "no words": ask(),
        "a common word": ask(text=common),
        "a rare word": ask(text=rare),
        "an absent word": ask(text=lambda draw: draw.choice(words) + "qx"),
        "part of a word": ask(text=lambda draw: rare(draw)[1:5]),
        "two common words": ask(text=lambda draw: f"{common(draw)} {common(draw)}"),
        "a common and a rare word": ask(text=lambda draw: f"{common(draw)} {rare(draw)}"),
        "three rare words": ask(text=lambda draw: " ".join(rare(draw) for _ in range(3))),
        "two letters": ask(text=lambda draw: rare(draw)[:2]),
        "two letters that are nowhere": ask(text="qx"),
        "a price that one in 100 has": ask(max_price=2_000_000),
        "a price that nobody has": ask(max_price=999_999),
        "a price that half have": ask(max_price=50_000_000),
        "a purpose": ask(purpose=lambda draw: draw.choice(_PURPOSES)),
        "a purpose that one in 1,000 has": ask(purpose=_RARE_PURPOSE),
        "an owner": ask(owner=lambda draw: owner(draw.randrange(_OWNERS))),
        "the owner of a tenth, a rare word": ask(owner=owner(0), text=rare),
        "a kind that nothing is of": ask(kind=Kind.model),
        "a rare word at a price": ask(text=rare, max_price=20_000_000),
        "a common word at a low price": ask(text=common, max_price=2_000_000),
        "a common word for a purpose": ask(text=common, purpose=lambda draw: draw.choice(_PURPOSES)),
    }


def milliseconds(database: Database, listings: int, *, times: int) -> dict[str, list[float]]:
    """How long each question took, asked so many times in a mixed order, after one round that is not counted."""
    asked = questions(listings)
    draw = random.Random(2)  # noqa: S311
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(times + 1):
        for name in draw.sample(list(asked), len(asked)):
            query = asked[name](draw)
            started = time.perf_counter()
            with database.read() as connection:
                search(connection, query, now=_NOW)
            if turn:
                taken[name].append((time.perf_counter() - started) * 1_000)
    return taken


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]
