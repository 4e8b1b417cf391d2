"""A transaction under trouble, on a real chain that mines only when told: each call has one effect, and one nonce."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest
from eth_account.signers.local import LocalAccount

from marketplace.chain.client import ETHER
from marketplace.chain.contracts import encode_call
from marketplace.chain.embedded import EmbeddedChain
from marketplace.chain.rpc import Rpc
from marketplace.chain.transactions import Sender
from marketplace.core.events import AssetPublished
from marketplace.errors import RefusedError, UnavailableError
from tests.chain.conftest import LyingRpc, lying_rpc
from tests.support.chain import RunningMarket, account_named
from tests.support.works import wait_until

GWEI = 10**9
PLAIN = 1_000_000


@dataclass
class Bank:
    """An account whose payments to a stranger can be counted, and a chain that stands still until `mine`."""

    chain: EmbeddedChain
    account: LocalAccount
    stranger: str
    open: ExitStack

    def sender(self, url: str = "", *, patience: float = 30.0, bump_seconds: float = 600.0) -> Sender:
        """As another process would have its own."""
        rpc = self.open.enter_context(Rpc(url or self.chain.url, timeout=2))
        return Sender(rpc, 31_337, confirmations=1, patience=patience, bump_seconds=bump_seconds)

    def pay(self, sender: Sender, wei: int = PLAIN) -> None:
        sender.send("a payment", self.account, self.stranger, b"", value=wei)

    def leave(self, nonce: int, *, wei: int, gwei: float = 2.0) -> bytes:
        """What a process that died had sent; its hash."""
        signed = self.account.sign_transaction(
            {
                "chainId": 31_337, "nonce": nonce, "gas": 21_000, "to": self.stranger, "value": wei,
                "maxFeePerGas": int(gwei * GWEI), "maxPriorityFeePerGas": int(gwei * GWEI / 2),
            }
        )  # fmt: skip
        self.chain.rpc.request("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
        return bytes(signed.hash)

    @property
    def paid(self) -> int:
        return int(self.chain.rpc.request("eth_getBalance", self.stranger, "latest"), 16)

    @property
    def used(self) -> int:
        """Nonces that are used up."""
        return self._count("latest")

    @property
    def next(self) -> int:
        return self._count("pending")

    def _count(self, block: str) -> int:
        return int(self.chain.rpc.request("eth_getTransactionCount", self.account.address, block), 16)

    def knows(self, transaction: bytes) -> bool:
        found = self.chain.rpc.request("eth_getTransactionByHash", "0x" + transaction.hex())
        return found is not None

    def waiting(self) -> int:
        status = self.chain.rpc.request("txpool_status")
        return int(status["pending"], 16) + int(status["queued"], 16)

    def base_fee(self, gwei: int) -> None:
        """Of the next block, and mines it; it falls by an eighth in each empty one."""
        self.chain.rpc.request("anvil_setNextBlockBaseFeePerGas", hex(gwei * GWEI))
        self.chain.mine()

    def mine_until(self, done: Future[None]) -> None:
        wait_until(lambda: (self.chain.mine(), done.done())[1], "the end of a payment", seconds=20)
        done.result()


@pytest.fixture
def bank(request: pytest.FixtureRequest) -> Iterator[Bank]:
    account = account_named(f"bank of {request.node.name}")
    stranger = account_named(f"stranger of {request.node.name}").address
    with EmbeddedChain() as chain, chain.still(), ExitStack() as stack:
        chain.faucet(account.address, ETHER)
        yield Bank(chain, account, stranger, stack)


@contextmanager
def begun(work: Callable[[], None]) -> Iterator[Future[None]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work)


def test_a_transaction_that_the_base_fee_outruns_is_replaced_and_paid_once(bank: Bank) -> None:
    with begun(lambda: bank.pay(bank.sender())) as paying:
        wait_until(bank.waiting, "the payment in the pool")
        bank.base_fee(90)
        bank.base_fee(90)
        assert not paying.done()
        bank.mine_until(paying)
    assert (bank.paid, bank.used) == (PLAIN, 1)


def test_a_transaction_that_nobody_mines_is_replaced_after_a_while(bank: Bank) -> None:
    with begun(lambda: bank.pay(bank.sender(bump_seconds=0.5))) as paying:
        first = wait_until(lambda: bank.chain.rpc.request("txpool_content")["pending"], "the payment")
        wait_until(
            lambda: bank.chain.rpc.request("txpool_content")["pending"] != first, "another version of it"
        )
        assert bank.waiting() == 1
        bank.mine_until(paying)
    assert (bank.paid, bank.used) == (PLAIN, 1)


def test_what_the_pool_forgot_is_sent_again_and_paid_once(bank: Bank) -> None:
    with begun(lambda: bank.pay(bank.sender())) as paying:
        wait_until(bank.waiting, "the payment in the pool")
        bank.chain.rpc.request("anvil_dropAllTransactions")
        wait_until(bank.waiting, "it once more")
        bank.mine_until(paying)
    assert (bank.paid, bank.used) == (PLAIN, 1)


def test_a_transaction_of_another_process_is_waited_for_and_not_disturbed(bank: Bank) -> None:
    bank.leave(0, wei=7)
    with begun(lambda: bank.pay(bank.sender())) as paying:
        assert bank.waiting() == 1
        bank.mine_until(paying)
    assert (bank.paid, bank.used) == (PLAIN + 7, 2)


def test_a_stuck_transaction_of_a_dead_process_gives_its_nonce_away_and_never_comes(bank: Bank) -> None:
    """Blocks have room for two plain payments, and others pay more for it."""
    bank.chain.rpc.request("evm_setBlockGasLimit", hex(60_000))
    rival = replace(bank, account=account_named("a rival"))
    bank.chain.faucet(rival.account.address, ETHER)
    left = bank.leave(0, wei=7, gwei=3)

    def starve() -> None:
        for _ in range(2):
            rival.leave(rival.next, wei=0, gwei=80)
        bank.chain.mine()

    with begun(lambda: bank.pay(bank.sender(bump_seconds=0.3))) as paying:
        wait_until(lambda: (starve(), not bank.knows(left))[1], "its replacement")
        assert bank.paid == 0
        bank.mine_until(paying)
    assert (bank.paid, bank.used) == (PLAIN, 1)


def test_a_gap_before_a_dead_processs_transaction_is_filled_and_each_is_paid_once(bank: Bank) -> None:
    bank.leave(1, wei=7)
    with begun(lambda: bank.pay(bank.sender())) as paying:
        bank.mine_until(paying)
    assert (bank.paid, bank.used) == (PLAIN + 7, 2)


def test_twenty_threads_and_two_processes_of_one_account_pay_each_once(bank: Bank) -> None:
    senders = bank.sender(), bank.sender()
    with ThreadPoolExecutor(20) as pool:
        paying = [pool.submit(bank.pay, senders[number % 2], 1) for number in range(20)]
        wait_until(lambda: (bank.chain.mine(), all(each.done() for each in paying))[1], "all", seconds=60)
        for each in paying:
            each.result()
    assert (bank.paid, bank.used) == (20, 20)


def swallowed(liar: LyingRpc) -> None:
    """The endpoint takes transactions, and the connection breaks before it says so."""

    def refuse(_: object) -> object:
        raise ConnectionError

    liar.tampers["eth_sendRawTransaction"] = refuse


def test_a_transaction_whose_answer_is_lost_is_looked_for_and_paid_once(bank: Bank) -> None:
    with lying_rpc(bank.chain.url) as liar:
        swallowed(liar)
        with begun(lambda: bank.pay(bank.sender(liar.url))) as paying:
            wait_until(bank.waiting, "the payment in the pool")
            bank.mine_until(paying)
    assert (bank.paid, bank.used) == (PLAIN, 1)


def test_an_endpoint_that_is_away_for_a_while_costs_no_second_payment(bank: Bank) -> None:
    with lying_rpc(bank.chain.url) as liar, begun(lambda: bank.pay(bank.sender(liar.url))) as paying:
        wait_until(bank.waiting, "the payment in the pool")
        liar.raw = lambda handler: handler.connection.close()
        bank.chain.mine(2)
        assert not paying.done()
        liar.raw = None
        paying.result(20)
    assert (bank.paid, bank.used) == (PLAIN, 1)


def test_an_endpoint_that_lags_behind_in_receipts_does_not_make_a_payment_look_displaced(bank: Bank) -> None:
    with lying_rpc(bank.chain.url) as liar, begun(lambda: bank.pay(bank.sender(liar.url))) as paying:
        wait_until(bank.waiting, "the payment in the pool")
        liar.tampers["eth_getTransactionReceipt"] = lambda _: None
        liar.tampers["eth_getTransactionByHash"] = lambda _: None
        bank.chain.mine(3)
        asked = len(liar.asked)
        wait_until(lambda: liar.asked[asked:].count("eth_getTransactionCount") > 2, "its doubts")
        assert not paying.done()
        liar.tampers.clear()
        paying.result(20)
    assert (bank.paid, bank.used) == (PLAIN, 1)


def test_an_absurd_fee_is_never_offered_however_long_it_takes(bank: Bank) -> None:
    with (
        lying_rpc(bank.chain.url) as liar,
        begun(lambda: bank.pay(bank.sender(liar.url, patience=4, bump_seconds=0.1))) as paying,
    ):
        wait_until(bank.waiting, "the payment in the pool")
        liar.tampers["eth_getBlockByNumber"] = lambda block: block | {"baseFeePerGas": hex(9_000 * GWEI)}
        with pytest.raises(UnavailableError, match="not confirmed yet"):
            paying.result(20)
    (offered,) = bank.chain.rpc.request("txpool_content")["pending"].values()
    assert int(offered["0"]["maxFeePerGas"], 16) <= 5_000 * GWEI


def test_the_contract_is_asked_again_after_the_same_call_of_another_process(market: RunningMarket) -> None:
    """The second waits for the first, and learns that there is nothing left to do."""
    account, salt = market.account("twice at once"), b"\x77" * 32
    call = encode_call("AssetRegistry", "publish", (1, salt, bytes(32)))

    def publish(_: int) -> bool:
        with Rpc(market.embedded.url, timeout=5) as rpc:
            sender = Sender(rpc, 31_337, confirmations=1)
            try:
                sender.send("publish", account, market.chain.deployment.asset_registry, call)
            except RefusedError:
                return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(publish, range(2))) == [False, True]
    events = market.chain.logs(types=(AssetPublished,), owner=account.address)
    assert len(events) == 1
