"""What a transaction pays per gas, asked of an endpoint, and what one must pay to take another one's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from marketplace.chain.blocks import read_block
from marketplace.chain.rpc import Failure, Rpc, quantity
from marketplace.errors import RefusedError

_GWEI = 10**9
_MOST = 5_000 * _GWEI  # an endpoint that asks for more is wrong or robs us
_MOST_TIP = 500 * _GWEI


@dataclass(frozen=True)
class Fees:
    """Wei per gas. most: what is paid at most, base fee and tip together."""

    most: int
    tip: int

    @classmethod
    def ask(cls, rpc: Rpc) -> Self:
        """What the endpoint recommends, for twice the base fee, which lasts six full blocks.

        Raises RefusedError where it asks for an absurd sum, or where the chain has no EIP-1559.
        """
        answer = rpc.ask("eth_maxPriorityFeePerGas")
        tip = _GWEI if isinstance(answer, Failure) else quantity(answer, "priority fee")
        head = read_block(rpc, "latest")
        if head is None or head.base_fee is None:
            raise RefusedError(
                "this chain has no EIP-1559 fees", do="Use a chain that has the London upgrade."
            )
        fees = cls(2 * head.base_fee + tip, tip)
        if not fees.bearable:
            raise RefusedError(
                "the RPC endpoint asks for an absurd fee",
                got=f"{fees.most // _GWEI} gwei per gas",
                expected=f"at most {_MOST // _GWEI}",
                do="Wait, or use another endpoint.",
            )
        return fees

    @property
    def bearable(self) -> bool:
        return self.most <= _MOST and self.tip <= _MOST_TIP

    def raised(self) -> Fees:
        """An eighth more of both: pools let a transaction take the place of another one for a tenth more."""
        return Fees(self.most + self.most // 8 + 1, self.tip + self.tip // 8 + 1)

    def doubled(self) -> Fees:
        return Fees(2 * self.most, 2 * self.tip)

    def at_least(self, other: Fees) -> Fees:
        return Fees(max(self.most, other.most), max(self.tip, other.tip))
