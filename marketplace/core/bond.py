"""A provider's bond: its pledge that its node answers, and answers rightly. Pure.

Sums are units of the Market's token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass(frozen=True)
class Bond:
    """Market.bondOf(provider). Both parts can be slashed; only `staked` lets the provider sell.

    leaving: announced to be taken out. leaves_at: Unix seconds, the last one in which `leaving` stays.
    """

    staked: int = 0
    leaving: int = 0
    leaves_at: int = 0

    @classmethod
    def from_tuple(cls, values: tuple[Any, ...]) -> Self:
        return cls(*(int(value) for value in values[:3]))

    def held(self) -> int:
        return self.staked + self.leaving

    def slash_up_to(self, amount: int) -> tuple[int, int]:
        """What a slash of `amount` takes from `staked` and from `leaving`: at most what is there, `staked` first."""
        from_staked = min(amount, self.staked)
        return from_staked, min(amount - from_staked, self.leaving)

    def slashed(self, amount: int) -> Self:
        """What is left after a slash of `amount`."""
        from_staked, from_leaving = self.slash_up_to(amount)
        return replace(self, staked=self.staked - from_staked, leaving=self.leaving - from_leaving)
