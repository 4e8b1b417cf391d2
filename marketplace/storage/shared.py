"""Which shared store the settings name: an IPFS daemon's, or a gateway's."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from marketplace.settings import Settings
from marketplace.storage.gateway import GatewayStore

if TYPE_CHECKING:
    from marketplace.storage.kubo import KuboStore

SharedStore: TypeAlias = "GatewayStore | KuboStore"


def host_of(ipfs: str) -> str:
    """Host and port of an IPFS daemon's RPC, which may be shown. Raises InputError where the address does not fit."""
    from marketplace.storage.kubo_wire import Address  # as below

    return Address.parse(ipfs).host


def open_store(settings: Settings) -> SharedStore:
    """The shared store, to be closed. Raises InputError where the address of neither fits."""
    if not settings.ipfs:
        return GatewayStore(settings.gateway, timeout=settings.timeout)
    from marketplace.storage.kubo import KuboStore  # its libraries take a while to load

    return KuboStore(settings.ipfs, timeout=settings.timeout)
