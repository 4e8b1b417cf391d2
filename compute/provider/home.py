"""Where a provider's home keeps what."""

from __future__ import annotations

from compute.environments import Environments
from compute.provider.journal import Journal
from compute.provider.vault import Vault
from marketplace.cli.session import Session
from marketplace.storage import LocalStore


def vault_of(here: Session) -> Vault:
    return Vault(here.home / "vault")


def outputs_of(here: Session) -> LocalStore:
    """Sealed outputs that have not left yet."""
    return LocalStore(here.home / "vault" / "outputs")


def journal_of(here: Session) -> Journal:
    return Journal(here.home / "node.db")


def environments_of(here: Session) -> Environments:
    """What algorithms may be given on this machine."""
    return Environments(here.home / "environments")
