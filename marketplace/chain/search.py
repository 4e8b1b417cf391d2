"""Searching the chain's logs: raw eth_getLogs in pages, each answer checked to be one to our question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError

from marketplace.chain.blocks import Log, parse_log
from marketplace.chain.events import Decoder, Layout, decode_log
from marketplace.chain.rpc import Failure, Rpc, items
from marketplace.core.events import Event
from marketplace.errors import InputError, IntegrityError, UnavailableError

PAGE = 10_000
"""Blocks asked for at once; halved where an endpoint refuses, as many do beyond their own limit."""


@dataclass(frozen=True)
class Query:
    """Which logs to ask for. topics: as in eth_getLogs, None for any."""

    layouts: Mapping[tuple[str, bytes], Layout]
    topics: tuple[bytes | None, ...]

    @classmethod
    def of(cls, decoder: Decoder, kinds: Sequence[type[Event]], where: Mapping[str, object]) -> Query:
        """kinds: events to find. where: values of indexed fields, by the field's name. Raises InputError."""
        layouts = decoder.layouts(kinds)
        if not layouts:
            raise InputError("a search names no event", expected="at least one")
        topics: list[bytes | None] = [None, None, None]
        for field, value in where.items():
            found = {_topic(layout, field, value) for layout in layouts.values()}
            if len(found) != 1:
                raise InputError("these events hold that field in different places", got=field)
            place, topic = found.pop()
            topics[place - 1] = topic
        return cls(layouts, tuple(topics))

    def to_json(self, first: int, last: int) -> dict[str, Any]:
        return {
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "address": sorted({address for address, _ in self.layouts}),
            "topics": [
                sorted({f"0x{topic.hex()}" for _, topic in self.layouts}),
                *(None if topic is None else f"0x{topic.hex()}" for topic in self.topics),
            ],
        }

    def layout(self, log: Log) -> Layout | None:
        """The layout of a log; None where it fits no event of ours. Raises IntegrityError for a log not asked for."""
        wanted = all(
            len(log.topics) > place and log.topics[place] == topic
            for place, topic in enumerate(self.topics, start=1)
            if topic is not None
        )
        if not (wanted and log.topics and log.topics[0] in self._firsts and log.contract in self._addresses):
            raise IntegrityError(
                "the RPC endpoint gave a log that was not asked for",
                got=f"block {log.at.block}, log {log.at.index} of {log.contract}",
                do="The endpoint is faulty or lies: use another one.",
            )
        return self.layouts.get((log.contract, log.topics[0]))

    @cached_property
    def _addresses(self) -> frozenset[str]:
        return frozenset(address for address, _ in self.layouts)

    @cached_property
    def _firsts(self) -> frozenset[bytes]:
        return frozenset(topic for _, topic in self.layouts)


def _topic(layout: Layout, field: str, value: object) -> tuple[int, bytes]:
    place = layout.topic_of(field)
    abi_type = layout.indexed[place - 1][2]
    try:
        return place, encode([abi_type], [value])
    except (EncodingError, TypeError, ValueError):
        raise InputError(f"{field} does not fit", got=repr(value)[:80], expected=abi_type) from None


def search(rpc: Rpc, query: Query, first: int, last: int, *, page: int = PAGE) -> Iterator[Event]:
    """The events from block `first` to block `last`, in the order of the chain.

    Raises IntegrityError for an answer to another question, UnavailableError where the endpoint gives none.
    """
    span = page
    while first <= last:
        end = min(last, first + span - 1)
        answer = rpc.ask("eth_getLogs", query.to_json(first, end))
        if not isinstance(answer, Failure):
            yield from _events(answer, query, first, end)
            first, span = end + 1, min(span * 2, page)
        elif end == first:
            raise UnavailableError(
                f"the RPC endpoint {rpc.host} gives no logs",
                got=f"{answer.code}: {answer.message}",
                do="Try again.",
            )
        else:
            span = (end - first + 1) // 2


def _events(answer: object, query: Query, first: int, last: int) -> Iterator[Event]:
    previous = (first, -1)
    hashes: dict[int, bytes] = {}
    for item in items(answer, "logs"):
        log = parse_log(item)
        here = (log.at.block, log.at.index)
        if not previous < here or log.at.block > last:
            raise IntegrityError(
                "the RPC endpoint gave logs out of order",
                got=here,
                expected=f"after {previous}, up to block {last}",
            )
        if hashes.setdefault(log.at.block, log.at.block_hash) != log.at.block_hash:
            raise IntegrityError(
                "the RPC endpoint gave two hashes of one block", got=log.at.block, do="Ask again."
            )
        previous = here
        layout = query.layout(log)
        if layout is not None:
            yield decode_log(layout, log)
