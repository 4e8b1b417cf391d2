"""The file in a home that says where its services are, and the settings of the demo's homes."""

from __future__ import annotations

from pathlib import Path

from marketplace.core.canonical import canonical
from marketplace.settings import ADDRESSES, Settings
from marketplace.storage.disk import write_atomically


def write_addresses(home: Path, settings: Settings) -> None:
    """From now on commands in `home` find the services without variables.

    Only the home's owner may read the file: the URL of an endpoint may hold a key.
    """
    names = ("rpc", "gateway", "ipfs", "hub", "deployment")
    found = {name: str(getattr(settings, name)) for name in names}
    write_atomically(home / ADDRESSES, canonical(found), mode=0o600)


def demo_settings(settings: Settings, home: Path) -> Settings:
    """Those of one of the demo's people: a home of its own, its passphrase in a file there."""
    return settings.model_copy(
        update={
            "home": home,
            "passphrase_file": home / "passphrase",
            "wallet": "",
            "deployment": settings.deployment_file,
        }
    )
