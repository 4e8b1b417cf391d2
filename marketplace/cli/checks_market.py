"""Checks of the market that this home is on: chain and contracts, shared store, hub, wallets."""

from __future__ import annotations

import time
from collections.abc import Iterator

from marketplace.chain.client import ETHER
from marketplace.chain.deployment import DEVELOPMENT_CHAIN, check_deployment
from marketplace.cli.findings import Finding, Level, of_error, ok, warning, wrong
from marketplace.cli.session import Session
from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.core.readable import euros
from marketplace.errors import NotFoundError, SteelyardError
from marketplace.hub import HubClient
from marketplace.keys import NODE_WALLET

_AHEAD, _BEHIND = 30, 600
_START = "Start it: steelyard up; or set STEELYARD_{}."


def chain(here: Session) -> Iterator[Finding]:
    """Endpoint, contracts, clock, confirmations, then the wallets on it."""
    if not here.settings.deployment_file.is_file():
        yield warning(
            "market",
            f"no deployment file: {here.settings.deployment_file}",
            "Run a market of your own: steelyard up; or copy the deployment.json of the market that you join.",
        )
        return
    try:
        lines = check_deployment(here.chain.rpc, here.deployment)
    except SteelyardError as error:
        yield of_error("chain", error, do=error.do or _START.format("RPC"))
        return
    bad = [line for line in lines if not line.ok]
    for line in bad:
        yield wrong(
            "contracts",
            f"{line.name} is {line.got}, the deployment file says {line.expected}",
            "Do not trade here: the endpoint or the deployment file is not of this market.",
        )
    if not bad:
        yield ok(
            "chain",
            f"chain id {here.deployment.chain_id} at {here.chain.rpc.host}, block {here.chain.head()}",
        )
        yield ok("contracts", f"code and settings are those of deployment 0x{here.deployment.digest.hex()}")
    yield _clock(here)
    yield _confirmations(here)
    yield from _wallets(here)


def _clock(here: Session) -> Finding:
    ahead = here.chain.block_time(here.chain.head()) - int(time.time())
    if ahead > _AHEAD:
        return wrong(
            "clock", f"the chain is {ahead} s ahead of this machine", "Set this machine's clock (NTP)."
        )
    if (
        -ahead > _BEHIND and here.deployment.chain_id != DEVELOPMENT_CHAIN
    ):  # which mines only when there is work
        return warning(
            "clock",
            f"the newest block is {-ahead} s old",
            "Ask another endpoint, or set this machine's clock (NTP).",
        )
    return ok("clock", "fits the chain's")


def _confirmations(here: Session) -> Finding:
    count = here.settings.confirmations
    if here.deployment.chain_id != DEVELOPMENT_CHAIN and count < 3:
        return warning(
            "confirmations",
            f"{count} on a chain that others mine",
            "Set STEELYARD_CONFIRMATIONS to as many blocks as its reorganisations may have.",
        )
    return ok("confirmations", str(count))


def _wallets(here: Session) -> Iterator[Finding]:
    for name, address in here.keyring.wallets().items():
        ether, units = here.chain.ether(address), here.chain.token_balance(address)
        what = f"{name} {address}: {euros(units)}, {ether / ETHER:g} ether"
        if ether:
            yield ok("wallet", what)
        elif name == NODE_WALLET:
            yield wrong("wallet", what, "The node cannot answer without gas: steelyard node init")
        else:
            fund = " (here: steelyard wallet fund)" if here.deployment.chain_id == DEVELOPMENT_CHAIN else ""
            yield warning("wallet", what, f"Send it ether for gas{fund}.")


def shared_store(here: Session) -> Iterator[Finding]:
    kind = "IPFS" if here.settings.ipfs else "gateway"
    try:
        here.store.has(Cid.raw(sha256(b"")))
    except SteelyardError as error:
        level = Level.wrong if here.settings.deployment_file.is_file() else Level.warning
        do = "Start it, or unset STEELYARD_IPFS." if here.settings.ipfs else _START.format("GATEWAY")
        yield of_error(kind, error, level=level, do=do)
    else:
        yield ok(kind, f"answers at {here.store.host}")


def hub(here: Session) -> Iterator[Finding]:
    if not here.settings.hub:
        yield ok("hub", "none set; trade needs none")
        return
    asked = HubClient(here.settings.hub, here.settings.timeout)
    try:
        health, digest = asked.health(), asked.deployment_digest()
    except SteelyardError as error:
        yield of_error("hub", error, level=Level.warning)
        return
    finally:
        asked.close()
    if here.settings.deployment_file.is_file() and digest != here.deployment.digest:
        yield wrong("hub", "it follows another market", "Set STEELYARD_HUB to a hub of yours, or unset it.")
    elif health.status != "ok":
        yield warning(
            "hub",
            "its catalogue is behind the chain",
            "Look at the hub's own log: its chain or store is away.",
        )
    else:
        yield ok("hub", f"follows this market, to block {health.block}")


def wallet(here: Session) -> Iterator[Finding]:
    """Which wallet commands act with."""
    try:
        yield ok("identity", f"commands act as {here.wallet_name()} {here.address}")
    except NotFoundError as error:
        yield of_error("identity", error, level=Level.warning)
