"""Jobs on data of other kinds than one sealed table, from order to answer: what the node says, what the buyer gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compute.provider.publish import Price, TermsChoice
from compute.sandbox import Sandbox
from marketplace.core.job import State
from marketplace.core.policy import CustomAlgorithms
from marketplace.core.spec import FailureReport
from tests.provider.test_survey import png
from tests.support.buyers import Buyer, await_state, new_buyer, rejection, report_of
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, PRICE, Dataset, Works, algorithm, card, open_works

COUNT = algorithm("count", COUNT_ROWS)
LABELS = algorithm(
    "labels",
    """
import json, os, pathlib
root = pathlib.Path("/data/inputs") / json.loads(os.environ["DIDS"])[0]
pictures = sorted((root / "files").rglob("*.png"))
found = {"labels": [path.parent.name for path in pictures], "numbered": (root / "1").read_bytes()[:4].hex()}
json.dump(found, open("/data/outputs/result.json", "w"))
""",
)
LARGE = b"time,load\n" + (b"1," + b"x" * 290 + b"\n") * 20_000


def offered(works: Works, path: Path, data: bytes, **how: Any) -> Dataset:
    choice = TermsChoice((data,), None, CustomAlgorithms.denied)
    published = works.publisher.publish(path, card(path.stem), choice, lambda step: None, **how)
    price = Price(PRICE, 9, 30, works.chain.block_time() + 86_400, 1_000)
    offer, digest, _ = works.publisher.offer(published.did.token, price)
    return Dataset(published.did.token, offer, digest, offer.terms_digest)


@pytest.fixture(scope="module")
def buyer(town: Town) -> Buyer:
    return new_buyer(town, "of other data")


def pictures(folder: Path) -> Path:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png())
    return folder


def test_pictures_are_trained_on_by_name_sealed_or_in_place_and_changed_ones_cost_nothing(
    works: Works, buyer: Buyer
) -> None:
    folder = pictures(works.home / "animals")
    answer = {"result.json": b'{"labels":["cat","cat","dog"],"numbered":"89504e47"}'}
    sealed, lying = offered(works, folder, LABELS), offered(works, folder, LABELS, in_place=True)
    for dataset in (sealed, lying):
        buyer.buy(dataset, 2)
    with works.running():
        for dataset in (sealed, lying):
            request = buyer.order(works, dataset, LABELS)
            await_state(works.town, request, State.submitted, State.settled)
            assert buyer.result(request) == answer
        (folder / "cat" / "2.png").write_bytes(png(3, 3))
        before = works.chain.balance(buyer.account.address)
        request = buyer.order(works, lying, LABELS)
        await_state(works.town, request, State.failed)
        report: FailureReport = report_of(works.town, request)
        assert (report.fault, report.code) == ("node", "data-changed")
        assert works.chain.balance(buyer.account.address) == before + PRICE
        request = buyer.order(works, sealed, LABELS)  # what was sealed is as it was
        await_state(works.town, request, State.submitted, State.settled)
    assert any("failed by this node" in line for line in works.said)


def test_data_that_the_node_has_no_room_for_is_rejected_before_it_is_opened_with_the_money_back(
    town: Town, buyer: Buyer, small_scratch: Path, tmp_path: Path
) -> None:
    (tmp_path / "large.csv").write_bytes(LARGE)
    with Sandbox(small_scratch) as sandbox:
        works = open_works(town, sandbox, tmp_path / "home", "too small")
        dataset = offered(works, tmp_path / "large.csv", COUNT)
        buyer.buy(dataset, 1)
        before = works.chain.balance(buyer.account.address)
        with works.running():
            request = buyer.order(works, dataset, COUNT)
            assert rejection(town, request) == "data-does-not-fit"
        assert works.chain.balance(buyer.account.address) == before + PRICE
        detail = works.journal.get(request.job_id).data["detail"]
        assert f"takes {len(LARGE)} bytes" in detail and "STEELYARD_SCRATCH" in detail
