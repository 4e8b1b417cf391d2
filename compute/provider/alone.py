"""One node at a time: in a home, and with a key on a machine. When a process ends, however it ends, the kernel lets go.

Covered: a second node in the same home, under whatever name the home has; a second home with the same hot key for the
same chain on this machine, whoever runs it. Both would send answers with the same nonces and run each job twice.
Not covered: the same key on two machines, or in two network namespaces: there the chain takes one answer of the two.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marketplace.chain.deployment import Deployment
from marketplace.errors import RefusedError
from marketplace.storage.locks import held

LOCK = "node.lock"
_CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid. Source: unix(7), SO_PEERCRED."""


@contextmanager
def alone_in(home: Path) -> Iterator[None]:
    """Holds the home's lock. Raises RefusedError naming the process that has it, UnavailableError without a file."""
    with held(
        home / LOCK,
        what=f"a node runs in {home} already",
        expected="one node in a home",
        do="Stop that one first, or name another home by STEELYARD_HOME.",
    ):
        yield


@contextmanager
def alone_with(address: str, deployment: Deployment) -> Iterator[None]:
    """Holds a hot key's name on this machine, for one chain. Raises RefusedError naming the process that has it."""
    name = _name(address, deployment)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as held:
        try:
            held.bind(name)
        except OSError:
            raise RefusedError(
                "a node with the same key runs on this machine already",
                got=_holder(name),
                expected=f"one node that answers as {address}",
                do="Stop that one first: both would answer the same jobs.",
            ) from None
        held.listen(socket.SOMAXCONN)  # whoever comes second can ask who we are; nobody is answered
        yield


def _name(address: str, deployment: Deployment) -> str:
    """An abstract address: no file, in this network namespace alone, so that no sandbox can take it."""
    return f"\0steelyard-node-{deployment.chain_id}-{deployment.genesis.hex()[:16]}-{address.lower()}"


def _holder(name: str) -> str:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as asking:
            asking.connect(name)
            said = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return "another process"
    pid, uid, _ = _CREDENTIALS.unpack(said)
    return f"process {pid} of user {uid}"
