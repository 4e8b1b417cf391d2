"""What a participant works with: settings, chain, shared store, keys; opened only when they are needed."""

from __future__ import annotations

import getpass
import sys
from functools import cached_property
from pathlib import Path

from eth_account.signers.local import LocalAccount
from pydantic import SecretStr

from marketplace.chain.client import Chain
from marketplace.chain.deployment import Deployment, read_deployment
from marketplace.chain.forwarded import Carry
from marketplace.errors import InputError, NotFoundError
from marketplace.keys import NEXT_NODE_WALLET, NODE_WALLET, Keyring
from marketplace.settings import Settings
from marketplace.storage import SharedStore, open_store


class Participant:
    """One participant's place in a market, as the settings name it: what commands and the Python client share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def close(self) -> None:
        """Ends the connections that were opened; what is asked after that opens new ones."""
        for name in ("chain", "store"):
            if opened := vars(self).pop(name, None):
                opened.close()

    @property
    def home(self) -> Path:
        self.settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.settings.home

    @cached_property
    def deployment(self) -> Deployment:
        return read_deployment(self.settings.deployment_file)

    @cached_property
    def chain(self) -> Chain:
        settings = self.settings
        return Chain(
            settings.rpc,
            self.deployment,
            confirmations=settings.confirmations,
            timeout=settings.timeout,
            carry=self._sponsor(),
        )

    def _sponsor(self) -> Carry | None:
        if not self.settings.sponsor:
            return None
        from marketplace.hub import HubClient  # its types take a while to load: only who has a sponsor waits

        return HubClient(self.settings.sponsor, self.settings.timeout).carry

    @cached_property
    def store(self) -> SharedStore:
        return open_store(self.settings)

    @cached_property
    def keyring(self) -> Keyring:
        return Keyring(self.home / "keys", self._passphrase)

    def _passphrase(self) -> str:
        settings = self.settings
        if settings.passphrase_file:
            try:
                return settings.passphrase_file.read_text("utf-8").splitlines()[0]
            except (OSError, UnicodeDecodeError, IndexError):
                raise InputError("the passphrase file cannot be read", got=settings.passphrase_file) from None
        if settings.passphrase.get_secret_value():
            return settings.passphrase.get_secret_value()
        if sys.stdin.isatty():
            return getpass.getpass("passphrase of the key files: ")
        raise InputError("no passphrase", do="Set STEELYARD_PASSPHRASE_FILE, or run on a terminal.")

    def passphrase_setting(self) -> dict[str, object]:
        """The settings that hand the passphrase to a process without a terminal; asks for it where none is set."""
        if self.settings.passphrase_file:
            return {}
        return {"passphrase": SecretStr(self._passphrase())}

    def wallet_name(self) -> str:
        """The wallet to act with: the named one, or the only one. Raises InputError that asks."""
        names = [name for name in self.keyring.wallets() if name not in (NODE_WALLET, NEXT_NODE_WALLET)]
        chosen = self.settings.wallet
        if chosen:
            if chosen not in names:
                raise NotFoundError("no such wallet", got=chosen, expected=", ".join(names) or "none yet")
            return chosen
        if len(names) == 1:
            return names[0]
        if not names:
            raise NotFoundError(
                "this home has no wallet", got=self.home, do="Make one: steelyard wallet new NAME"
            )
        raise InputError("several wallets", got=", ".join(names), do="Choose one by STEELYARD_WALLET.")

    @cached_property
    def address(self) -> str:
        """The wallet's address; needs no passphrase."""
        return self.keyring.wallets()[self.wallet_name()]

    @cached_property
    def account(self) -> LocalAccount:
        return self.keyring.wallet(self.wallet_name())
