"""Opening what came back: only by the right key, only if every digest fits, and onto the disk whole or not at all."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from marketplace import jobs, purchase, results, settlement
from marketplace.core import bundle, envelope
from marketplace.core.cid import Cid
from marketplace.core.events import JobSettled
from marketplace.core.job import Receipt, Request, State
from marketplace.core.policy import Purpose
from marketplace.core.spec import ModelCard
from marketplace.errors import InputError, IntegrityError, NotFoundError, RefusedError, UnavailableError
from marketplace.keys import Keyring
from marketplace.lookup import AnnouncedOffer, listing_of, usable_offer
from marketplace.storage import put_block
from tests.flows.conftest import Stall
from tests.support.buyers import Buyer, await_state, new_buyer
from tests.support.works import PRICE, TABLE

FILES = {"result.json": b'{"rows":%d}' % (len(TABLE.splitlines()) - 1)}


@dataclass
class Desk:
    """A buyer with a keyring, and one job that a real node ran and submitted."""

    stall: Stall
    buyer: Buyer
    keyring: Keyring
    request: Request
    readers: dict[bytes, bytes] = field(default_factory=dict)

    def order(self) -> Request:
        """Opens one more job; no node runs."""
        chain, store = self.stall.town.market.chain, self.stall.town.store
        access = purchase.usable_access(chain, self.buyer.account.address, self.stall.dataset.token)
        listing = listing_of(chain, store, self.stall.dataset.token)
        order = jobs.start(
            chain, store, self.keyring, self.buyer.account, offer_digest=access.offer_digest, grant=access.grant,
            listing=listing, algorithm=jobs.listed_algorithm(store, listing, "count"), parameters={},
            purpose=Purpose.research,
        )  # fmt: skip
        self.readers[order.request.job_id] = bytes.fromhex(order.spec.result_key[2:])
        return order.request

    def open(self, request: Request | None = None, keyring: Keyring | None = None) -> results.Result:
        job_id = (request or self.request).job_id
        chain, store = self.stall.town.market.chain, self.stall.town.store
        return results.open_result(chain, store, keyring or self.keyring, job_id)

    def submit(
        self,
        request: Request,
        *,
        name: str = "",
        data: bytes = b"",
        block: bytes = b"",
        to: bytes = b"",
        size: int = 0,
    ) -> None:
        """A receipt by a node that may lie: its header's name, its archive, its header block, its wrap."""
        store, chain = self.stall.town.store, self.stall.town.market.chain
        name = name or "0x" + request.job_id.hex()
        key = os.urandom(32)
        source = BytesIO(data or bundle.pack(FILES))
        header = envelope.seal(source, id=name, key=key, prefix=os.urandom(7), put=store.put)
        digest = put_block(store, block or _with_size(header, size)).digest
        reader = to or self.readers[request.job_id]
        wrapped = envelope.wrap(key, reader, envelope.wrap_info("buyer", header.body, name))
        now = chain.block_time()
        receipt = Receipt(request.job_id, b"\1" * 32, digest, keccak(wrapped), b"\2" * 32, 1, now, now)
        signature = self.stall.town.market.sign(receipt, self.stall.works.hot)
        chain.send("Market", "submit", (receipt.to_tuple(), signature, wrapped), self.stall.works.hot)


def _with_size(header: envelope.Header, size: int) -> bytes:
    block = header.to_bytes()
    return block.replace(b'"size":%d' % header.size, b'"size":%d' % size) if size else block


