"""The judgement on one job, without a node around it: orders of every bad kind, and what the terms say."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from compute.provider.judge import Refusal, Verdict, judge, read_order
from compute.sandbox import Sandbox
from marketplace.core import bundle, envelope
from marketplace.core.canonical import canonical
from marketplace.core.cid import Cid
from marketplace.core.job import Request
from marketplace.core.policy import CustomAlgorithms
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError, UnavailableError
from marketplace.storage import GatewayStore, put_block, put_file
from tests.support.buyers import Buyer, new_buyer
from tests.support.catalogue import Town
from tests.support.environments import environments, python_ml
from tests.support.hostile import endless_file, hostile_tar, many_files
from tests.support.wire import wire
from tests.support.works import COUNT_ROWS, Dataset, Works, algorithm, open_works

COUNT = algorithm("count", COUNT_ROWS)
CUSTOM = algorithm("custom", "")
PICKY = algorithm(
    "picky",
    COUNT_ROWS,
    schema='type = "object"\nrequired = ["depth"]\n[parameters.properties.depth]\ntype = "integer"\nmaximum = 3\n'
    '[parameters.properties.width]\ntype = "integer"\ndefault = 5',
)
NAMING = algorithm(
    "naming",
    COUNT_ROWS,
    schema='type = "object"\n[parameters.properties.by]\ntype = "string"\nformat = "column"',
)


@dataclass
class Bench:
    """A dataset, one use bought, and requests that are judged but need not be on chain."""

    town: Town
    works: Works
    dataset: Dataset
    buyer: Buyer

    def request(self, data: bytes, spec: dict[str, Any], index: int = 0) -> Request:
        return self.sealed(data, self.buyer.seal(spec, self.works), index)

    def sealed(self, data: bytes, block: bytes, index: int = 0) -> Request:
        digest = put_block(self.town.store, block).digest
        address = self.buyer.account.address
        return Request(self.dataset.offer_digest, address, index, bundle.digest(data), digest)

    def judge(self, request: Request, *, at: int | None = None) -> Verdict | Refusal:
        chain, works = self.town.market.chain, self.works
        now = chain.block_time() if at is None else at
        return judge(chain, self.town.store, works.vault, environments(), request, works.private, at=now)

    def order(self, request: Request) -> Any:
        return read_order(self.town.store, request, self.dataset.offer, self.works.private)


@pytest.fixture(scope="module")
def bench(town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    works = open_works(town, sandbox, tmp_path_factory.mktemp("bench"), "bench")
    dataset = works.publish(COUNT, PICKY, NAMING, custom=CustomAlgorithms.approval)
    buyer = new_buyer(town, "bench")
    buyer.buy(dataset)
    yield Bench(town, works, dataset, buyer)


def test_an_honest_order_of_a_listed_algorithm_is_permitted_with_defaults_filled_in(bench: Bench) -> None:
    verdict = bench.judge(bench.request(PICKY, bench.buyer.spec(PICKY, parameters={"depth": 2})))
    assert isinstance(verdict, Verdict)
    assert verdict.order.parameters == {"depth": 2, "width": 5}
    assert not verdict.permit.needs_approval
    assert not verdict.permit.review_output


def test_a_custom_algorithm_is_permitted_only_with_approval_and_review(bench: Bench) -> None:
    verdict = bench.judge(bench.request(CUSTOM, bench.buyer.spec(CUSTOM, sealed=True)))
    assert isinstance(verdict, Verdict)
    assert verdict.permit.needs_approval
    assert verdict.permit.review_output


def test_an_order_that_names_no_column_of_the_dataset_is_refused_before_the_data_is_opened(
    bench: Bench,
) -> None:
    refusal = bench.judge(bench.request(NAMING, bench.buyer.spec(NAMING, parameters={"by": "nothing"})))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "order-invalid"
    assert "names no column of the dataset" in refusal.detail


def test_a_use_that_was_not_paid_for_is_denied(bench: Bench) -> None:
    refusal = bench.judge(bench.request(COUNT, bench.buyer.spec(COUNT), index=1))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "no-uses-left"


def test_a_grant_whose_term_is_over_is_denied(bench: Bench) -> None:
    chain = bench.town.market.chain
    last_day = chain.grant(bench.dataset.offer_digest, bench.buyer.account.address).last_day
    request = bench.request(COUNT, bench.buyer.spec(COUNT))
    assert isinstance(bench.judge(request, at=(last_day + 1) * 86_400 - 1), Verdict)
    refusal = bench.judge(request, at=(last_day + 1) * 86_400)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "access-expired"


def test_a_dataset_that_is_not_in_this_vault_is_refused(bench: Bench, tmp_path: Path) -> None:
    from compute.provider.vault import Vault

    request = bench.request(COUNT, bench.buyer.spec(COUNT))
    chain, works = bench.town.market.chain, bench.works
    refusal = judge(
        chain,
        bench.town.store,
        Vault(tmp_path),
        environments(),
        request,
        works.private,
        at=chain.block_time(),
    )
    assert isinstance(refusal, Refusal)
    assert refusal.code == "dataset-not-here"


def test_every_code_fits_into_the_chains_32_bytes(bench: Bench) -> None:
    from marketplace.core.policy import Rule, reason_bytes32

    codes = [*map(str, Rule), "order-invalid", "dataset-not-here"]
    assert all(len(reason_bytes32(code)) == 32 for code in codes)


def test_a_gateway_that_is_away_is_no_missing_offer(bench: Bench) -> None:
    """Else every job that is opened while a gateway restarts would be rejected."""
    request = bench.request(COUNT, bench.buyer.spec(COUNT))
    chain, works = bench.town.market.chain, bench.works
    with wire(bench.town.gateway) as broken, GatewayStore(broken.url, timeout=1) as store:
        broken.cut()
        with pytest.raises(UnavailableError, match="gave no answer"):
            judge(chain, store, works.vault, environments(), request, works.private, at=chain.block_time())


@pytest.mark.parametrize(
    "parameters",
    [
        {"depth": 4},
        {"depth": "3"},
        {"depth": True},
        {},
        {"depth": 1, "depht": 1},
        {"depth": 1, "more": "x" * 100_000},
        {"depth": {"deep": [[[[[1]]]]]}},
        [],
        None,
    ],
)
def test_parameters_that_do_not_fit_the_schema_are_refused(bench: Bench, parameters: Any) -> None:
    request = bench.request(PICKY, bench.buyer.spec(PICKY) | {"parameters": parameters})
    with pytest.raises(InputError):
        bench.order(request)


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "python-ml-2"},
        {"environment": ""},
        {"environment": 1},
        {"version": 2},
        {"version": "1"},
        {"more": 1},
        {"result_key": "0x" + "00" * 32},
        {"result_key": "0x" + "01" + "00" * 31},
        {"result_key": "0x" + " " * 64},
        {"result_key": "0x" + "00" * 31},
        {"result_key": "11" * 33},
        {"purpose": "p" * 201},
        {"purpose": None},
        {"algorithm": {}},
        {"algorithm": {"name": "a", "digest": "0x" + "00" * 32, "cid": "bafy"}},
        {"algorithm": {"name": "a", "digest": "0x" + "00" * 32, "cid": str(Cid.raw(bytes(32)))}},
    ],
    ids=lambda changes: repr(changes)[:50],
)
def test_a_spec_with_odd_fields_is_refused(bench: Bench, changes: dict[str, Any]) -> None:
    request = bench.request(COUNT, bench.buyer.spec(COUNT) | changes)
    with pytest.raises(InputError):
        bench.order(request)


@pytest.mark.parametrize("missing", ["algorithm", "parameters", "purpose", "result_key"])
def test_a_spec_that_lacks_a_field_is_refused(bench: Bench, missing: str) -> None:
    spec = bench.buyer.spec(COUNT)
    del spec[missing]
    with pytest.raises(InputError):
        bench.order(bench.request(COUNT, spec))


@pytest.mark.parametrize(
    "block", [b"", b"{}", b"null", b"\xff\xfe", b"[" * 200_000, canonical({"wraps": []}), os.urandom(100_000)]
)
def test_a_spec_that_is_no_sealed_message_is_refused(bench: Bench, block: bytes) -> None:
    with pytest.raises(InputError):
        bench.order(bench.sealed(COUNT, block))


def test_a_spec_that_is_sealed_to_others_is_refused(bench: Bench) -> None:
    spec, reader = canonical(bench.buyer.spec(COUNT)), envelope.public_key(os.urandom(32))
    block = envelope.seal_message(spec, [reader], key=os.urandom(32), nonce=os.urandom(12))
    with pytest.raises(RefusedError):
        bench.order(bench.sealed(COUNT, block))


def test_a_spec_that_was_changed_is_refused(bench: Bench) -> None:
    block = bench.buyer.seal(bench.buyer.spec(COUNT), bench.works)
    at = block.index(b'"ciphertext":"') + 20
    other = b"A" if block[at : at + 1] != b"A" else b"B"
    with pytest.raises(IntegrityError):
        bench.order(bench.sealed(COUNT, block[:at] + other + block[at + 1 :]))


def test_a_spec_that_is_not_json_inside_is_refused(bench: Bench) -> None:
    for text in (b"", b"\xff", b"{", b'{"version": 1}', b"[" * 100_000):
        block = envelope.seal_message(text, [bench.works.public], key=os.urandom(32), nonce=os.urandom(12))
        with pytest.raises(InputError):
            bench.order(bench.sealed(COUNT, block))


@pytest.mark.parametrize(
    "data",
    [
        hostile_tar("../../etc/cron.d/job"),
        hostile_tar("/etc/passwd"),
        hostile_tar("link", tarfile.SYMTYPE, "/etc/passwd"),
        hostile_tar("hard", tarfile.LNKTYPE, "main.py"),
        hostile_tar("pipe", tarfile.FIFOTYPE),
        hostile_tar("device", tarfile.CHRTYPE),
        bundle.pack({"algorithm.toml": bundle.unpack(COUNT)["algorithm.toml"]}),
        bundle.pack({"main.py": b""}),
        bundle.pack({"algorithm.toml": b"name = [" + b"[" * 10_000, "main.py": b""}),
        bundle.pack({"algorithm.toml": b"\xff", "main.py": b""}),
        many_files(10_000),
        b"",
        os.urandom(4_096),
        COUNT[:-512],
        COUNT + bytes(512),
    ],
    ids=[
        "..", "absolute", "symbolic link", "hard link", "fifo", "device", "no entrypoint", "no manifest",
        "nested manifest", "manifest not UTF-8", "10,000 files", "empty", "noise", "cut short", "more at its end",
    ],
)  # fmt: skip
def test_a_bundle_that_is_no_bundle_is_refused(bench: Bench, data: bytes) -> None:
    with pytest.raises(InputError):
        bench.order(bench.request(data, bench.buyer.spec(data)))


def test_sealing_makes_no_bundle_of_what_is_none(bench: Bench) -> None:
    for data in (b"", hostile_tar("../../etc/cron.d/job"), COUNT[:-512]):
        with pytest.raises(InputError):
            bench.order(bench.request(data, bench.buyer.spec(data, sealed=True)))


def test_a_bundle_of_another_digest_is_refused(bench: Bench) -> None:
    spec = bench.buyer.spec(COUNT)
    spec["algorithm"]["cid"] = str(put_file(BytesIO(CUSTOM), bench.town.store).cid)
    with pytest.raises(IntegrityError):
        bench.order(bench.request(COUNT, spec))


@pytest.mark.parametrize("size", [0, 1, 2**40, 2**49, 2**52], ids=str)
def test_a_header_that_lies_about_its_size_is_refused(bench: Bench, size: int) -> None:
    spec = bench.buyer.spec(CUSTOM, sealed=True)
    header = bench.town.store.get(Cid.parse(spec["algorithm"]["cid"]))
    changed = header.replace(b'"size":%d' % len(CUSTOM), b'"size":%d' % size)
    assert changed != header
    spec["algorithm"]["cid"] = str(put_block(bench.town.store, changed))
    with pytest.raises((InputError, IntegrityError)):
        bench.order(bench.request(CUSTOM, spec))


def test_a_sealed_bundle_with_another_key_is_refused(bench: Bench) -> None:
    spec = bench.buyer.spec(CUSTOM, sealed=True)
    spec["algorithm"]["key"] = "0x" + "11" * 32
    with pytest.raises(IntegrityError):
        bench.order(bench.request(CUSTOM, spec))


def test_a_header_that_is_another_bundles_is_refused(bench: Bench) -> None:
    spec, other = bench.buyer.spec(CUSTOM, sealed=True), bench.buyer.spec(COUNT, sealed=True)
    spec["algorithm"] |= {"cid": other["algorithm"]["cid"], "key": other["algorithm"]["key"]}
    with pytest.raises(IntegrityError):
        bench.order(bench.request(CUSTOM, spec))


def test_a_file_of_petabytes_in_a_few_blocks_is_refused_at_once(bench: Bench) -> None:
    spec = bench.buyer.spec(COUNT)
    spec["algorithm"]["cid"] = str(endless_file(bench.town.store))
    with pytest.raises(InputError, match="too long"):
        bench.order(bench.request(COUNT, spec))


def test_content_that_is_missing_is_told_from_content_that_is_wrong(bench: Bench) -> None:
    spec = bench.buyer.spec(COUNT)
    spec["algorithm"]["cid"] = str(Cid.of("raw", b"never stored"))
    with pytest.raises(NotFoundError):
        bench.order(bench.request(COUNT, spec))
    with pytest.raises(NotFoundError):
        bench.judge(bench.request(COUNT, spec))


@pytest.mark.parametrize("wanted", ["python-gpu", "python-ml@000000000000"])
def test_an_algorithm_whose_environment_is_not_here_is_refused_and_those_that_are_here_are_named(
    bench: Bench, wanted: str
) -> None:
    data = algorithm("elsewhere", COUNT_ROWS, environment=wanted)
    refusal = bench.judge(bench.request(data, bench.buyer.spec(data, environment=wanted)))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "environment-not-here"
    assert refusal.detail == (
        f"that environment is not here; got {wanted}; expected python-ml@{python_ml().digest.hex()[:12]}"
    )


def test_an_algorithm_may_name_the_very_list_that_it_wants(bench: Bench) -> None:
    wanted = f"python-ml@{python_ml().digest.hex()}"
    data = algorithm("particular", COUNT_ROWS, environment=wanted)
    verdict = bench.judge(bench.request(data, bench.buyer.spec(data, environment=wanted)))
    assert isinstance(verdict, Verdict)
    assert verdict.environment == python_ml()
