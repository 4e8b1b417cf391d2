"""`steelyard up`: everything that a participant needs on this machine, in one command that stays.

Chain, gateway, hub and, once this home has a registered node, that node. A service whose address is set by its variable
is elsewhere, and none of its kind is started. With --demo, a market of its own below this home, filled by a command
that the package with the demo joins.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from marketplace.cli.output import Output
from marketplace.cli.up_log import open_log
from marketplace.cli.upkeep import PORTS, Up
from marketplace.errors import RefusedError
from marketplace.settings import Settings, settings_of_environment
from marketplace.storage.locks import held
from marketplace.supervisor import Supervisor

LOCK = "up.lock"

Port = Annotated[int | None, typer.Option(min=0, max=65_535, help="0 takes a free one")]


def up(
    context: typer.Context,
    rpc: Annotated[
        str, typer.Option(help="use this chain instead of one of its own; or set STEELYARD_RPC")
    ] = "",
    deployment: Annotated[Path | None, typer.Option(help="that chain's deployment file")] = None,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="a lively market beside your own: five providers, their data, models"),
    ] = False,
    port_chain: Port = None,
    port_gateway: Port = None,
    port_hub: Port = None,
) -> None:
    """Run chain, gateway, hub and your node until Ctrl-C; what dies is started again, what was confirmed stays."""
    output = _output(context)
    chosen = {name: value for name, value in (("rpc", rpc), ("deployment", deployment)) if value}
    settings = settings_of_environment(**chosen)
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if demo:
        settings = _for_demo(settings, chosen)
    home = settings.home.absolute()
    named = {"rpc": port_chain, "gateway": port_gateway, "hub": port_hub}
    usual = dict.fromkeys(named, 0) if demo else PORTS
    ports = {name: usual[name] if port is None else port for name, port in named.items()}
    with ExitStack() as stack:
        stack.enter_context(_alone(home))
        log = stack.enter_context(open_log(home))
        market = Supervisor(lambda name, text: output.say(f"{name}: {text}"), log)
        stack.enter_context(_signals(market))
        stack.callback(market.close)
        Up(output, market, settings, ports, demo=demo).run()


def _for_demo(settings: Settings, chosen: Mapping[str, object]) -> Settings:
    """A market in a folder of its own. Raises RefusedError where nobody can fill it, or where a chain was named."""
    if not entry_points(group="steelyard.commands", name="demo.fill"):
        raise RefusedError(
            "the demo is not installed",
            expected="Steelyard with its part for providers",
            do="Run scripts/setup.",
        )
    if chosen:
        raise RefusedError(
            "the demo makes money and people: it runs on a chain of its own",
            got=", ".join(f"--{name}" for name in chosen),
            do="Leave that out.",
        )
    home = settings.home.absolute() / "demo" / "market"
    for folder in (home.parent, home):
        folder.mkdir(exist_ok=True, mode=0o700)
    own = {"home": home, "deployment": home / "deployment.json", "hub": "", "ipfs": "", "wallet": ""}
    return settings.model_copy(update={**own, "passphrase": SecretStr(""), "passphrase_file": None})


def _output(context: typer.Context) -> Output:
    if not isinstance(context.obj, Output):
        raise RefusedError("a command runs outside the command line")
    return context.obj


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    with held(
        home / LOCK,
        what=f"`steelyard up` runs in {home} already",
        expected="one in a home",
        do="Use that one, or name another home by STEELYARD_HOME.",
    ):
        yield


@contextmanager
def _signals(market: Supervisor) -> Iterator[None]:
    handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: market.stop.set()) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
