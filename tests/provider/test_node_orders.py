"""Orders that a node must refuse: each is rejected with its reason and a full refund, and the node lives on.

One node serves the whole module, so every test also proves that it outlived all those before it.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from compute.sandbox import Sandbox, most_memory
from marketplace.core import bundle, envelope
from marketplace.core.canonical import canonical, sha256
from marketplace.core.cid import Cid
from marketplace.core.events import AssetPublished, JobRejected
from marketplace.core.job import Request, State
from marketplace.core.offer import Offer
from marketplace.core.policy import CustomAlgorithms, Purpose
from marketplace.errors import RefusedError
from marketplace.storage import put_block, put_file
from tests.support.buyers import Buyer, await_state, new_buyer, note, rejection
from tests.support.catalogue import Town
from tests.support.chain import account_named
from tests.support.hostile import endless_file, hostile_tar, many_files
from tests.support.works import COUNT_ROWS, PRICE, TABLE, Dataset, Works, algorithm, open_works, wait_until

COUNT = algorithm("count", COUNT_ROWS)
PICKY = algorithm(
    "picky",
    COUNT_ROWS,
    schema='type = "object"\nrequired = ["depth"]\n[parameters.properties.depth]\ntype = "integer"\nmaximum = 3',
)
CUSTOM = algorithm("custom", "print('of the buyer\\'s own')")


@dataclass
class Shop:
    """A node that runs, a dataset on which custom algorithms wait for approval, and a buyer with uses left."""

    town: Town
    works: Works
    dataset: Dataset
    buyer: Buyer

    def owed(self) -> int:
        return self.town.market.chain.balance(self.buyer.account.address)

    def order(self, data: bytes = COUNT, **changes: Any) -> Request:
        return self.buyer.order(self.works, self.dataset, data, **changes)

    def refused(self, open_job: Callable[[], Request]) -> str:
        """The code of the rejection; the refund is checked on the way."""
        before = self.owed()
        request = open_job()
        code = rejection(self.town, request)
        assert self.owed() == before + PRICE
        event = self.town.market.chain.logs(types=(JobRejected,), job_id=request.job_id)[0]
        assert event.refund == PRICE
        return code


@pytest.fixture(scope="module")
def shop(town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    works = open_works(town, sandbox, tmp_path_factory.mktemp("shop"), "shop")
    dataset = works.publish(COUNT, PICKY, custom=CustomAlgorithms.approval)
    buyer = new_buyer(town, "shop")
    buyer.buy(dataset, 50)
    with works.running():
        yield Shop(town, works, dataset, buyer)
        # Whatever the tests of this module sent: an honest job still runs.
        request = buyer.order(works, dataset, COUNT)
        await_state(town, request, State.submitted, State.settled)
        assert buyer.result(request) == {"result.json": b'{"rows":%d}' % (len(TABLE.splitlines()) - 1)}


# What the terms forbid


def test_a_purpose_that_the_terms_do_not_allow_is_rejected(shop: Shop) -> None:
    dataset = shop.works.publish(COUNT, slug="for-research", purposes=(Purpose.research,))
    shop.buyer.buy(dataset)
    education: dict[str, Any] = {"purpose": str(Purpose.education)}
    assert (
        shop.refused(lambda: shop.buyer.order(shop.works, dataset, COUNT, **education))
        == "purpose-not-allowed"
    )


def test_a_purpose_that_nobody_knows_is_rejected(shop: Shop) -> None:
    assert shop.refused(lambda: shop.order(purpose="\x1b[2Jworld domination")) == "purpose-not-allowed"


def test_a_buyer_whom_the_terms_do_not_name_is_rejected(shop: Shop) -> None:
    somebody = account_named("the only buyer").address
    dataset = shop.works.publish(COUNT, slug="for-one", assignee=somebody)
    shop.buyer.buy(dataset)
    assert shop.refused(lambda: shop.buyer.order(shop.works, dataset, COUNT)) == "buyer-not-allowed"


def test_a_job_after_the_terms_ended_is_rejected(shop: Shop) -> None:
    dataset = shop.works.publish(COUNT, slug="ended", expires_at=1_700_000_000)
    shop.buyer.buy(dataset)
    assert shop.refused(lambda: shop.buyer.order(shop.works, dataset, COUNT)) == "terms-expired"


def test_an_algorithm_that_is_not_listed_is_rejected_where_custom_ones_may_not_run(shop: Shop) -> None:
    dataset = shop.works.publish(COUNT, slug="listed-only")
    shop.buyer.buy(dataset)
    assert shop.refused(lambda: shop.buyer.order(shop.works, dataset, CUSTOM)) == "algorithm-not-allowed"


# What the machine does not have


def test_an_algorithm_that_asks_for_more_memory_than_the_machine_has_is_rejected_unasked(shop: Shop) -> None:
    assert most_memory() < 1 << 40, "this test needs a machine of less than 1 TiB"
    hungry = algorithm("hungry", COUNT_ROWS, limits=f"memory_bytes = {1 << 40}")
    dataset = shop.works.publish(hungry, slug="for-giants", custom=CustomAlgorithms.approval)
    shop.buyer.buy(dataset, 2)
    custom = algorithm("hungry-too", COUNT_ROWS, limits=f"memory_bytes = {most_memory() + 1}")
    for data in (hungry, custom):
        assert shop.refused(lambda data=data: shop.buyer.order(shop.works, dataset, data)) == (
            "needs-too-much-memory"
        )


# Specs


def test_a_spec_that_is_sealed_to_somebody_else_is_rejected(shop: Shop) -> None:
    reader = envelope.public_key(os.urandom(32))
    spec = canonical(shop.buyer.spec(COUNT))
    block = envelope.seal_message(spec, [reader], key=os.urandom(32), nonce=os.urandom(12))
    digest = put_block(shop.town.store, block).digest
    assert (
        shop.refused(lambda: shop.buyer.open(shop.dataset, bundle.digest(COUNT), digest)) == "order-invalid"
    )


def test_a_spec_that_is_no_sealed_message_is_rejected(shop: Shop) -> None:
    digest = put_block(shop.town.store, b"[" * 200_000).digest
    assert (
        shop.refused(lambda: shop.buyer.open(shop.dataset, bundle.digest(COUNT), digest)) == "order-invalid"
    )


def test_a_spec_that_names_another_algorithm_than_the_request_is_rejected(shop: Shop) -> None:
    block = shop.buyer.seal(shop.buyer.spec(COUNT), shop.works)
    digest = put_block(shop.town.store, block).digest
    assert (
        shop.refused(lambda: shop.buyer.open(shop.dataset, bundle.digest(PICKY), digest)) == "order-invalid"
    )


def test_parameters_that_do_not_fit_are_rejected(shop: Shop) -> None:
    assert shop.refused(lambda: shop.order(PICKY, parameters={"depth": 4})) == "order-invalid"


def test_a_result_key_that_nothing_can_be_sealed_to_is_rejected_before_anything_runs(shop: Shop) -> None:
    assert shop.refused(lambda: shop.order(result_key="0x" + "00" * 32)) == "order-invalid"


# Content


def test_a_spec_that_nobody_can_find_is_rejected_after_a_while(shop: Shop) -> None:
    missing = sha256(b"a spec that was never stored")
    assert (
        shop.refused(lambda: shop.buyer.open(shop.dataset, bundle.digest(COUNT), missing))
        == "content-missing"
    )


def test_a_spec_that_comes_late_is_no_reason_to_reject(
    shop: Shop, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    works = open_works(shop.town, sandbox, tmp_path_factory.mktemp("patient"), "patient")
    works.patience = 60
    dataset = works.publish(COUNT)
    shop.buyer.buy(dataset)
    block = shop.buyer.seal(shop.buyer.spec(COUNT), works)
    request = shop.buyer.open(dataset, bundle.digest(COUNT), sha256(block))
    with works.running():
        wait_until(lambda: any("waits" in line for line in works.said), "a node that waits")
        put_block(shop.town.store, block)
        assert await_state(shop.town, request, State.submitted, State.settled, State.rejected) in (
            State.submitted,
            State.settled,
        )


def test_a_bundle_that_nobody_can_find_is_rejected_after_a_while(shop: Shop) -> None:
    spec = shop.buyer.spec(COUNT)
    spec["algorithm"]["cid"] = str(Cid.of("raw", b"a bundle that was never stored"))
    digest = put_block(shop.town.store, shop.buyer.seal(spec, shop.works)).digest
    code = shop.refused(lambda: shop.buyer.open(shop.dataset, bundle.digest(COUNT), digest))
    assert code == "content-missing"


def test_a_bundle_that_does_not_hash_to_the_request_is_rejected(shop: Shop) -> None:
    spec = shop.buyer.spec(COUNT)
    spec["algorithm"]["cid"] = str(put_file(io.BytesIO(CUSTOM), shop.town.store).cid)
    digest = put_block(shop.town.store, shop.buyer.seal(spec, shop.works)).digest
    assert (
        shop.refused(lambda: shop.buyer.open(shop.dataset, bundle.digest(COUNT), digest)) == "order-invalid"
    )


@pytest.mark.parametrize(
    ("data", "sealed"),
    [
        (hostile_tar("../../etc/cron.d/job"), False),
        (hostile_tar("link", tarfile.SYMTYPE, "/etc/passwd"), True),
        (bundle.pack({"algorithm.toml": bundle.unpack(COUNT)["algorithm.toml"]}), True),
        (many_files(10_000), False),
    ],
    ids=["..", "a link", "no entrypoint", "10,000 files"],
)
def test_a_bundle_that_is_no_bundle_is_rejected(shop: Shop, data: bytes, sealed: bool) -> None:
    assert shop.refused(lambda: shop.order(data, sealed=sealed)) == "order-invalid"


@pytest.mark.parametrize("size", [1, 2**49], ids=["smaller", "half a petabyte"])
def test_a_sealed_bundle_whose_header_lies_about_its_size_is_rejected(shop: Shop, size: int) -> None:
    spec = shop.buyer.spec(CUSTOM, sealed=True)
    header = shop.town.store.get(Cid.parse(spec["algorithm"]["cid"]))
    lying = put_block(shop.town.store, header.replace(b'"size":%d' % len(CUSTOM), b'"size":%d' % size))
    assert lying != Cid.parse(spec["algorithm"]["cid"])
    spec["algorithm"]["cid"] = str(lying)
    digest = put_block(shop.town.store, shop.buyer.seal(spec, shop.works)).digest
    assert (
        shop.refused(lambda: shop.buyer.open(shop.dataset, bundle.digest(CUSTOM), digest)) == "order-invalid"
    )


def test_a_file_of_exabytes_in_a_few_blocks_is_rejected_at_once(shop: Shop) -> None:
    spec = shop.buyer.spec(COUNT)
    spec["algorithm"]["cid"] = str(endless_file(shop.town.store))
    digest = put_block(shop.town.store, shop.buyer.seal(spec, shop.works)).digest
    assert (
        shop.refused(lambda: shop.buyer.open(shop.dataset, bundle.digest(COUNT), digest)) == "order-invalid"
    )


# Jobs that are none of ours


def test_nobody_puts_this_node_to_work_by_an_offer_for_an_asset_of_their_own(shop: Shop) -> None:
    """Else its bond would pay for jobs that it never agreed to."""
    town, chain = shop.town, shop.town.market.chain
    stranger = town.market.account("a stranger with an asset")
    sent = chain.send("AssetRegistry", "publish", (1, b"\x51" * 32, b"\x52" * 32), stranger)
    asset = next(event.asset_id for event in sent.events if isinstance(event, AssetPublished))
    forged = Offer(
        asset, shop.works.owner.address, price=0, max_uses=100, valid_until=chain.block_time() + 3_600
    )
    with pytest.raises(RefusedError, match="does not own the asset"):
        chain.send("Market", "buy", (forged.to_tuple(), town.market.sign(forged, stranger), 2), stranger)


def test_a_job_on_a_dataset_of_the_owner_that_is_not_in_this_vault_is_rejected(shop: Shop) -> None:
    town, chain, owner = shop.town, shop.town.market.chain, shop.works.owner
    sent = chain.send("AssetRegistry", "publish", (1, b"\x55" * 32, b"\x52" * 32), owner)
    asset = next(event.asset_id for event in sent.events if isinstance(event, AssetPublished))
    offer = Offer(asset, owner.address, price=0, max_uses=100, valid_until=chain.block_time() + 3_600)
    digest = town.announce(offer, by=owner)
    buyer = town.market.account("a buyer of what lies elsewhere")
    chain.send("Market", "buy", (offer.to_tuple(), town.market.sign(offer, owner), 2), buyer)
    request = Request(digest, buyer.address, 0, b"\x53" * 32, b"\x54" * 32)
    chain.send("Market", "openJob", (digest, 0, request.algorithm, request.spec), buyer)
    assert rejection(town, request) == "dataset-not-here"


def test_what_a_buyer_wrote_reaches_the_owners_terminal_without_control_characters(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    from marketplace.cli.output import Output

    request = shop.order(environment="\x1b[2J\x1b]0;owned\x07\u202e")
    assert note(shop.town, request) == "order-invalid"
    line = wait_until(
        lambda: next((said for said in shop.works.said if "\x1b" in said), None), "the node's word about it"
    )
    Output(as_json=False).event({}, line)
    shown = capsys.readouterr().out
    assert "owned" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
