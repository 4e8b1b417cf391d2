"""Hub and gateway keep to the OpenAPI documents that they serve, whatever is asked, and never answer with a 5xx."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.generation import GenerationMode

from marketplace.accounts.sessions import Sessions
from marketplace.api import gateway, hub
from marketplace.api.limits import Rate
from marketplace.catalogue.apply import append
from marketplace.core.cid import Cid
from marketplace.core.events import JobOpened, JobRejected
from marketplace.core.job import Request
from marketplace.wire.problem import Problem
from tests.support.catalogue import served

from .conftest import ASSET, BUYER, DEPLOYMENT, JOB_TEXT, OFFER, PROVIDER, at, hub_in, story

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
    "participant": BUYER.address,
    "webhook": "wh_" + "00" * 16,
}


@dataclass
class Service:
    """What answers at `url`. ends: paths that must name other things, for those that the known ones never end with.

    token: of somebody who is signed in. endless: paths that never end.
    """

    url: str
    token: str = ""
    endless: tuple[str, ...] = ()
    ends: Mapping[str, dict[str, str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """A hub with a dataset, an open job and one that has ended; a gateway with a block."""
    home = hub_in(tmp_path_factory.mktemp("hub"))
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
            "hub": Service(
                hub_url,
                Sessions(home.accounts).open(BUYER.address, now=time.time())[0],
                ("/v1/events",),
                {"/v1/jobs/{job}/events": {"job": "0x" + ENDED.hex()}},
            ),
            "gateway": Service(gateway_url),
        }
    home.database.close()
    home.accounts.close()


def ask_everything(service: Service, examples: int) -> set[tuple[str, int]]:
    """Asks each operation in every way; returns which operation answered with which status."""
    answered: set[tuple[str, int]] = set()
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    for found in document.get_all_operations():
        operation = found.ok()
        if operation.path in service.endless:
            continue
        token = "" if operation.label == "DELETE /v1/sign-in" else service.token
        names = [parameter.name for parameter in operation.path_parameters]
        known = service.ends.get(operation.path) or {name: KNOWN_PATHS[name] for name in names}
        for paths in (None, known) if names else (None,):
            answered |= _ask(operation, GenerationMode.POSITIVE, paths, examples, token)
        as_json = any(body.media_type == "application/json" for body in operation.body)
        if operation.query or as_json:  # any text is a path, any bytes a block: these cannot be malformed
            answered |= _ask(operation, GenerationMode.NEGATIVE, known, examples, token)
    return answered


def _ask(
    operation: Any, mode: GenerationMode, paths: dict[str, str] | None, examples: int, token: str
) -> set[tuple[str, int]]:
    answered: set[tuple[str, int]] = set()

    @settings(max_examples=examples, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=paths))
    def ask(case: Any) -> None:
        response = case.call(headers={"authorization": f"Bearer {token}"} if token else {})
        answered.add((operation.label, response.status_code))
        case.validate_response(response, checks=CHECKS)

    ask()
    return answered


WANTED = {
    "hub": {
        ("GET /health", 200),
        ("GET /v1/assets", 200),
        ("GET /v1/assets", 422),
        ("GET /v1/assets/{asset}", 200),
        ("GET /v1/assets/{asset}", 422),
        ("GET /v1/grants/{digest}/{buyer}", 200),
        ("GET /v1/offers/{digest}", 404),
        ("GET /v1/jobs/{job}", 200),
        ("GET /v1/jobs/{job}/events", 200),
        ("POST /v1/jobs/{job}/progress", 422),
        ("GET /v1/jobs", 200),
        ("GET /v1/jobs", 422),
        ("GET /v1/grants", 200),
        ("GET /v1/models", 200),
        ("GET /v1/assets/{asset}/offers", 200),
        ("GET /v1/participants", 200),
        ("GET /v1/participants/{participant}", 200),
        ("GET /v1/problems", 200),
        ("POST /v1/sign-in/nonce", 200),
        ("POST /v1/sign-in", 422),
        ("GET /v1/sign-in", 200),
        ("DELETE /v1/sign-in", 401),
        ("GET /v1/webhooks", 200),
        ("POST /v1/webhooks", 422),
        ("DELETE /v1/webhooks/{webhook}", 404),
        ("POST /v1/webhooks/{webhook}/test", 404),
        ("GET /v1/webhooks/{webhook}/deliveries", 404),
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
    assert ask_everything(services[name], examples=40) >= WANTED[name]


def test_the_document_says_what_a_refusal_looks_like(services: dict[str, Service]) -> None:
    for service in services.values():
        document = httpx.get(f"{service.url}/openapi.json", trust_env=False).json()
        for path, methods in document["paths"].items():
            for operation in methods.values():
                refusal = operation["responses"]["429"]["content"]["application/problem+json"]["schema"]
                assert refusal == {"$ref": "#/components/schemas/Problem"}, path
        problem = document["components"]["schemas"]["Problem"]
        assert set(problem["required"]) == set(Problem.model_fields)


def test_every_operation_has_a_name_and_every_field_of_an_answer_a_meaning(
    services: dict[str, Service],
) -> None:
    document = httpx.get(f"{services['hub'].url}/openapi.json", trust_env=False).json()
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) > 20 and all(name.isalnum() for name in names)
    assert all(operation["description"] for operation in operations)
    for model, schema in document["components"]["schemas"].items():
        assert schema.get("description"), model
        for name, value in schema.get("properties", {}).items():
            assert says_something(value), f"{model}.{name}"


def says_something(field: dict[str, Any]) -> bool:
    """Whether a field has a description, an example, an enumeration, or another schema that has."""
    if field.keys() & {"description", "examples", "enum", "const", "$ref"}:
        return True
    parts = [*field.get("anyOf", []), *([field["items"]] if "items" in field else [])]
    return any(says_something(part) for part in parts)
