"""`steelyard node`: the process beside the data."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from typing import Annotated, Any

import typer

from compute.environments import BuiltEnvironment, Environments
from compute.provider.alone import alone_in, alone_with
from compute.provider.home import environments_of, journal_of, outputs_of, vault_of
from compute.provider.job_logs import open_log
from compute.provider.journal import Entry
from compute.provider.node import Node, Place
from compute.provider.place import check_key, registered_key
from compute.provider.reporter import Reporter
from compute.provider.rotation import open_jobs, rotate
from compute.provider.runner import Keys, Runner
from compute.sandbox import Isolation, Sandbox, Wall
from marketplace import bonds
from marketplace.chain.client import ETHER
from marketplace.cli.output import table
from marketplace.cli.session import Session, session
from marketplace.core.environments import named
from marketplace.core.ids import parse_digest
from marketplace.core.readable import euros
from marketplace.errors import RefusedError
from marketplace.keys import NODE_WALLET, SEALING_KEY

Gas = Annotated[float, typer.Option(min=0, max=10, help="ether that the node should hold for its gas")]


def node_init(
    context: typer.Context,
    gas: Gas = 0.1,
) -> None:
    """Make the node's keys, register them for your wallet, pledge its bond, give it gas; repeat it where it failed."""
    here = session(context)
    owner = here.account  # first, so that no key is made with a passphrase that is not the wallet's
    if NODE_WALLET not in here.keyring.wallets():
        here.keyring.new_wallet(NODE_WALLET)
    if SEALING_KEY not in here.keyring.sealing_keys():
        here.keyring.new_sealing_key(SEALING_KEY)
    node, sealing = here.keyring.wallets()[NODE_WALLET], here.keyring.sealing_keys()[SEALING_KEY]
    sent = None
    pledge, isolation = bonds.missing(here.chain, here.address), _isolation(here)
    bonds.require_funds(here.chain, here.address, pledge)
    environments = environments_of(here)
    environments.prepare(here.output.step)
    if not _is_registered(here, node, sealing, isolation):
        sent = here.chain.send("ParticipantRegistry", "setNode", (node, sealing, isolation), owner)
    if pledge:
        here.output.step(f"pledging {euros(pledge)} for the node")
        bonds.deposit(here.chain, owner, pledge)
    _give_gas(here, node, gas)
    here.output.result(
        {
            "provider": here.address,
            "node": node,
            "transaction": sent.transaction if sent else None,
            "gas": sent.gas_used if sent else 0,
            "isolation": isolation,
            "environments": [_named(one) for one in environments.whole()],
            "bond": here.chain.bond(here.address).staked,
        },
        [
            f"node {node} {'registered' if sent else 'is registered already'} for {here.address}",
            f"it holds {here.chain.ether(node) / ETHER:g} ether for the gas of its receipts",
            f"your bond is {euros(here.chain.bond(here.address).staked)}; isolation: {Isolation(isolation).name}",
            f"environments for algorithms: {', '.join(map(_named, environments.whole())) or 'none'}",
        ],
        then="steelyard node run",
    )


def node_rotate(
    context: typer.Context,
    now: Annotated[
        bool, typer.Option("--now", help="also where jobs are open: they are rejected, all money back")
    ] = False,
    gas: Gas = 0.1,
) -> None:
    """Give the node new keys, after a theft or from time to time; stop the node first, repeat it where it failed."""
    here = session(context)
    with alone_in(here.home):
        waiting = open_jobs(here.chain, here.address)
        if waiting and not now:
            raise RefusedError(
                "jobs are open whose orders only the present key opens",
                got=len(waiting),
                do="Let them end first, or have them rejected, all money back: steelyard node rotate --now",
            )
        made = rotate(here.chain, vault_of(here), here.keyring, here.account, _isolation(here))
        _give_gas(here, made.node, gas)
    left = [f"the new key cannot open {token}: publish that dataset again" for token in made.left]
    here.output.result(
        {
            "provider": here.address,
            "node": made.node,
            "transaction": made.sent.transaction if made.sent else None,
            "datasets": made.wrapped,
            "unopened": made.left,
            "open_jobs": ["0x" + job_id.hex() for job_id in waiting],
        },
        [
            f"node {made.node} has taken the place of the one before, which answers nothing any more",
            f"datasets that it can open: {len(made.wrapped)}",
            *left,
            f"the keys before lie in {here.home / 'keys' / 'replaced'}",
        ],
        then="steelyard node run",
    )


def _give_gas(here: Session, node: str, gas: float) -> None:
    missing = int(gas * ETHER) - here.chain.ether(node)
    if missing > 0:
        here.chain.pay(here.account, node, missing)