@pytest.fixture(scope="module")
def desk(stall: Stall, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    keyring = Keyring(tmp_path_factory.mktemp("home") / "keys", lambda: "a passphrase")
    buyer = new_buyer(stall.town, "who opens")
    purchase.buy(stall.town.market.chain, buyer.account, _offer(stall, buyer), 5, pay="permit")
    found = Desk(stall, buyer, keyring, Request(bytes(32), buyer.account.address, 0, bytes(32), bytes(32)))
    found.request = found.order()
    with stall.works.running():
        await_state(stall.town, found.request, State.submitted, State.settled)
    return found


def _offer(stall: Stall, buyer: Buyer) -> AnnouncedOffer:
    chain = stall.town.market.chain
    return usable_offer(
        chain, stall.town.store, stall.dataset.token, buyer.account.address, chain.block_time()
    )


@contextlib.contextmanager
def spoiled(desk: Desk, cid: Cid, *, lost: bool = False) -> Iterator[None]:
    """A block of the shared store, changed or gone behind the gateway's back."""
    path = desk.stall.town.folder.path_of(cid)
    good = path.read_bytes()
    try:
        path.unlink()
        if not lost:
            path.write_bytes(good[:-3] + bytes([good[-3] ^ 1]) + good[-2:])
        yield
    finally:
        path.write_bytes(good)


def output_header(desk: Desk) -> envelope.Header:
    event = results.receipt_of(desk.stall.town.market.chain, desk.stall.town.store, desk.request.job_id)
    return envelope.Header.parse(desk.stall.town.store.get(Cid.raw(event.receipt.output_digest)))


def test_the_buyer_opens_what_the_algorithm_left(desk: Desk) -> None:
    opened = desk.open()
    assert opened.files == FILES
    assert opened.receipt.job_id == desk.request.job_id
    assert opened.spec.purpose == "research"


def test_nobody_else_opens_it(desk: Desk, tmp_path: Path) -> None:
    empty = Keyring(tmp_path / "keys", lambda: "another passphrase")
    with pytest.raises(NotFoundError, match="holds no key for the job"):
        desk.open(keyring=empty)


@pytest.mark.parametrize("which", ["header", "body", "spec"])
def test_a_changed_block_is_an_integrity_error(desk: Desk, which: str) -> None:
    header = output_header(desk)
    cid = {"header": header.cid, "body": header.body, "spec": Cid.raw(desk.request.spec)}[which]
    with spoiled(desk, cid), pytest.raises(IntegrityError):
        desk.open()
    with spoiled(desk, cid, lost=True), pytest.raises(NotFoundError):
        desk.open()
    assert desk.open().files == FILES


def test_a_job_without_a_receipt_says_why(desk: Desk) -> None:
    request = desk.order()
    with pytest.raises(RefusedError, match="has no result") as caught:
        desk.open(request)
    assert caught.value.got == "open"
    chain = desk.stall.town.market.chain
    chain.send(
        "Market", "reject", (request.to_tuple(), b"order-invalid".ljust(32, b"\0")), desk.stall.works.hot
    )
    with pytest.raises(RefusedError) as caught:
        desk.open(request)
    assert caught.value.got == "rejected (order-invalid)"
    with pytest.raises(NotFoundError):
        results.open_result(chain, desk.stall.town.store, desk.keyring, b"\1" * 32)


@pytest.fixture
def liar(desk: Desk) -> Iterator[Request]:
    """A job whose receipt a test forges as its provider's node could. Uses are bought as they are needed."""
    buyer = new_buyer(desk.stall.town, f"lied to {time.monotonic_ns()}")
    purchase.buy(desk.stall.town.market.chain, buyer.account, _offer(desk.stall, buyer), 1, pay="permit")
    before, desk.buyer = desk.buyer, buyer
    yield desk.order()
    desk.buyer = before


def test_an_honest_receipt_made_by_hand_opens(desk: Desk, liar: Request) -> None:
    desk.submit(liar)
    assert desk.open(liar).files == FILES


def test_an_output_of_another_job_is_an_integrity_error(desk: Desk, liar: Request) -> None:
    desk.submit(liar, name="0x" + desk.request.job_id.hex())
    with pytest.raises(IntegrityError, match="belongs to another job"):
        desk.open(liar)


def test_a_key_that_was_wrapped_for_somebody_else_is_an_integrity_error(desk: Desk, liar: Request) -> None:
    desk.submit(liar, to=envelope.public_key(os.urandom(32)))
    with pytest.raises(IntegrityError, match="wrapped key does not open"):
        desk.open(liar)


def test_a_header_that_is_none_is_an_integrity_error(desk: Desk, liar: Request) -> None:
    desk.submit(liar, block=b"no header at all")
    with pytest.raises(IntegrityError, match="header does not parse"):
        desk.open(liar)


def test_a_header_that_lies_about_its_size_is_an_integrity_error(desk: Desk, liar: Request) -> None:
    desk.submit(liar, size=2**40)
    with pytest.raises(IntegrityError):
        desk.open(liar)


def test_an_archive_that_no_node_writes_is_an_integrity_error(desk: Desk, liar: Request) -> None:
    desk.submit(liar, data=bundle.pack(FILES).replace(b"result", b"../res"))
    with pytest.raises(IntegrityError, match="no archive that a node writes"):
        desk.open(liar)


# Onto the disk


def test_files_are_written_into_a_new_or_an_empty_folder(tmp_path: Path) -> None:
    files = {"a.json": b"1", "sub/b.csv": b"2"}
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new", tmp_path / "empty", tmp_path / "deep" / "er"):
        written = results.write_files(files, folder)
        assert {str(path.relative_to(folder)): path.read_bytes() for path in written} == files
        assert sum(path.is_file() for path in folder.rglob("*")) == 2


def test_a_folder_with_anything_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "mine.txt", tmp_path / "link"):
        with pytest.raises(InputError, match="not empty"):
            results.write_files({"a": b"1"}, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine.txt"]


def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "below", Path("/proc/steelyard")):
        with pytest.raises(UnavailableError, match="cannot be written"):
            results.write_files({"a": b"1"}, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_files_that_fail_half_way_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        results.write_files({"a": b"1", "x" * 300: b"2"}, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


# And what comes after


def test_a_result_is_accepted_once_by_its_buyer_and_its_model_registered_once(
    desk: Desk, liar: Request
) -> None:
    chain, store, account = desk.stall.town.market.chain, desk.stall.town.store, desk.buyer.account
    desk.submit(liar)
    with pytest.raises(RefusedError):
        settlement.accept(chain, desk.stall.works.owner, liar)
    card = ModelCard(
        name="valves", job="0x" + liar.job_id.hex(), dataset="did", algorithm="0x" + "11" * 32,
        algorithm_name="count", output="0x" + "22" * 32, purpose="research", metrics={},
    )  # fmt: skip
    with pytest.raises(RefusedError, match="only a settled job"):
        settlement.register_model(chain, store, account, liar, card)
    settled = [
        event for event in settlement.accept(chain, account, liar).events if isinstance(event, JobSettled)
    ]
    assert [event.amount for event in settled] == [PRICE]
    with pytest.raises(RefusedError):
        settlement.accept(chain, account, liar)
    sent, model = settlement.register_model(chain, store, account, liar, card)
    assert chain.owner_of(model) == account.address
    assert chain.units(model, desk.stall.works.owner.address) == chain.total_units(model) > 0
    with pytest.raises(RefusedError):
        settlement.register_model(chain, store, account, liar, card)
    assert sent.gas_used > 0


def test_an_open_job_can_be_neither_accepted_nor_finalised_nor_expired_before_its_time(
    desk: Desk, liar: Request
) -> None:
    chain, account = desk.stall.town.market.chain, desk.buyer.account
    with pytest.raises(RefusedError):
        settlement.accept(chain, account, liar)
    with pytest.raises(RefusedError):
        settlement.expire(chain, account, liar)
    assert settlement.finalise(chain, account, [liar.job_id]).events == ()
    assert chain.job(liar.job_id).state is State.open
