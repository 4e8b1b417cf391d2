"""The chain: the only shared truth. The one room that imports web3.

`client.Chain` reads and sends; `events` decodes logs and follows them; `deploy` puts the contracts on a chain and
checks them; `embedded` runs a development chain on this machine.
"""

import sys

import py_ecc  # noqa: F401  # for its side effect, which is taken back below

# py_ecc, which eth-account needs, raises Python's recursion limit to 100,000 when it is first imported. With that, JSON
# of a hundred thousand brackets overflows the stack and ends the process, where it should be a RecursionError.
sys.setrecursionlimit(min(sys.getrecursionlimit(), 1_000))