def _isolation(here: Session) -> int:
    """What a sandbox reaches on this machine, in bits."""
    with Sandbox(wall=Wall(here.settings.wall)) as sandbox:
        return int(sandbox.probe())


def _is_registered(here: Session, node: str, sealing: bytes, isolation: int) -> bool:
    """Whether the chain has this home's keys as the provider's, and what its sandbox reaches."""
    return (
        registered_key(here.chain, here.address) == node
        and here.chain.sealing_key_of(here.address) == sealing
        and here.chain.isolation_of(here.address) == isolation
    )


def node_run(context: typer.Context) -> None:
    """Follow the chain and run the jobs that your terms permit, until Ctrl-C."""
    here = session(context)
    with ExitStack() as held:
        held.enter_context(alone_in(here.home))
        held.enter_context(alone_with(_registered_node(here), here.deployment))
        _serve(here)


def _registered_node(here: Session) -> str:
    """The address of this home's node. Raises RefusedError unless the chain has this home's keys as the provider's."""
    node, sealing = here.keyring.wallets().get(NODE_WALLET), here.keyring.sealing_keys().get(SEALING_KEY)
    if node is None or sealing is None:
        raise RefusedError("this home has no node yet", got=here.home, do="Make one: steelyard node init")
    check_key(here.chain, here.address, node)
    registered = here.chain.sealing_key_of(here.address)
    if registered != sealing:
        raise RefusedError(
            "this node's sealing key is not the registered one: it could open no order",
            got="0x" + sealing.hex(),
            expected="0x" + registered.hex(),
            do="Register it: steelyard node init",
        )
    return node


def _serve(here: Session) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    account = here.keyring.wallet(NODE_WALLET)
    sealing = here.keyring.sealing_key(SEALING_KEY)
    with Sandbox(wall=Wall(here.settings.wall)) as sandbox:  # whose making removes what killed nodes left
        isolation = sandbox.probe()
        _require_isolation(here, isolation)
        vault, outputs, environments = vault_of(here), outputs_of(here), environments_of(here)
        environments.prepare(here.output.step)
        place = Place(
            here.chain, here.store, outputs, vault, journal_of(here), here.address, account,
            sealing.private, environments,
        )  # fmt: skip
        runner = Runner(sandbox, vault, outputs, Keys(sealing.public, sealing.private), here.chain.domain)
        reporter = Reporter(here.settings.hub, account, here.chain.domain)
        node = Node(place, runner, reporter, lambda text: here.output.event({"node": text}, text))
        here.output.event(
            {"service": "node", "address": account.address, "isolation": int(isolation)},
            f"node {account.address} serves {here.address}; isolation: {isolation.name}",
        )
        _look_at(environments, here)
        node.run(stop)


def _look_at(environments: Environments, here: Session) -> None:
    """Says at the start what algorithms may be given, and what was withdrawn and why."""
    for one in environments.all():
        if one.wrong or one.built is None:
            text = f"environment {one.folder} is withdrawn, jobs that want it are rejected: {one.wrong}; build it again"
            here.output.event({"withdrawn": one.folder, "why": one.wrong}, text)
        else:
            here.output.event({"environment": _named(one.built)}, f"environment {_named(one.built)} is whole")


def _named(one: BuiltEnvironment) -> str:
    return named([one])


def _require_isolation(here: Session, reached: Isolation) -> None:
    """Buyers choose by what is registered: it must be what runs."""
    registered = Isolation(here.chain.isolation_of(here.address))
    if registered != reached:
        raise RefusedError(
            "the sandbox reaches another isolation than is registered",
            got=reached.name,
            expected=registered.name,
            do="Register what it reaches: steelyard node init",
        )


def node_status(context: typer.Context) -> None:
    """Jobs at this node and what each waits for."""
    here = session(context)
    rows = [_entry_json(entry) for entry in journal_of(here).entries(active=False)]
    cells = [(row["job"], row["step"], row["note"]) for row in rows]
    here.output.result({"jobs": rows}, [table("Jobs at this node", ("job", "step", "note"), cells)])


def node_log(
    context: typer.Context, job: Annotated[str, typer.Argument(help="the job's id, 0x and 64 hex digits")]
) -> None:
    """Print what a job's algorithm wrote here; nobody but you can read it."""
    here = session(context)
    parts = vault_of(here).logs.sealed(parse_digest(job, "job id"))
    lines = open_log(parts, here.keyring.sealing_key(SEALING_KEY).private)
    here.output.result({"job": job, "lines": lines}, lines or ["the algorithm wrote nothing"])


def _entry_json(entry: Entry) -> dict[str, Any]:
    failure = entry.data.get("failure", {})
    note = entry.data.get("detail") or failure.get("detail") or ""
    return {"job": "0x" + entry.job_id.hex(), "step": str(entry.step), "until": entry.until, "note": note}
