"""Search over a catalogue of listings: words, filters, pages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.catalogue.apply import forget
from marketplace.catalogue.documents import entry_of
from marketplace.catalogue.rows import Asset, Listing, OfferDocument
from marketplace.catalogue.schema import Database, put
from marketplace.catalogue.search import Place, Query, fold_case, search
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.ids import Kind, asset_id
from marketplace.core.terms import Purpose
from marketplace.errors import InputError

OWNERS = ["0x" + "1" * 40, "0x" + "2" * 40]
NOW = 1_000


def add(database: Database, number: int, name: str, **changes: Any) -> int:
    kind, owner = changes.get("kind", Kind.dataset), changes.get("owner", OWNERS[0])
    token = asset_id(kind, owner, number.to_bytes(32))
    purposes = f" {changes.get('purposes', 'research')} "
    asset = Asset(token, kind, owner, owner, b"m" * 32, 0, 0, 0, number // 2, number % 2)
    listing = Listing(token, b"m" * 32, changes.get("status", "ok"), "", "", name, "", 1, purposes, "{}")
    with database.write() as connection:
        put(connection, [asset])
        put(connection, [listing])
        if listing.status == "ok":
            put(connection, [entry_of(asset, listing, f"{name} {changes.get('description', '')}")])
        for n, price in enumerate(changes.get("prices", ())):
            digest = bytes([n]) * 32
            put(
                connection,
                [
                    OfferDocument(
                        digest, digest, token, "ok", "", owner, owner, ZERO_ADDRESS, price, NOW, 0, "{}"
                    )
                ],
            )
    return token


def names(database: Database, **query: Any) -> list[str]:
    with database.read() as connection:
        return [hit.listing.name for hit in search(connection, Query(**query), now=NOW).hits]


@pytest.fixture
def stocked(database: Database) -> Database:
    add(database, 1, "Shuttle valves", description="Vibration of valves", prices=(500, 300))
    add(database, 2, "Wind turbines", description="100% of a park_7", owner=OWNERS[1], prices=(900,))
    add(database, 3, "Straße und Ärzte", purposes="healthcare research")
    add(database, 4, "A model", kind=Kind.model)
    add(database, 5, "Unread", status="unavailable")
    return database


def test_without_a_query_all_readable_listings_come_newest_first(stocked: Database) -> None:
    assert names(stocked) == ["A model", "Straße und Ärzte", "Wind turbines", "Shuttle valves"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("valve", ["Shuttle valves"]),
        ("VIBR shuttle", ["Shuttle valves"]),
        ("shuttle wind", []),
        ("100%", ["Wind turbines"]),
        ("park_7", ["Wind turbines"]),
        ("park%7", []),
        ("parkx7", []),
        ("STRASSE", ["Straße und Ärzte"]),
        ("ärzte", ["Straße und Ärzte"]),
        ("\\", []),
        ("' OR 1=1 --", []),
    ],
)
def test_every_word_must_occur_and_no_sign_is_special(stocked: Database, text: str, found: list[str]) -> None:
    assert names(stocked, text=text) == found


def test_filters_narrow_by_kind_owner_price_and_purpose(stocked: Database) -> None:
    assert names(stocked, kind=Kind.model) == ["A model"]
    assert names(stocked, owner=OWNERS[1]) == ["Wind turbines"]
    assert names(stocked, max_price=300) == ["Shuttle valves"]
    assert names(stocked, max_price=299) == []
    assert names(stocked, purpose=Purpose.healthcare) == ["Straße und Ärzte"]


def test_the_cheapest_standing_offer_prices_an_asset(stocked: Database) -> None:
    with stocked.read() as connection:
        (hit,) = search(connection, Query(text="valves"), now=NOW).hits
        assert (hit.price, hit.offers) == (300, 2)
        (hit,) = search(connection, Query(text="valves"), now=NOW + 1).hits
        assert (hit.price, hit.offers) == (None, 0)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 6))
def test_pages_of_any_size_together_are_the_whole(stocked: Database, limit: int) -> None:
    found: list[str] = []
    after: Place | None = None
    for _ in range(10):
        with stocked.read() as connection:
            page = search(connection, Query(limit=limit, after=after), now=NOW)
        found += [hit.listing.name for hit in page.hits]
        if page.next is None:
            break
        after = Place.parse(str(page.next))
    assert found == names(stocked)


FEW_LETTERS = st.text("ab", max_size=6)
LETTERS = FEW_LETTERS | st.text("abcß ÄＡ'\"%_\\0\0\ud800\ufffe\U0001f600", max_size=12)
LISTINGS = st.lists(
    st.tuples(
        LETTERS,
        st.sampled_from(OWNERS),
        st.sampled_from(["research", "healthcare"]),
        st.lists(st.integers(1, 9), max_size=2),
    ),
    max_size=8,
)
QUERIES = st.fixed_dictionaries(
    {
        "text": LETTERS,
        "owner": st.none() | st.sampled_from(OWNERS),
        "purpose": st.none() | st.sampled_from([Purpose.research, Purpose.healthcare]),
        "max_price": st.none() | st.integers(0, 9),
        "limit": st.integers(1, 3),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(listings=LISTINGS, query=QUERIES, window=st.integers(0, 4))
def test_search_finds_what_a_look_at_every_listing_finds(
    database: Database, listings: list[Any], query: dict[str, Any], window: int
) -> None:
    with database.write() as connection:
        forget(connection)
    for number, (name, owner, purpose, prices) in enumerate(listings):
        add(database, number, name, owner=owner, purposes=purpose, prices=prices)

    def fits(number: int) -> bool:
        name, owner, purpose, prices = listings[number]
        return (
            all(word in fold_case(name + " ") for word in fold_case(query["text"]).split())
            and query["owner"] in (None, owner)
            and query["purpose"] in (None, purpose)
            and (query["max_price"] is None or any(price <= query["max_price"] for price in prices))
        )

    expected = [number for number in reversed(range(len(listings))) if fits(number)]
    found, after = [], None
    while True:
        with database.read() as connection:
            page = search(connection, Query(**query, after=after), now=NOW, window=window)
        found += [hit.asset.block * 2 + hit.asset.log_index for hit in page.hits]
        after = page.next
        if after is None:
            break
    assert found == expected


@pytest.mark.parametrize(
    "query", [{"text": "x" * 201}, {"text": "a " * 9}, {"limit": 0}, {"limit": 101}], ids=str
)
def test_a_query_out_of_bounds_is_refused(query: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Query(**query)
