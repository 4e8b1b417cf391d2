"""Hub and gateway keep to the OpenAPI documents that they serve, whatever is asked, and never answer with a 5xx."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.generation import GenerationMode

from marketplace.api import gateway, hub
from marketplace.api.hub import Hub
from marketplace.api.limits import Rate
from marketplace.catalogue.apply import append
from marketplace.catalogue.schema import Database
from marketplace.core.cid import Cid
from marketplace.core.events import JobOpened, JobRejected
from marketplace.core.job import Request
from tests.support.catalogue import served

from .conftest import ASSET, BUYER, DEPLOYMENT, JOB_TEXT, OFFER, PROVIDER, at, story

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
UNLIMITED = Rate(per_second=1e9, burst=1e9)
CID = Cid.of("raw", b"a block")
ENDED = Request(OFFER, BUYER.address, 1, b"\x07" * 32, b"\x08" * 32).job_id
KNOWN_PATHS = {
    "cid": str(CID),
    "asset": str(ASSET),
    "digest": "0x" + OFFER.hex(),
    "buyer": BUYER.address,
    "job": JOB_TEXT,
}


@dataclass
class Service:
    """What answers at `url`. ends: paths that must name other things, for those that the known ones never end with."""

    url: str
    ends: Mapping[str, dict[str, str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """A hub with a dataset, an open job and one that has ended; a gateway with a block."""
    home = Hub(Database(tmp_path_factory.mktemp("hub") / "hub.db"), DEPLOYMENT)
    market, provider = DEPLOYMENT.market, PROVIDER.address
    opened = (market, ENDED, provider, BUYER.address, OFFER, 1, b"\x07" * 32, b"\x08" * 32, 100, 2**33)
    rejected = JobRejected(at(6), market, ENDED, b"wrong-asset".ljust(32, b"\0"), 100)
    with home.database.write() as connection:
        append(connection, [*story(), JobOpened(at(5), *opened), rejected])
    folder = tmp_path_factory.mktemp("store")
    with (
        served(hub.create_app(home, requests=UNLIMITED)) as hub_url,
        served(gateway.create_app(folder, requests=UNLIMITED, writes=UNLIMITED)) as gateway_url,
    ):
        httpx.put(f"{gateway_url}/ipfs/{CID}", content=b"a block", trust_env=False).raise_for_status()
        yield {
            "hub": Service(hub_url, {"/jobs/{job}/events": {"job": "0x" + ENDED.hex()}}),
            "gateway": Service(gateway_url),
        }
    home.database.close()


def ask_everything(service: Service, examples: int) -> set[tuple[str, int]]:
    """Asks each operation in every way; returns which operation answered with which status."""
    answered: set[tuple[str, int]] = set()
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    for found in document.get_all_operations():
        operation = found.ok()
        names = [parameter.name for parameter in operation.path_parameters]
        known = service.ends.get(operation.path) or {name: KNOWN_PATHS[name] for name in names}
        for paths in (None, known) if names else (None,):
            answered |= _ask(operation, GenerationMode.POSITIVE, paths, examples)
        as_json = any(body.media_type == "application/json" for body in operation.body)
        if operation.query or as_json:  # any text is a path, any bytes a block: these cannot be malformed
            answered |= _ask(operation, GenerationMode.NEGATIVE, known, examples)
    return answered


def _ask(
    operation: Any, mode: GenerationMode, paths: dict[str, str] | None, examples: int
) -> set[tuple[str, int]]:
    answered: set[tuple[str, int]] = set()

    @settings(max_examples=examples, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=paths))
    def ask(case: Any) -> None:
        response = case.call()
        answered.add((operation.label, response.status_code))
        case.validate_response(response, checks=CHECKS)

    ask()
    return answered


WANTED = {
    "hub": {
        ("GET /health", 200),
        ("GET /assets", 200),
        ("GET /assets", 422),
        ("GET /assets/{asset}", 200),
        ("GET /assets/{asset}", 422),
        ("GET /grants/{digest}/{buyer}", 200),
        ("GET /offers/{digest}", 404),
        ("GET /jobs/{job}", 200),
        ("GET /jobs/{job}/events", 200),
        ("POST /jobs/{job}/progress", 422),
    },
    "gateway": {
        ("GET /health", 200),
        ("GET /ipfs/{cid}", 200),
        ("GET /ipfs/{cid}", 422),
        ("HEAD /ipfs/{cid}", 200),
        ("PUT /ipfs/{cid}", 422),
    },
}


@pytest.mark.parametrize("name", ["hub", "gateway"])
def test_every_answer_is_one_that_the_document_names(services: dict[str, Service], name: str) -> None:
    assert ask_everything(services[name], examples=10) >= WANTED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hub", "gateway"])
def test_hundreds_of_cases_of_every_operation_keep_to_the_document(
    services: dict[str, Service], name: str
) -> None:
    assert ask_everything(services[name], examples=120) >= WANTED[name]


def test_the_document_says_what_a_refusal_looks_like(services: dict[str, Service]) -> None:
    for service in services.values():
        document = httpx.get(f"{service.url}/openapi.json", trust_env=False).json()
        for path, methods in document["paths"].items():
            for operation in methods.values():
                refusal = operation["responses"]["429"]["content"]["application/json"]["schema"]
                assert set(refusal["required"]) == {"error", "what", "got", "expected", "do"}, path
