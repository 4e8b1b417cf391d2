"""Custom algorithms wait for the owner: nobody else's word counts, and what is refused is paid back in full."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from compute.provider import requests
from compute.provider.decisions import decisions
from compute.provider.journal import Step
from compute.sandbox import Sandbox
from marketplace.core import bundle
from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.core.eip712 import Struct
from marketplace.core.job import Request, State
from marketplace.core.offer import Approval, Release, Signed
from marketplace.core.policy import CustomAlgorithms
from marketplace.errors import NotFoundError, RefusedError
from marketplace.storage import put_block
from tests.support.buyers import Buyer, await_state, new_buyer, rejection
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, PRICE, TABLE, Dataset, Works, algorithm, open_works, wait_until

YES = "0x7f1626ba7e" + "00" * 28 + "5f5260205ff3"
"""Code of a contract that takes every signature (ERC-1271)."""
RESULT = {"result.json": b'{"rows":%d}' % (len(TABLE.splitlines()) - 1)}


@dataclass
class Desk:
    """A node that runs beside an owner, and a buyer with uses left."""

    town: Town
    works: Works
    dataset: Dataset
    buyer: Buyer

    def order(self, name: str, code: str = COUNT_ROWS) -> tuple[Request, bytes]:
        """A custom algorithm of its own for each test: an approval counts for every later job of the same."""
        data = algorithm(name, code)
        return self.buyer.order(self.works, self.dataset, data, sealed=True), data

    def announce(self, struct: Struct, subject: bytes, signer: str, sender: str = "") -> None:
        """An approval or release, signed and announced by whoever: accounts by their names in this test."""
        market = self.town.market
        accounts = {"owner": self.works.owner, "stranger": market.account("a stranger who announces")}
        signed = Signed(struct, market.sign(struct, accounts[signer]))
        document = put_block(self.town.store, signed.to_bytes()).digest
        arguments = (self.dataset.token, subject, document)
        market.chain.send("Market", "announceApproval", arguments, accounts[sender or signer])

    def approval(self, data: bytes, **changes: object) -> Approval:
        fields: dict[str, object] = {
            "asset_id": self.dataset.token,
            "buyer": self.buyer.account.address,
            "algorithm": bundle.digest(data),
            "review_output": True,
            "valid_until": int(time.time()) + 600,
        }
        return Approval(**(fields | changes))  # type: ignore[arg-type]

    def still_waits(self, request: Request, step: Step) -> bool:
        """Whether a job waits on, after the node has surely seen all that was announced."""
        chain = self.town.market.chain
        chain.rpc.request("evm_mine")
        head = chain.confirmed_head()
        wait_until(lambda: self.works.journal.known()[-1][0] >= head, "the node's sight of the head")
        time.sleep(1.2)  # the node looks every half second
        return self.works.journal.get(request.job_id).step is step


@pytest.fixture(scope="module")
def desk(town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    works = open_works(town, sandbox, tmp_path_factory.mktemp("desk"), "desk")
    dataset = works.publish(custom=CustomAlgorithms.approval)
    buyer = new_buyer(town, "desk")
    buyer.buy(dataset, 20)
    with works.running():
        yield Desk(town, works, dataset, buyer)


def test_a_custom_algorithm_waits_runs_waits_for_its_review_and_is_delivered(desk: Desk) -> None:
    request, _ = desk.order("whole-way")
    desk.works.await_step(request, Step.approval)
    chain, store, journal, private = (
        desk.town.market.chain,
        desk.town.store,
        desk.works.journal,
        desk.works.private,
    )
    assert [entry.job_id for entry in requests.waiting(journal)] == [request.job_id]
    shown = requests.show(chain, store, desk.works.outputs, journal, request.job_id, private)
    assert shown.order.algorithm.files["main.py"] == COUNT_ROWS.encode()
    assert shown.output is None
    desk.works.approve(request)
    desk.works.await_step(request, Step.review)
    assert chain.job(request.job_id).state is State.open
    shown = requests.show(chain, store, desk.works.outputs, journal, request.job_id, private)
    assert shown.output == RESULT
    header = journal.get(request.job_id).data["receipt"]["outputDigest"]
    with pytest.raises(NotFoundError):
        store.get(Cid.raw(bytes.fromhex(header[2:])))
    desk.works.approve(request)
    await_state(desk.town, request, State.submitted, State.settled)
    assert desk.buyer.result(request) == RESULT
    assert await_state(desk.town, request) is State.settled


@pytest.mark.slow
def test_a_second_job_of_an_approved_algorithm_needs_no_second_approval(desk: Desk) -> None:
    first, data = desk.order("approved-before")
    desk.works.await_step(first, Step.approval)
    desk.works.approve(first)
    desk.works.await_step(first, Step.review)
    second = desk.buyer.order(desk.works, desk.dataset, data, sealed=True)
    desk.works.await_step(second, Step.review)
    for request in (first, second):
        requests.refuse(desk.works.journal, request.job_id)
        assert rejection(desk.town, request) == "output-refused-by-owner"


def test_who_approved_released_and_refused_what_can_be_read_from_chain_and_content(desk: Desk) -> None:
    chain, store, owner = desk.town.market.chain, desk.town.store, desk.works.owner.address
    before = len(decisions(chain, store, owner))
    first, data = desk.order("decided")
    desk.works.await_step(first, Step.approval)
    approval = desk.approval(data)
    desk.announce(approval, bundle.digest(data), "stranger")
    desk.announce(approval, bundle.digest(data), "owner", "stranger")
    desk.announce(approval, bundle.digest(data), "owner")
    for struct in (b"{}", sha256(b"no approval")):
        block = put_block(store, struct).digest if struct == b"{}" else struct
        chain.send("Market", "announceApproval", (desk.dataset.token, bytes(32), block), desk.works.owner)
    desk.works.await_step(first, Step.review)
    desk.works.approve(first)
    second = desk.buyer.order(desk.works, desk.dataset, data, sealed=True)
    desk.works.await_step(second, Step.review)
    requests.refuse(desk.works.journal, second.job_id)
    assert rejection(desk.town, second) == "output-refused-by-owner"
    made = decisions(chain, store, owner)[before:]
    assert [(d.what, d.job) for d in made] == [
        ("approved algorithm", b""),
        ("void", b""),
        ("void", b""),
        ("released output", first.job_id),
        ("refused output", second.job_id),
    ]
    yes = made[0]
    assert (yes.algorithm, yes.asset, yes.buyer) == (approval.algorithm, approval.asset_id, approval.buyer)
    assert (yes.until, yes.by) == (approval.valid_until, owner)
    assert {d.by for d in made} == {owner} and made[0].at <= made[-1].at


def test_an_output_under_review_stays_whatever_an_endpoint_said_meanwhile(desk: Desk) -> None:
    """As where a lie or a reorganisation made the job look ended: what comes after it is the review."""
    request, _ = desk.order("looked-ended")
    journal = desk.works.journal
    desk.works.await_step(request, Step.approval)
    desk.works.approve(request)
    desk.works.await_step(request, Step.review)
    journal.put(journal.get(request.job_id).to(Step.check))
    desk.works.await_step(request, Step.review)
    assert desk.still_waits(request, Step.review)
    header = journal.get(request.job_id).data["receipt"]["outputDigest"]
    with pytest.raises(NotFoundError):
        desk.town.store.get(Cid.raw(bytes.fromhex(header[2:])))
    requests.refuse(journal, request.job_id)
    rejection(desk.town, request)


def test_no_endpoint_approves_in_the_name_of_an_owner_that_has_a_key(desk: Desk) -> None:
    """Whoever answers for a contract at the owner's address: a signature of nobody approves nothing."""
    request, data = desk.order("said-yes-for-the-owner")
    desk.works.await_step(request, Step.approval)
    chain, owner = desk.town.market.chain, desk.works.owner
    forged = put_block(desk.town.store, Signed(desk.approval(data), b"\1" * 65).to_bytes()).digest
    chain.send("Market", "announceApproval", (desk.dataset.token, bundle.digest(data), forged), owner)
    rpc = desk.town.market.embedded.rpc
    rpc.request("anvil_setCode", owner.address, YES)
    try:
        assert chain.accepts(owner.address, bytes(32), b"anything")
        assert desk.still_waits(request, Step.approval)
    finally:
        rpc.request("anvil_setCode", owner.address, "0x")
    requests.refuse(desk.works.journal, request.job_id)
    rejection(desk.town, request)


