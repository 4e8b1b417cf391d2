"""Lists in pages, answers that have not changed, and versions that do not meet: over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from marketplace.catalogue.documents import entry_of
from marketplace.catalogue.rows import Asset, Listing, OfferDocument
from marketplace.catalogue.schema import get, put
from marketplace.core.events import (
    AccessBought,
    AssetPublished,
    CreditsMinted,
    JobOpened,
    JobRejected,
    OfferAnnounced,
)
from marketplace.core.ids import Kind, asset_id
from marketplace.core.job import Request

from .conftest import ASSET, BUYER, DEPLOYMENT, JOB_TEXT, NODE, PROVIDER, RunningHub, at, opened_hub

MARKET, REGISTRY = DEPLOYMENT.market, DEPLOYMENT.asset_registry
MODEL = asset_id(Kind.model, BUYER.address, b"\x31" * 32)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that is filled, for tests that only read."""
    for hub in opened_hub(tmp_path_factory.mktemp("full")):
        filled(hub)
        yield hub


def filled(hub: RunningHub) -> None:
    """Three more of everything: assets, offers, jobs of another state, grants, traders; and a model."""
    assets = [asset_id(Kind.dataset, PROVIDER.address, bytes([40 + n]) * 32) for n in range(3)]
    buyers = [BUYER.address, NODE.address, PROVIDER.address]
    events: list[Any] = []
    for n, asset in enumerate(assets):
        offer, document = bytes([50 + n]) * 32, bytes([60 + n]) * 32
        request = Request(offer, buyers[n], 0, b"\7" * 32, b"\x08" * 32)
        opened = (request.job_id, PROVIDER.address, buyers[n], offer, 0, b"\7" * 32, b"\x08" * 32, 9, 2**33)
        events += [
            AssetPublished(at(5 + n, 0), REGISTRY, asset, PROVIDER.address, b"\x0a" * 32),
            OfferAnnounced(at(5 + n, 1), MARKET, ASSET, offer, document, PROVIDER.address),
            AccessBought(at(5 + n, 2), MARKET, offer, buyers[n], PROVIDER.address, asset, 9, 1, 30_000),
            JobOpened(at(5 + n, 3), MARKET, *opened),
            JobRejected(at(5 + n, 4), MARKET, request.job_id, b"wrong-asset".ljust(32, b"\0"), 9),
        ]
    events += [
        AssetPublished(at(8), REGISTRY, MODEL, BUYER.address, b"\x0c" * 32),
        CreditsMinted(
            at(8, 1),
            DEPLOYMENT.addresses["ContributionCredits"],
            MODEL,
            bytes.fromhex(JOB_TEXT[2:]),
            PROVIDER.address,
            10**20,
        ),
    ]
    hub.add(*events)
    zero = "0x" + "00" * 20
    with hub.hub.database.write() as connection:
        for asset in (*assets, ASSET):
            row = get(connection, Asset, asset)
            assert row
            listing = Listing(asset, b"\x0a" * 32, "ok", "", "s", "Name", "", 1, " ", "{}")
            put(connection, [listing])
            put(connection, [entry_of(row, listing, "Name")])
        for n in range(3):
            key = bytes([50 + n]) * 32, bytes([60 + n]) * 32, ASSET
            put(connection, [OfferDocument(*key, "unavailable", "away", zero, zero, zero, 0, 0, 0, "")])


def pages(client: httpx.Client, path: str, name: str) -> Iterator[list[dict[str, Any]]]:
    """Every page of one entry, by following Link."""
    url = f"{path}{'&' if '?' in path else '?'}limit=1"
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        yield answer.json()[name]
        following = answer.links.get("next", {}).get("url", "")
        assert bool(following) is (answer.json()["next"] is not None)
        url = following


@pytest.mark.parametrize(
    ("path", "name", "count"),
    [
        ("/v1/assets?kind=dataset", "assets", 4),
        (f"/v1/assets/{ASSET}/offers", "offers", 3),
        ("/v1/jobs", "jobs", 4),
        (f"/v1/jobs?buyer={BUYER.address}", "jobs", 2),
        (f"/v1/jobs?provider={PROVIDER.address}&state=rejected", "jobs", 3),
        (f"/v1/jobs?asset={ASSET}", "jobs", 1),
        ("/v1/grants", "grants", 4),
        (f"/v1/grants?buyer={BUYER.address}", "grants", 2),
        (f"/v1/grants?asset={ASSET}&provider={PROVIDER.address}", "grants", 1),
        (f"/v1/models?owner={BUYER.address}&holder={PROVIDER.address}", "models", 1),
        (f"/v1/models?holder={NODE.address}", "models", 0),
        ("/v1/participants", "participants", 3),
    ],
)
def test_every_list_is_walked_through_page_by_page_without_gap_or_double(
    full: RunningHub, path: str, name: str, count: int
) -> None:
    found = [str(entry) for page in pages(full.client, path, name) for entry in page]
    assert len(found) == len(set(found)) == count
    assert [str(entry) for entry in full.client.get(path).json()[name]] == found


