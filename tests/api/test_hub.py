"""The hub's routes over real HTTP: what they answer, and that nothing sent to them breaks them."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.api.problems import kinds
from marketplace.catalogue.rows import Cursor
from marketplace.catalogue.schema import put
from marketplace.chain.deployment import Deployment
from marketplace.core.events import PausedSet
from marketplace.wire.problem import MEDIA_TYPE, Problem

from .conftest import ASSET, BUYER, DEPLOYMENT, JOB_TEXT, OFFER, PROVIDER, RunningHub, at

FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_the_deployment_file_is_served_to_the_byte(running: RunningHub) -> None:
    answer = running.client.get("/v1/deployment")
    assert Deployment.parse(answer.content).digest == DEPLOYMENT.digest


def test_health_says_how_far_the_chain_was_read_and_what_is_paused(fresh: RunningHub) -> None:
    fresh.add(PausedSet(at(5), DEPLOYMENT.market, True))
    with fresh.hub.database.write() as connection:
        put(connection, [Cursor(0, DEPLOYMENT.digest, 5, b"\1" * 32)])
    answer = fresh.client.get("/health").json()
    assert answer == {"status": "ok", "trouble": None, "block": 5, "paused": [DEPLOYMENT.market]}


def test_an_asset_is_found_by_token_id_and_by_did(running: RunningHub) -> None:
    by_id = running.client.get(f"/v1/assets/{ASSET}")
    assert by_id.status_code == 200
    found = by_id.json()
    assert (found["id"], found["owner"], found["kind"], found["jobs"]) == (
        str(ASSET),
        PROVIDER.address,
        "dataset",
        1,
    )
    assert found["listing"]["status"] == "unread"
    assert running.client.get(f"/v1/assets/{found['did']}").json() == found


def test_a_did_of_another_market_is_not_ours(running: RunningHub) -> None:
    answer = running.client.get(f"/v1/assets/did:steelyard:1:{PROVIDER.address}:{ASSET}")
    assert answer.status_code == 404


def test_a_grant_and_a_job_say_what_the_chain_said(running: RunningHub) -> None:
    grant = running.client.get(f"/v1/grants/0x{OFFER.hex()}/{BUYER.address.lower()}").json()
    assert (grant["jobs_paid"], grant["jobs_opened"], grant["price"]) == (5, 1, 100)
    job = running.client.get(f"/v1/jobs/{JOB_TEXT}").json()
    assert (job["state"], job["held"], job["receipt"], job["progress"]) == ("open", 100, None, None)
    assert [(step["event"], step["state"]) for step in job["history"]] == [("JobOpened", "open")]
    assert job["history"][0]["data"]["price"] == "100"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/assets/0", 422),
        ("/v1/assets/-1", 422),
        ("/v1/assets/1", 422),
        (f"/v1/assets/{2**256}", 422),
        ("/v1/assets/did:steelyard:x", 422),
        (f"/v1/assets/{ASSET + 1}", 404),
        ("/v1/assets?kind=4", 422),
        ("/v1/assets?limit=0", 422),
        ("/v1/assets?limit=1e3", 422),
        ("/v1/assets?max_price=-1", 422),
        (f"/v1/assets?max_price={2**48}", 422),
        ("/v1/assets?owner=0x12", 422),
        ("/v1/assets?purpose=war", 422),
        ("/v1/assets?after=1", 422),
        ("/v1/assets?after=9999999999999999999-1", 422),
        (f"/v1/assets?query={'x' * 201}", 422),
        (f"/v1/assets?query={'x+' * 9}", 422),
        ("/v1/offers/0x12", 422),
        (f"/v1/offers/0x{'zz' * 32}", 422),
        (f"/v1/offers/0x{'00' * 32}", 404),
        (f"/v1/grants/0x{'00' * 32}/0x12", 422),
        (f"/v1/grants/0x{'00' * 32}/{BUYER.address}", 404),
        ("/v1/jobs/1", 422),
        (f"/v1/jobs/0x{'00' * 32}", 404),
        (f"/v1/jobs/0x{'00' * 32}/events", 404),
        ("/v1/jobs/1/events", 422),
        ("/nothing", 404),
        ("/", 404),
    ],
)
def test_what_does_not_fit_or_is_not_there_is_said_in_one_form(
    running: RunningHub, path: str, status: int
) -> None:
    answer = running.client.get(path)
    assert answer.status_code == status
    problem = Problem.model_validate_json(answer.content)
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert (problem.status, problem.instance) == (status, answer.request.url.path)
    assert problem.type in {kind.type for kind in kinds().problems} and problem.what in problem.detail


def test_a_wrong_method_is_refused_in_the_same_form(running: RunningHub) -> None:
    answer = running.client.delete("/health")
    assert (answer.status_code, answer.json()["type"]) == (405, "urn:steelyard:problem:input")


_parts = st.text(max_size=80) | st.sampled_from(
    [
        "assets",
        "jobs",
        "offers",
        "grants",
        "progress",
        "events",
        str(ASSET),
        JOB_TEXT,
        "0x" + OFFER.hex(),
        "\0",
        "%00",
        "v1",
        "v2",
        "participants",
        "webhooks",
        "sign-in",
        "models",
    ]
)


def quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="", errors="replace")


@FUZZ
@given(parts=st.lists(_parts, max_size=4), query=st.dictionaries(_parts, _parts, max_size=3))
def test_no_path_brings_the_hub_down(running: RunningHub, parts: list[str], query: dict[str, str]) -> None:
    if "events" in parts:
        return  # perhaps a real stream, which does not end
    path = "/" + "/".join(quoted(part) for part in parts)
    pairs = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in query.items())
    # Not httpx, which refuses to ask for some of these.
    connection = http.client.HTTPConnection("127.0.0.1", int(running.url.rpartition(":")[2]), timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", f"{path}?{pairs}")
        assert connection.getresponse().status < 500


_names = st.sampled_from(["query", "kind", "owner", "max_price", "purpose", "limit", "after"])


@FUZZ
@given(query=st.dictionaries(_names, st.text(max_size=60) | st.integers().map(str), max_size=4))
def test_no_query_brings_the_search_down(running: RunningHub, query: dict[str, str]) -> None:
    pairs = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
    answer = running.client.get("/v1/assets", params=pairs)
    assert answer.status_code in (200, 422)
    json.loads(answer.content)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_progress = st.fixed_dictionaries(
    dict.fromkeys(("jobId", "sequence", "stage", "done", "of"), _json)
) | st.fixed_dictionaries(
    {"jobId": st.just(JOB_TEXT), "sequence": st.integers(), "stage": st.text(), "done": _json, "of": _json}
)


@FUZZ
@given(
    body=st.binary(max_size=100)
    | _json.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"progress": _progress | _json, "signature": _json | st.binary(max_size=66).map(bytes.hex)}
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_body_brings_the_hub_down_or_passes_for_progress(running: RunningHub, body: bytes) -> None:
    answer = running.client.post(f"/v1/jobs/{JOB_TEXT}/progress", content=body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["what"]


def test_a_long_body_is_refused_before_it_is_read_to_its_end(running: RunningHub) -> None:
    answer = running.client.post(f"/v1/jobs/{JOB_TEXT}/progress", content=b" " * 1_000_000)
    assert (answer.status_code, answer.json()["what"]) == (413, "the body is too long")


def test_the_hub_has_no_route_that_could_trade(running: RunningHub) -> None:
    paths = httpx.get(f"{running.url}/openapi.json").json()["paths"]
    writing = {(path, method) for path, methods in paths.items() for method in methods if method != "get"}
    assert writing == {
        ("/v1/jobs/{job}/progress", "post"),
        ("/v1/sign-in/nonce", "post"),
        ("/v1/sign-in", "post"),
        ("/v1/sign-in", "delete"),
        ("/v1/webhooks", "post"),
        ("/v1/webhooks/{webhook}", "delete"),
        ("/v1/webhooks/{webhook}/test", "post"),
    }