def test_a_yes_is_for_what_was_shown_and_nothing_else(desk: Desk) -> None:
    request, _ = desk.order("shown")
    works, chain, store = desk.works, desk.town.market.chain, desk.town.store
    works.await_step(request, Step.approval)

    def say_yes() -> None:
        requests.approve(chain, store, works.journal, works.owner, request.job_id, now=int(time.time()))

    with pytest.raises(RefusedError, match="was not shown to you"):
        say_yes()
    works.approve(request)
    works.await_step(request, Step.review)
    with pytest.raises(RefusedError, match="was not shown to you"):
        say_yes()  # the algorithm was shown, the output was not
    requests.show(chain, store, works.outputs, works.journal, request.job_id, works.private)
    works.journal.note_shown(request.job_id, sha256(b"the output of an earlier run of the same job"))
    with pytest.raises(RefusedError, match="was not shown to you"):
        say_yes()
    requests.refuse(works.journal, request.job_id)
    rejection(desk.town, request)


def test_an_algorithm_that_the_owner_refuses_is_paid_back_in_full(desk: Desk) -> None:
    before = desk.town.market.chain.balance(desk.buyer.account.address)
    request, _ = desk.order("refused")
    desk.works.await_step(request, Step.approval)
    requests.refuse(desk.works.journal, request.job_id)
    assert rejection(desk.town, request) == "refused-by-owner"
    assert desk.town.market.chain.balance(desk.buyer.account.address) == before + PRICE


