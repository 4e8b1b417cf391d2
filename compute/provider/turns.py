"""Whose turn comes when: places in the queue before the sandbox, and how long it should take.

A buyer is told a place and rounded seconds. They come from past runs of listed algorithms alone: how long code that
nobody listed runs is its own choice, and could carry data.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compute.provider.journal import Entry, Step

Durations = Mapping[tuple[bytes, int], list[float]]
"""Seconds of past runs, by algorithm and dataset."""

_STEPS = ((60, 5), (600, 30), (7_200, 300))
"""Up to so many seconds, estimates are told in steps of so many."""
_COARSE = 1_800
_NEAR = 3


@dataclass(frozen=True)
class Turn:
    """A job that waits. position: 1 is the next. seconds: until it should have its answer, rounded up; 0: unknown."""

    position: int
    seconds: int


def expected_seconds(entry: Entry, durations: Durations) -> float:
    """What a run of this job should take: the median of its algorithm on its dataset, else of all; 0 where none ran."""
    found = durations.get((entry.request.algorithm, entry.asset))
    seconds = found or [each for others in durations.values() for each in others]
    return statistics.median(seconds) if seconds else 0.0


def turns(entries: Iterable[Entry], durations: Durations, running: Iterable[bytes]) -> dict[bytes, Turn]:
    """The places of all jobs that wait for the sandbox. entries: in their order. running: jobs in it."""
    inside = set(running)
    queue = [entry for entry in entries if entry.step is Step.run]
    ahead = sum(expected_seconds(entry, durations) for entry in queue if entry.job_id in inside)
    found: dict[bytes, Turn] = {}
    for position, entry in enumerate((entry for entry in queue if entry.job_id not in inside), 1):
        ahead += expected_seconds(entry, durations)
        found[entry.job_id] = Turn(position, rounded_up(ahead))
    return found


def seconds_with_those_ahead(entry: Entry, entries: Iterable[Entry], durations: Durations) -> float:
    """What this job and all that were opened before it and have not run should take together."""
    total = expected_seconds(entry, durations)
    for other in entries:
        if other.job_id == entry.job_id:
            break
        if other.step in (Step.judge, Step.run):
            total += expected_seconds(other, durations)
    return total


def rounded_up(seconds: float) -> int:
    """To a step that tells little of any single run."""
    step = next((step for most, step in _STEPS if seconds <= most), _COARSE)
    return int(-(-seconds // step)) * step


class Told:
    """Which places buyers were told: near ones each, far ones once they are halved: many cost little."""

    def __init__(self) -> None:
        self._positions: dict[bytes, int] = {}

    def news(self, found: Mapping[bytes, Turn]) -> dict[bytes, Turn]:
        """Those of the turns that are worth telling now."""
        self._positions = {job_id: self._positions[job_id] for job_id in found if job_id in self._positions}
        new = {job_id: turn for job_id, turn in found.items() if self._is_news(job_id, turn.position)}
        self._positions |= {job_id: turn.position for job_id, turn in new.items()}
        return new

    def _is_news(self, job_id: bytes, position: int) -> bool:
        told = self._positions.get(job_id)
        if told is None:
            return True
        return position != told and (position <= _NEAR or position <= told // 2)
