"""`steelyard node`: the process beside the data."""

from __future__ import annotations

import signal
import threading
from typing import Annotated, Any

import typer

from compute.provider.home import journal_of, outputs_of, vault_of
from compute.provider.journal import Entry
from compute.provider.node import Node, Place
from compute.provider.reporter import Reporter
from compute.provider.runner import Keys, Runner
from compute.sandbox import Sandbox
from marketplace.chain.client import ETHER
from marketplace.cli.output import table
from marketplace.cli.session import NODE_WALLET, SEALING_KEY, session


def node_init(
    context: typer.Context,
    gas: Annotated[
        float, typer.Option(min=0, max=10, help="ether that the node should hold for its gas")
    ] = 0.1,
) -> None:
    """Make the node's keys, register them for your wallet, and give the node its gas."""
    here = session(context)
    if NODE_WALLET not in here.keyring.wallets():
        here.keyring.new_wallet(NODE_WALLET)
    if SEALING_KEY not in here.keyring.sealing_keys():
        here.keyring.new_sealing_key(SEALING_KEY)
    node, sealing = here.keyring.wallets()[NODE_WALLET], here.keyring.sealing_keys()[SEALING_KEY]
    sent = here.chain.send("ParticipantRegistry", "setNode", (node, sealing), here.account)
    missing = int(gas * ETHER) - here.chain.ether(node)
    if missing > 0:
        here.chain.pay(here.account, node, missing)
    here.output.result(
        {"provider": here.address, "node": node, "transaction": sent.transaction, "gas": sent.gas_used},
        [
            f"node {node} registered for {here.address}",
            f"it holds {here.chain.ether(node) / ETHER:g} ether for the gas of its receipts",
        ],
        then="steelyard node run",
    )


def node_run(context: typer.Context) -> None:
    """Follow the chain and run the jobs that your terms permit, until Ctrl-C."""
    here = session(context)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    account = here.keyring.wallet(NODE_WALLET)
    sealing = here.keyring.sealing_key(SEALING_KEY)
    with Sandbox() as sandbox:
        isolation = sandbox.probe()
        vault, outputs = vault_of(here), outputs_of(here)
        place = Place(
            here.chain, here.store, outputs, vault, journal_of(here), here.address, account, sealing.private
        )
        runner = Runner(sandbox, vault, outputs, Keys(sealing.public, sealing.private), here.chain.domain)
        reporter = Reporter(here.settings.hub, account, here.chain.domain)
        node = Node(place, runner, reporter, lambda text: here.output.event({"node": text}, text))
        here.output.event(
            {"service": "node", "address": account.address, "isolation": int(isolation)},
            f"node {account.address} serves {here.address}; isolation: {isolation.name}",
        )
        node.run(stop)


def node_status(context: typer.Context) -> None:
    """Jobs at this node and what each waits for."""
    here = session(context)
    rows = [_entry_json(entry) for entry in journal_of(here).entries(active=False)]
    cells = [(row["job"], row["step"], row["note"]) for row in rows]
    here.output.result({"jobs": rows}, [table("Jobs at this node", ("job", "step", "note"), cells)])


def _entry_json(entry: Entry) -> dict[str, Any]:
    failure = entry.data.get("failure", {})
    note = entry.data.get("detail") or failure.get("detail") or ""
    return {"job": "0x" + entry.job_id.hex(), "step": str(entry.step), "until": entry.until, "note": note}
