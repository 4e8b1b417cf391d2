"""What buyers, auditors and hubs do. It cannot open datasets, and installs without torch.

`Market` is the Python client.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

_LIMIT = sys.getrecursionlimit()

import py_ecc  # noqa: E402, F401  # for its side effect, which is taken back at once

from marketplace._later import Later  # noqa: E402

# py_ecc raises the limit to 100,000. With that, JSON of a hundred thousand brackets overflows the stack and ends the
# process, where it should be a RecursionError.
sys.setrecursionlimit(min(_LIMIT, 1_000))

# eth-keyfile imports py_ecc's BLS curves for validators' key files, which nobody here has: 0.8 s of CPU at the start
# of every command.
_ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
for _module in (Later("py_ecc.bls"), Later("py_ecc.bls12_381", curve_order=_ORDER)):
    sys.modules.setdefault(_module.__name__, _module)

if TYPE_CHECKING:
    from marketplace.client import Market

__all__ = ["Market"]


def __getattr__(name: str) -> Any:
    """`from marketplace import Market` loads the client only where it is asked for."""
    if name != "Market":
        raise AttributeError(name)
    from marketplace.client import Market

    return Market