@pytest.mark.slow
def test_an_approval_without_review_is_overruled_by_terms_that_ask_for_one(desk: Desk) -> None:
    request, data = desk.order("no-review")
    desk.works.await_step(request, Step.approval)
    desk.announce(desk.approval(data, review_output=False), bundle.digest(data), "owner")
    desk.works.await_step(request, Step.review)
    requests.refuse(desk.works.journal, request.job_id)
    rejection(desk.town, request)


def test_approvals_by_strangers_for_others_or_of_the_past_are_ignored(desk: Desk) -> None:
    request, data = desk.order("not-really-approved")
    digest = bundle.digest(data)
    desk.works.await_step(request, Step.approval)
    desk.announce(desk.approval(data), digest, "stranger")
    desk.announce(desk.approval(data), digest, "stranger", "owner")
    desk.announce(desk.approval(data, buyer=desk.works.owner.address), digest, "owner")
    desk.announce(desk.approval(data, asset_id=desk.dataset.token ^ 1), digest, "owner")
    desk.announce(desk.approval(data, algorithm=b"\1" * 32), digest, "owner")
    desk.announce(desk.approval(data, valid_until=int(time.time()) - 60), digest, "owner")
    desk.announce(Release(request.job_id, digest), digest, "owner")
    for document in (b"", b"{}", b"\xff", b"[" * 100_000):
        block = put_block(desk.town.store, document).digest
        desk.town.market.chain.send(
            "Market", "announceApproval", (desk.dataset.token, digest, block), desk.works.owner
        )
    missing = sha256(b"an approval that was never stored")
    desk.town.market.chain.send(
        "Market", "announceApproval", (desk.dataset.token, digest, missing), desk.works.owner
    )
    assert desk.still_waits(request, Step.approval)
    desk.works.approve(request)  # and the true one among all these counts
    desk.works.await_step(request, Step.review)
    requests.refuse(desk.works.journal, request.job_id)
    rejection(desk.town, request)


@pytest.mark.slow
def test_a_strangers_announcements_are_not_even_fetched(desk: Desk) -> None:
    request, data = desk.order("flooded")
    desk.works.await_step(request, Step.approval)
    desk.announce(desk.approval(data), bundle.digest(data), "stranger")
    assert desk.still_waits(request, Step.approval)
    assert desk.works.journal.approvals(bundle.digest(data)) == []
    requests.refuse(desk.works.journal, request.job_id)
    rejection(desk.town, request)


def test_a_release_of_another_output_or_by_a_stranger_lets_nothing_go(desk: Desk) -> None:
    request, data = desk.order("not-really-released")
    desk.works.await_step(request, Step.approval)
    desk.works.approve(request)
    desk.works.await_step(request, Step.review)
    output = bytes.fromhex(desk.works.journal.get(request.job_id).data["receipt"]["outputDigest"][2:])
    desk.announce(Release(request.job_id, b"\1" * 32), request.job_id, "owner")
    desk.announce(Release(b"\1" * 32, output), request.job_id, "owner")
    desk.announce(Release(request.job_id, output), request.job_id, "stranger", "owner")
    desk.announce(desk.approval(data), request.job_id, "owner")
    assert desk.still_waits(request, Step.review)
    requests.refuse(desk.works.journal, request.job_id)
    assert rejection(desk.town, request) == "output-refused-by-owner"


def test_only_the_provider_itself_can_approve(desk: Desk) -> None:
    request, _ = desk.order("wrong-wallet")
    desk.works.await_step(request, Step.approval)
    with pytest.raises(RefusedError, match="provider decides"):
        requests.approve(
            desk.town.market.chain, desk.town.store, desk.works.journal, desk.buyer.account, request.job_id,
            now=int(time.time()),
        )  # fmt: skip
    requests.refuse(desk.works.journal, request.job_id)
    rejection(desk.town, request)


def test_a_job_that_does_not_wait_can_be_neither_shown_nor_decided(desk: Desk) -> None:
    request, _ = desk.order("over")
    desk.works.await_step(request, Step.approval)
    requests.refuse(desk.works.journal, request.job_id)
    rejection(desk.town, request)
    desk.works.await_step(request, Step.done)
    with pytest.raises(RefusedError, match="does not wait"):
        requests.refuse(desk.works.journal, request.job_id)
    with pytest.raises(RefusedError, match="does not wait"):
        desk.works.approve(request)
    with pytest.raises(NotFoundError):
        requests.refuse(desk.works.journal, b"\1" * 32)
