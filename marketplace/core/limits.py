"""What a Market fixes for ever, as its constructor takes it. Pure."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class Limits:
    """IMarket.Rules, in its order. Times in seconds; sums in units of the Market's token.

    window: for a buyer to object. job_time: for a node to answer. dispute_time: for a judge to rule. min_bond: that a
    provider pledges to sell. expiry_penalty: what a job without answer takes from it, at most the job's price.
    challenge_bond: what a buyer stakes on a dispute. judge_fee: what a ruling costs, out of that stake.
    """

    window: int
    job_time: int
    dispute_time: int
    min_bond: int
    expiry_penalty: int
    challenge_bond: int
    judge_fee: int

    def to_tuple(self) -> tuple[int, ...]:
        return astuple(self)

    @property
    def unbonding_time(self) -> int:
        """Seconds that a bond takes to leave: no job, window or dispute outlasts it."""
        return 2 * (self.job_time + self.window + self.dispute_time)
