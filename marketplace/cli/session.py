"""What a command works with: settings, chain, shared store, keys; opened only when they are needed."""

from __future__ import annotations

import getpass
import json
import re
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import typer
from eth_account.signers.local import LocalAccount

from marketplace.chain.client import Chain
from marketplace.chain.deployment import Deployment, read_deployment
from marketplace.cli.output import Output
from marketplace.core.canonical import MAX_DOCUMENT, parse_json
from marketplace.errors import InputError, NotFoundError, RefusedError
from marketplace.keys import NEXT_NODE_WALLET, NODE_WALLET, Keyring
from marketplace.settings import Settings, load_settings
from marketplace.storage import SharedStore, open_store

_EUROS = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,6}))?")
_JOB_ID = re.compile(r"0x[0-9a-fA-F]{64}")


class Session:
    """One command's view of the market."""

    def __init__(self, output: Output, settings: Settings | None = None) -> None:
        self.output = output
        self.settings = settings or load_settings()

    def close(self) -> None:
        """Ends the connections that were opened."""
        for name in ("chain", "store"):
            if name in vars(self):
                getattr(self, name).close()

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
            settings.rpc, self.deployment, confirmations=settings.confirmations, timeout=settings.timeout
        )

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


def session(context: typer.Context) -> Session:
    """The session of a command; tests may put one into the context."""
    if isinstance(context.obj, Session):
        return context.obj
    if not isinstance(context.obj, Output):
        raise RefusedError("a command runs outside the command line")
    here = Session(context.obj)
    context.obj = here
    context.call_on_close(here.close)
    return here


def parse_job_id(text: str) -> bytes:
    if not _JOB_ID.fullmatch(text):
        raise InputError(
            "not a job id", got=text, expected="0x and 64 hex digits", do="`steelyard job list` shows yours."
        )
    return bytes.fromhex(text[2:])


def parse_euros(text: str) -> int:
    """Token units in an amount of euros, as 12.50. Raises InputError for anything else."""
    found = _EUROS.fullmatch(text)
    units = int(found[1]) * 1_000_000 + int((found[2] or "").ljust(6, "0")) if found else 1 << 48
    if units >= 1 << 48:
        raise InputError(
            "not an amount", got=text, expected="euros below 281 million, at most six decimals, as 12.50"
        )
    return units


def parse_parameters(pairs: list[str], file: Path | None) -> dict[str, Any]:
    """Parameters from a JSON file and `name=value` pairs; a value is JSON where it parses, else text."""
    values = read_object(file, "the parameters file") if file else {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise InputError("a parameter does not parse", got=pair, expected="name=value")
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):
            values[name] = text
    return values


def read_object(file: Path, what: str) -> dict[str, Any]:
    """The JSON object in a file. Raises InputError naming `what`."""
    try:
        with file.open("rb") as opened:
            found = parse_json(opened.read(MAX_DOCUMENT + 1), what=what)
    except OSError as error:
        raise InputError(f"{what} cannot be read", got=f"{file}: {error.strerror}") from None
    if not isinstance(found, dict):
        raise InputError(f"{what} does not parse", got=type(found).__name__, expected="a JSON object")
    return found
