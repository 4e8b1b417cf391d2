"""`steelyard chain|gateway|hub run`: the services of a market, each a process of its own on loopback."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from eth_account import Account

from marketplace.accounts.reach import parse_network
from marketplace.api.doors import parse_origin
from marketplace.api.gateway import QUOTA, create_app
from marketplace.api.hub import rebuild, serve
from marketplace.api.serving import serve_app
from marketplace.api.sponsor import Allowance
from marketplace.chain.deploy import Powers, deploy
from marketplace.chain.deployment import Deployment, require_same_chain
from marketplace.chain.embedded import EmbeddedChain
from marketplace.cli.output import Output
from marketplace.cli.session import session
from marketplace.core.eip712 import parse_address
from marketplace.core.ids import role_id
from marketplace.core.limits import Limits
from marketplace.core.readable import parse_euros
from marketplace.storage.disk import write_atomically

chain_app = typer.Typer(help="A development chain.", no_args_is_help=True)
gateway_app = typer.Typer(help="The shared store's gateway.", no_args_is_help=True)
hub_app = typer.Typer(help="Catalogue, search and live progress.", no_args_is_help=True)

Host = Annotated[str, typer.Option(help="address to listen on")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one")]


@chain_app.command("run")
def run_chain(
    context: typer.Context,
    port: Port = 8545,
    window: Annotated[int, typer.Option(min=1, help="seconds in which a buyer may object")] = 86_400,
    job_time: Annotated[int, typer.Option(min=1, help="seconds that a node has for a job")] = 86_400,
    dispute_time: Annotated[int, typer.Option(min=1, help="seconds that a judge has")] = 7 * 86_400,
    bond: Annotated[str, typer.Option(help="euros that a provider pledges to sell")] = "100",
    penalty: Annotated[str, typer.Option(help="euros of it that a job without answer costs")] = "1",
    challenge: Annotated[str, typer.Option(help="euros that a buyer stakes on a dispute")] = "10",
    judge_fee: Annotated[str, typer.Option(help="euros of that for the judge")] = "5",
    governor: Annotated[
        str, typer.Option(help="address that governs, pauses, trusts issuers; none: nobody")
    ] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="keep the chain in this home, through kills too")
    ] = False,
) -> None:
    """Run a development chain with the contracts on it; without --keep it forgets everything when it ends."""
    here = session(context)
    limits = Limits(window, job_time, dispute_time, *map(parse_euros, (bond, penalty, challenge, judge_fee)))
    path = here.home / "deployment.json"
    with EmbeddedChain(port, keep=here.home if keep else None) as chain:
        if chain.went_on and path.is_file():
            deployment = Deployment.parse(path.read_bytes())
            require_same_chain(chain.rpc, deployment)
            _say_what_stays(here.output, deployment.limits, limits)
        else:
            deployer = Account.create(os.urandom(32))
            chain.faucet(deployer.address)
            power = parse_address(governor, where="--governor") if governor else deployer.address
            deployment = deploy(chain.url, deployer, limits=limits, powers=Powers(power, power, power, 0))
            write_atomically(path, deployment.to_bytes())
        _ready(here.output, "chain", chain.url, deployment=str(path), digest="0x" + deployment.digest.hex())
        _until_stopped()


def _until_stopped() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


def _say_what_stays(output: Output, kept: Limits, asked: Limits) -> None:
    """A market's limits are fixed when it is deployed; the options of a later start change nothing."""
    other = [f"{name} {value}" for name, value in asdict(kept).items() if value != getattr(asked, name)]
    if other:
        output.say(f"the kept market stays as it was deployed: {', '.join(other)}")


@gateway_app.command("run")
def run_gateway(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    folder: Annotated[Path | None, typer.Option(help="default: store/ of this home")] = None,
    quota: Annotated[int, typer.Option(min=1, help="GiB that it takes at most")] = QUOTA // 1024**3,
) -> None:
    """Serve the shared store: GET and PUT of blocks by the name of their content."""
    here = session(context)
    app = create_app(folder or here.home / "store", quota=quota * 1024**3)
    serve_app(app, host, port, ready=lambda url: _ready(here.output, "gateway", url))


@hub_app.command("run")
def run_hub(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    public_url: Annotated[
        str, typer.Option(help="where others reach it, as https://hub.example: signing in is bound to it")
    ] = "",
    webhooks_to: Annotated[
        list[str] | None,
        typer.Option(
            help="private network that webhooks may go to, http too, as 127.0.0.0/8; may be repeated"
        ),
    ] = None,
    sponsor: Annotated[
        str,
        typer.Option(help="wallet of this home that pays the gas of buyers without coin: all that it holds"),
    ] = "",
    sponsor_role: Annotated[str, typer.Option(help="pay for accounts with this accreditation alone")] = "",
    sponsor_calls: Annotated[
        int, typer.Option(min=1, help="calls that are paid in a day, of all buyers")
    ] = 1_000,
) -> None:
    """Serve the catalogue, filled from chain and shared store; it cannot trade for anybody."""
    here = session(context)
    allowance = Allowance(of_all=sponsor_calls, role=role_id(sponsor_role) if sponsor_role else None)
    serve(
        here.settings,
        host,
        port,
        ready=lambda url: _ready(here.output, "hub", url),
        public_url=parse_origin(public_url) if public_url else "",
        webhooks_to=tuple(map(parse_network, webhooks_to or [])),
        sponsored=(here.keyring.wallet(sponsor), allowance) if sponsor else None,
    )


@hub_app.command("rebuild")
def rebuild_hub(context: typer.Context) -> None:
    """Empty the catalogue and fill it again from chain and shared store; whatever is damaged in it is gone."""
    here = session(context)
    counts = rebuild(here.settings)
    here.output.event({"rebuilt": counts}, f"rebuilt: {counts['event']} events, {counts['entry']} listings")


def _ready(output: Output, what: str, url: str, **more: str) -> None:
    output.event({"service": what, "url": url, **more}, f"{what} at {url}; Ctrl-C ends it")
