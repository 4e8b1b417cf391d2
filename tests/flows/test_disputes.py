"""A buyer disputes, a judge rules, a provider's bond pays; leaving early where a provider does not keep its side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from eth_account.signers.local import LocalAccount

from marketplace import bonds, disputes, purchase
from marketplace.core.canonical import canonical
from marketplace.core.events import DisputeResolved, JobDisputed
from marketplace.core.job import Ground, Request, Ruling, State
from marketplace.errors import RefusedError
from marketplace.lookup import AnnouncedOffer
from marketplace.storage import get_document
from marketplace.verify import verify
from tests.flows.conftest import COUNT, Stall
from tests.support.buyers import Buyer, await_state, new_buyer
from tests.support.catalogue import Town
from tests.support.works import PRICE, Dataset, running_works_town

EURO = 1_000_000
STAKE, FEE = 10 * EURO, 4 * EURO


@pytest.fixture(scope="module")
def market_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """One whose window is long enough to dispute in."""
    with running_works_town(tmp_path_factory.mktemp("gateway"), window=120) as town:
        yield town


@pytest.fixture
def judge(stall: Stall) -> LocalAccount:
    return stall.town.market.account("a judge")


@pytest.fixture
def dataset(stall: Stall, judge: LocalAccount) -> Dataset:
    """One whose offer names the judge for everything."""
    stall.town.market.pledge(stall.works.owner)  # what an earlier test slashed
    offer = replace(
        stall.dataset.offer, arbiter=judge.address, verifier=judge.address, salt=b"judged".ljust(32, b"\0")
    )
    digest = stall.town.announce(offer, stall.works.owner)
    return replace(stall.dataset, offer=offer, offer_digest=digest)


def bought(stall: Stall, dataset: Dataset, name: str, uses: int) -> Buyer:
    buyer = new_buyer(stall.town, name)
    signature = stall.town.market.sign(dataset.offer, stall.works.owner)
    announced = AnnouncedOffer(dataset.offer, dataset.offer_digest, signature)
    purchase.buy(stall.town.market.chain, buyer.account, announced, uses, pay="approve")
    return buyer


@pytest.fixture
def submitted(stall: Stall, dataset: Dataset, request: pytest.FixtureRequest) -> tuple[Buyer, Request]:
    """A job whose result is there, in its window."""
    buyer = bought(stall, dataset, request.node.name, 1)
    with stall.works.running():
        order = buyer.order(stall.works, dataset, COUNT)
        await_state(stall.town, order, State.submitted)
    return buyer, order


def case_of(dataset: Dataset, request: Request) -> disputes.Case:
    return disputes.Case(request, dataset.offer)


def test_a_refund_gives_price_and_bond_to_the_buyer_and_the_audit_follows(
    stall: Stall, dataset: Dataset, submitted: tuple[Buyer, Request], judge: LocalAccount
) -> None:
    (buyer, request), chain, store = submitted, stall.town.market.chain, stall.town.store
    case, staked = case_of(dataset, request), chain.bond(stall.works.owner.address).staked
    sent = disputes.dispute(chain, store, buyer.account, case, Ground.other, "the model is empty")
    (disputed,) = (event for event in sent.events if isinstance(event, JobDisputed))
    said = canonical({"version": 1, "statement": "the model is empty"})
    assert get_document(store, disputed.evidence) == said
    ruled = disputes.resolve(chain, store, judge, case, Ruling.refund, "so it is")
    assert any(isinstance(event, DisputeResolved) for event in ruled.events)
    assert chain.job(request.job_id).state is State.refunded
    assert chain.balance(buyer.account.address) == PRICE + STAKE + PRICE
    assert chain.balance(judge.address) == FEE
    assert chain.bond(stall.works.owner.address).staked == staked - PRICE - FEE
    report = verify(chain, store, request.job_id)
    assert report.ok, report.failures()
    assert [check.ok for check in report.checks if check.name == "judge"] == [True]


def test_nobody_but_the_judge_rules(stall: Stall, dataset: Dataset, submitted: tuple[Buyer, Request]) -> None:
    (buyer, request), chain, store = submitted, stall.town.market.chain, stall.town.store
    case = case_of(dataset, request)
    with pytest.raises(RefusedError, match="cannot be judged"):
        disputes.resolve(chain, store, buyer.account, case, Ruling.pay, "")
    disputes.dispute(chain, store, buyer.account, case, Ground.unavailable, "")
    with pytest.raises(RefusedError, match="another one judges"):
        disputes.resolve(chain, store, buyer.account, case, Ruling.refund, "mine")


def test_what_cannot_be_disputed_is_told_before_anything_is_sent(
    stall: Stall, dataset: Dataset, submitted: tuple[Buyer, Request]
) -> None:
    (buyer, request), chain, store = submitted, stall.town.market.chain, stall.town.store
    nobody = disputes.Case(request, replace(dataset.offer, arbiter="0x" + "00" * 20))
    before = chain.head()
    with pytest.raises(RefusedError, match="names nobody"):
        disputes.dispute(chain, store, buyer.account, nobody, Ground.other, "")
    with pytest.raises(RefusedError, match="too long"):
        disputes.dispute(chain, store, buyer.account, case_of(dataset, request), Ground.other, "x" * 5_000)
    assert chain.head() == before
    chain.send("Market", "accept", (request.to_tuple(),), buyer.account)
    with pytest.raises(RefusedError, match="cannot be disputed"):
        disputes.dispute(chain, store, buyer.account, case_of(dataset, request), Ground.other, "")


def test_unused_uses_come_back_at_once_where_the_bond_is_short(stall: Stall, dataset: Dataset) -> None:
    chain, owner = stall.town.market.chain, stall.works.owner
    buyer = bought(stall, dataset, "one who leaves", 2)
    (access,) = purchase.accesses(chain, buyer.account.address)
    assert purchase.reason_to_leave(chain, dataset.offer) == ""
    surplus = chain.bond(owner.address).staked - chain.deployment.limits.min_bond
    bonds.start_unbonding(chain, owner, surplus + 1)
    assert purchase.reason_to_leave(chain, dataset.offer) == "the provider's bond is short"
    _, amount = purchase.claim_unused(chain, buyer.account, access, dataset.offer)
    assert amount == 2 * PRICE
    with pytest.raises(RefusedError, match="leaves later"):
        bonds.release(chain, owner, owner.address)
    stall.town.market.pledge(owner)
    assert bonds.missing(chain, owner.address) == 0


def test_unused_uses_come_back_at_once_where_the_dataset_changed_hands(
    stall: Stall, dataset: Dataset
) -> None:
    chain, owner = stall.town.market.chain, stall.works.owner
    buyer = bought(stall, dataset, "one who bought from a former owner", 2)
    (access,) = purchase.accesses(chain, buyer.account.address)
    heir = stall.town.market.account("a new owner")
    asset = dataset.offer.asset_id
    chain.send("AssetRegistry", "transferFrom", (owner.address, heir.address, asset), owner)
    assert purchase.reason_to_leave(chain, dataset.offer) == "the dataset changed hands"
    _, amount = purchase.claim_unused(chain, buyer.account, access, dataset.offer)
    assert amount == 2 * PRICE
    chain.send("AssetRegistry", "transferFrom", (heir.address, owner.address, asset), heir)
    assert purchase.reason_to_leave(chain, dataset.offer) == ""
