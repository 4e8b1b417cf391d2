"""Figures that a service shows its operator, in Prometheus' text form; and whether it is ready for work.

Labels have few values, known beforehand: never an id, an address or a text of somebody's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from marketplace.errors import SteelyardError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MOST_BLOCKS, MOST_SECONDS = 20, 60.0
"""How far behind the chain, and how long without a word of it, a service is still ready."""

_FRESH_SECONDS = 1.0
"""Whoever asks more often gets the last answer: a question here must not become many elsewhere."""


@dataclass(frozen=True)
class Reading:
    """One figure. name: with its unit, without `steelyard_`. labels: values by name; total: it only rises."""

    name: str
    says: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)
    total: bool = False


@dataclass(frozen=True)
class Watch:
    """What a service says of itself. obstacles: why it is not ready, in plain words; none where it is."""

    readings: Callable[[], Iterable[Reading]] = tuple
    obstacles: Callable[[], list[str]] = list


class Lately:
    """The last list that a function gave, no older than a second. Safe to use from several threads."""

    def __init__(self, ask: Callable[[], Iterable[str]]) -> None:
        self._ask, self._lock = ask, threading.Lock()
        self._last: list[str] = []
        self._at = float("-inf")

    def __call__(self) -> list[str]:
        with self._lock:
            if time.monotonic() - self._at > _FRESH_SECONDS:
                self._last, self._at = list(self._ask()), time.monotonic()
            return self._last


def obstacle(what: str, ask: Callable[[], object]) -> Iterator[str]:
    """One sentence where asking fails. Its reason is left to the log: whoever reads this may be anyone."""
    try:
        ask()
    except SteelyardError:
        yield what


def behind(blocks: int, looked_at: float) -> Iterator[str]:
    """Why a follower of the chain is not ready. blocks: that it lags. looked_at: of time.monotonic."""
    if blocks > MOST_BLOCKS:
        yield f"{blocks} blocks behind the chain; at most {MOST_BLOCKS} is ready"
    if (silent := time.monotonic() - looked_at) > MOST_SECONDS:
        yield f"the chain was last read {silent:.0f} s ago; at most {MOST_SECONDS:.0f} s is ready"


class _Collected(Collector):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for reading in self._watch.readings():
            kind = CounterMetricFamily if reading.total else GaugeMetricFamily
            name = f"steelyard_{reading.name}"
            if name not in families:
                families[name] = kind(name, reading.says, labels=list(reading.labels))
            families[name].add_metric(list(reading.labels.values()), reading.value)
        yield from families.values()


def registry_of(watch: Watch) -> CollectorRegistry:
    """A registry with the service's figures and those of its process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collected(watch))
    return registry


def exposition(registry: CollectorRegistry) -> bytes:
    """All figures as CONTENT_TYPE."""
    return generate_latest(registry)