def test_a_list_goes_on_where_it_was_although_there_is_more_by_now(fresh: RunningHub) -> None:
    first = fresh.client.get("/v1/jobs?limit=1").json()
    assert (first["jobs"][0]["id"], first["next"]) == (JOB_TEXT, None)
    filled(fresh)
    page = fresh.client.get("/v1/jobs?limit=2").json()
    asset = asset_id(Kind.dataset, PROVIDER.address, b"\x70" * 32)
    fresh.add(AssetPublished(at(9), REGISTRY, asset, PROVIDER.address, b"\x0a" * 32))
    rest = fresh.client.get("/v1/jobs", params={"after": page["next"]}).json()["jobs"]
    assert len({job["id"] for job in page["jobs"] + rest}) == 4


def test_a_cursor_is_good_for_its_own_list_alone(full: RunningHub) -> None:
    cursor = full.client.get("/v1/grants?limit=1").json()["next"]
    for path in ("/v1/jobs", "/v1/participants", "/v1/models", f"/v1/assets/{ASSET}/offers"):
        answer = full.client.get(path, params={"after": cursor})
        assert (answer.status_code, answer.json()["what"]) == (422, "not a cursor of this list")
    assert full.client.get("/v1/grants", params={"after": cursor + "A"}).status_code == 422


def test_an_account_has_its_totals_and_a_model_its_credits(full: RunningHub) -> None:
    found = full.client.get(f"/v1/participants/{BUYER.address.lower()}").json()
    assert (found["spent"], found["refunded"], found["jobs_bought"]) == ("509", "9", 2)
    (model,) = full.client.get("/v1/models").json()["models"]
    assert (model["id"], model["job_id"]) == (str(MODEL), JOB_TEXT)
    assert model["credits"] == [{"account": PROVIDER.address, "units": str(10**20)}]


def test_what_has_not_changed_is_not_sent_again(fresh: RunningHub) -> None:
    path = f"/v1/jobs/{JOB_TEXT}"
    first = fresh.client.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (tag, f'"other", W/{tag}', "*"):
        same = fresh.client.get(path, headers={"if-none-match": known})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    fresh.post(sequence=1)
    changed = fresh.client.get(path, headers={"if-none-match": tag})
    assert changed.status_code == 200 and changed.headers["etag"] != tag


@pytest.mark.parametrize(
    "path", ["/health", "/v1/deployment", f"/v1/assets/{ASSET}", "/v1/jobs", "/openapi.json"]
)
def test_head_says_what_get_would_without_the_body(running: RunningHub, path: str) -> None:
    whole, head = running.client.get(path), running.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type", "steelyard-version"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("path", ["/v1/events", f"/v1/jobs/{JOB_TEXT}/events"])
def test_head_of_a_stream_ends_and_keeps_no_place(running: RunningHub, path: str) -> None:
    for _ in range(60):
        answer = running.client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "headers", "what"),
    [
        ("/v2/jobs", {}, "this hub does not speak that version"),
        ("/v99", {}, "this hub does not speak that version"),
        ("/v1/jobs", {"steelyard-version": "2"}, "this hub does not speak that version"),
        ("/v1/jobs", {"steelyard-version": "latest"}, "this hub does not speak that version"),
        ("/jobs/0x00", {}, "the client is older than this hub"),
        ("/assets", {}, "the client is older than this hub"),
    ],
)
def test_another_version_is_refused_with_the_one_that_there_is_and_what_to_do(
    running: RunningHub, path: str, headers: dict[str, str], what: str
) -> None:
    answer = running.client.get(path, headers=headers)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (400, "urn:steelyard:problem:version")
    assert problem["what"] == what and problem["do"] and "1" in problem["expected"]
    assert answer.headers["steelyard-version"] == "1"


def test_a_client_that_names_the_right_version_is_answered(running: RunningHub) -> None:
    assert running.client.get("/v1/jobs", headers={"steelyard-version": "1"}).status_code == 200
    assert (
        running.client.get("/v1/problems").json()["problems"][0]["type"] == "urn:steelyard:problem:internal"
    )
