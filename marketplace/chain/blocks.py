"""Blocks, receipts and logs as types: what an endpoint says of them, parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marketplace.chain.rpc import Rpc, address, data, fields, items, quantity
from marketplace.core.events import Position
from marketplace.errors import IntegrityError


@dataclass(frozen=True)
class Block:
    """A block's head. hash, parent: 32 bytes. time: Unix seconds. base_fee: wei per gas, None before EIP-1559."""

    number: int
    hash: bytes
    parent: bytes
    time: int
    base_fee: int | None


@dataclass(frozen=True)
class Log:
    """A raw log. contract: checksummed. topics: 32 bytes each, at most four."""

    at: Position
    contract: str
    topics: tuple[bytes, ...]
    data: bytes


@dataclass(frozen=True)
class TransactionReceipt:
    """What a mined transaction did. contract: the address it created, if it did. gas_price: wei per gas, as paid."""

    transaction: bytes
    sender: str
    block: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    gas_price: int
    contract: str | None
    logs: tuple[Log, ...]


def block_number(rpc: Rpc) -> int:
    """The number of the newest block."""
    return quantity(rpc.request("eth_blockNumber"), "block number")


def read_block(rpc: Rpc, number: int | str) -> Block | None:
    """The head of a block by number, or of "latest"; None where there is none."""
    name = hex(number) if isinstance(number, int) else number
    found = rpc.request("eth_getBlockByNumber", name, False)
    return None if found is None else _block(found, number)


def _block(value: object, number: int | str) -> Block:
    head = fields(value, "block")
    fee = head.get("baseFeePerGas")
    block = Block(
        quantity(head.get("number"), "block number"),
        data(head.get("hash"), "block hash", 32),
        data(head.get("parentHash"), "block's parent", 32),
        quantity(head.get("timestamp"), "block time"),
        None if fee is None else quantity(fee, "base fee"),
    )
    if isinstance(number, int) and block.number != number:
        raise IntegrityError(
            "the RPC endpoint answered with another block", got=block.number, expected=number
        )
    return block


def parse_log(value: object) -> Log:
    """One entry of eth_getLogs or of a receipt. Raises IntegrityError."""
    log = fields(value, "log")
    if log.get("removed") not in (None, False):
        raise IntegrityError("the RPC endpoint gave a log of a block that was taken back", do="Ask again.")
    topics = items(log.get("topics"), "log's topics")
    at = Position(
        quantity(log.get("blockNumber"), "log's block"),
        quantity(log.get("logIndex"), "log's index"),
        data(log.get("blockHash"), "log's block hash", 32),
        data(log.get("transactionHash"), "log's transaction", 32),
    )
    return Log(
        at,
        address(log.get("address"), "log's address"),
        tuple(data(topic, "log's topic", 32) for topic in topics),
        data(log.get("data"), "log's data"),
    )


def read_receipt(rpc: Rpc, transaction: bytes) -> TransactionReceipt | None:
    """A transaction's receipt; None while it is in no block. Raises IntegrityError for another one's."""
    found = rpc.request("eth_getTransactionReceipt", "0x" + transaction.hex())
    if found is None:
        return None
    receipt = _receipt(fields(found, "receipt"))
    if receipt.transaction != transaction:
        raise IntegrityError(
            "the RPC endpoint answered with another transaction's receipt",
            got="0x" + receipt.transaction.hex(),
            expected="0x" + transaction.hex(),
        )
    for log in receipt.logs:
        if (log.at.transaction, log.at.block_hash) != (transaction, receipt.block_hash):
            raise IntegrityError(
                "the RPC endpoint gave a receipt with another transaction's logs", got=log.at
            )
    return receipt


def stands(rpc: Rpc, receipt: TransactionReceipt, confirmations: int) -> bool:
    """Whether so many blocks follow the receipt's, and that one is still the chain's."""
    if block_number(rpc) < receipt.block + confirmations:
        return False
    block = read_block(rpc, receipt.block)
    return block is not None and block.hash == receipt.block_hash


def _receipt(found: dict[str, Any]) -> TransactionReceipt:
    created = found.get("contractAddress")
    return TransactionReceipt(
        data(found.get("transactionHash"), "receipt's transaction", 32),
        address(found.get("from"), "receipt's sender"),
        quantity(found.get("blockNumber"), "receipt's block"),
        data(found.get("blockHash"), "receipt's block hash", 32),
        quantity(found.get("status"), "receipt's status") == 1,
        quantity(found.get("gasUsed"), "receipt's gas"),
        quantity(found.get("effectiveGasPrice"), "receipt's gas price"),
        None if created is None else address(created, "receipt's contract"),
        tuple(parse_log(log) for log in items(found.get("logs"), "receipt's logs")),
    )
