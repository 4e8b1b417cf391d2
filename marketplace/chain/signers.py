"""Whether a contract takes a signature as its own. Source: ERC-1271."""

from __future__ import annotations

from eth_abi.abi import encode

from marketplace.chain.rpc import Failure, Rpc, data
from marketplace.errors import UnavailableError

_IS_VALID = bytes.fromhex("1626ba7e")
"""The selector of isValidSignature(bytes32,bytes), and what it returns for yes."""


def accepts(rpc: Rpc, signer: str, digest: bytes, signature: bytes, block: int | None) -> bool:
    """At a block or now; False for an account without code, and for a contract that reverts.

    Raises UnavailableError where the endpoint gives no answer.
    """
    asked = (_IS_VALID + encode(["bytes32", "bytes"], [digest, signature])).hex()
    answer = rpc.ask(
        "eth_call", {"to": signer, "data": "0x" + asked}, "latest" if block is None else hex(block)
    )
    if not isinstance(answer, Failure):
        return data(answer, f"answer of {signer}") == _IS_VALID + bytes(28)
    if not answer.reverted:
        raise UnavailableError(f"the RPC endpoint {rpc.host} could not ask {signer}", got=answer.message)
    return False
