"""One run of `steelyard up`: its services, the nodes of its homes, what it tells a person."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

from marketplace.chain.deployment import DEVELOPMENT_CHAIN, read_deployment, require_same_chain
from marketplace.chain.rpc import Rpc
from marketplace.cli.addresses import demo_settings, write_addresses
from marketplace.cli.output import Output, table
from marketplace.cli.session import Session
from marketplace.errors import InputError, RefusedError, SteelyardError
from marketplace.keys import NODE_WALLET
from marketplace.settings import ADDRESSES, Settings
from marketplace.storage.shared import host_of
from marketplace.supervisor import Kept, Service, Supervisor

PORTS = {"rpc": 8545, "gateway": 8080, "hub": 8000}
"""The usual port of the service behind each setting."""
_KINDS = {"rpc": "chain", "gateway": "gateway", "hub": "hub"}
_LOOK_SECONDS = 2.0
_SHORT = 5.0
_TICK = 0.1
_DEMO_WINDOW = 600


class Up:
    """One run of the command."""

    def __init__(
        self, output: Output, market: Supervisor, settings: Settings, ports: dict[str, int], *, demo: bool
    ) -> None:
        """settings: of the environment and options alone; what they set is elsewhere. ports: by setting."""
        self.output, self.market, self.ports, self.demo = output, market, ports, demo
        named = {name for name in PORTS if name in settings.model_fields_set and getattr(settings, name)}
        if settings.ipfs:
            named.add("gateway")  # the daemon is the shared store
        self.elsewhere = set() if demo else named
        self.names_home = "home" in settings.model_fields_set
        absolute = {"home": settings.home.absolute(), "deployment": settings.deployment_file.absolute()}
        self.settings = settings.model_copy(update=absolute)
        self._next: list[str] = []
        self._looked = 0.0

    def run(self) -> None:
        """Until `stop` is set. Raises what keeps an essential service from running."""
        if not self._start_services():
            return
        write_addresses(self.settings.home, self.settings)
        try:
            self._look_for_nodes()
            self._serve()
        finally:
            (self.settings.home / ADDRESSES).unlink(missing_ok=True)

    def _start_services(self) -> bool:
        """Whether they run; False where they were asked to stop first."""
        _require_fitting_home(self.settings, own_chain="rpc" not in self.elsewhere)
        self._ask_passphrase()
        window = ("--window", str(_DEMO_WINDOW)) if self.demo else ()
        words: dict[str, tuple[str, ...]] = {
            "rpc": ("chain", "run", "--keep", *window),
            "gateway": ("gateway", "run"),
            "hub": ("hub", "run"),
        }
        return self._start(words, "rpc", "gateway") and self._start(words, "hub")

    def _start(self, words: dict[str, tuple[str, ...]], *addresses: str) -> bool:
        """Services that need not know each other, until they answer; the next ones then know their addresses."""
        started, keyless = {}, {"passphrase": SecretStr(""), "passphrase_file": None}
        settings = self.settings.model_copy(update=keyless)  # only a node opens keys
        for address in addresses:
            if address in self.elsewhere:
                continue
            stage = 1 if address == "hub" else 0
            service = Service(_KINDS[address], words[address], settings, self.ports[address], stage)
            started[address] = self.market.add(service)
        if not self.market.wait_ready([kept.service.name for kept in started.values()]):
            return False
        found = {address: kept.url for address, kept in started.items()}
        self.settings = self.settings.model_copy(update=found)
        return True

    def _ask_passphrase(self) -> None:
        """Once, here: the node has no terminal. Raises InputError where nobody can be asked."""
        here = Session(self.output, self.settings)
        if not self.demo and NODE_WALLET in here.keyring.wallets():
            self.settings = self.settings.model_copy(update=here.passphrase_setting())

    def _serve(self) -> None:
        if self.demo:
            self._say_services()
            self._fill()
        while not self.market.settled() and not self.market.stop.wait(_TICK):
            self._tick()
        if not self.market.stop.is_set():
            self._say_ready()
        while not self.market.stop.wait(_TICK):
            self._tick()

    def _tick(self) -> None:
        self.market.tick()
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._look_for_nodes()

    def _look_for_nodes(self) -> None:
        """Starts the node of each home that has one by now."""
        self._looked = time.monotonic()
        for name, settings in self._homes():
            if name not in self.market.kept and _has_registered_node(self.output, settings):
                words = ("node", "run")
                self.market.add(Service(name, words, settings, stage=2, essential=False))

    def _homes(self) -> Iterator[tuple[str, Settings]]:
        if not self.demo:
            if self._may_open_keys():
                yield "node", self.settings
            return
        for keys in sorted(self.settings.home.parent.glob(f"*/keys/{NODE_WALLET}.json")):
            home = keys.parent.parent
            yield f"node {home.name}", demo_settings(self.settings, home)

    def _may_open_keys(self) -> bool:
        return bool(self.settings.passphrase_file or self.settings.passphrase.get_secret_value())

    def _fill(self) -> None:
        """Runs the command that makes the demo's people, data and jobs, or goes on with them."""
        settings = self.settings.model_copy(update={"home": self.settings.home.parent})
        filling = self.market.run_to_end(Service("demo", ("demo", "fill"), settings), self._tick)
        if filling is None:
            return
        if filling.poll():
            self.output.say(
                f"the demo is not whole: {filling.reason()}. Start it again: it goes on from here"
            )
            self._next = ["steelyard up --demo"]
            return
        self._next = [str(line) for value in filling.values for line in value.get("next_commands", [])]

    def _say_services(self) -> None:
        if not self.output.as_json:
            self.output.result({}, [self._table()])

    def _say_ready(self) -> None:
        rows = [
            {
                "name": name,
                "state": _state(kept),
                "address": kept.url,
                "pid": kept.child.pid if kept.child else None,
            }
            for name, kept in self.market.kept.items()
        ]
        lines = [] if self.demo else [self._table()]
        following = self._next or self._first_steps()
        value: dict[str, Any] = {
            "home": str(self.settings.home),
            "services": rows,
            "addresses": str(self.settings.home / ADDRESSES),
            "next_commands": list(following),
        }
        shown = "\n".join(f"  {line}" for line in following)
        self.output.result(value, [*lines, "next, in another terminal:", shown, "Ctrl-C ends all of it."])

    def _table(self) -> Any:
        rows = [(name, _state(kept), kept.url) for name, kept in self.market.kept.items()]
        rows += [
            (_KINDS[name], "elsewhere", _shown(getattr(self.settings, name)))
            for name in sorted(self.elsewhere)
            if name != "gateway" or not self.settings.ipfs
        ]
        if self.settings.ipfs:
            rows.append(("IPFS", "elsewhere", host_of(self.settings.ipfs)))
        if not self.demo and "node" not in self.market.kept:
            rows.append(("node", "none yet", "it starts once this home has one"))
        return table(f"Steelyard in {self.settings.home}", ("service", "state", "address"), rows)

    def _first_steps(self) -> list[str]:
        """What a person types next, in this home."""
        home = [f"export STEELYARD_HOME={shlex.quote(str(self.settings.home))}"] if self.names_home else []
        wallets = Session(self.output, self.settings).keyring.wallets()
        if NODE_WALLET in wallets:
            return [*home, "steelyard dataset publish --help", "steelyard node status"]
        made = [] if wallets else ["steelyard wallet new NAME"]
        if "rpc" not in self.elsewhere:
            made.append("steelyard wallet fund")
        again = [] if self._may_open_keys() else ["steelyard up   # again: it asks for the node's passphrase"]
        return [
            *home,
            *made,
            "steelyard dataset list",
            "steelyard node init   # to offer data of your own",
            *again,
        ]


def _require_fitting_home(settings: Settings, *, own_chain: bool) -> None:
    """Raises RefusedError for a home of another chain than would run, InputError for a deployment file alone."""
    if own_chain:
        path = settings.deployment_file
        if path.is_file() and (found := read_deployment(path).chain_id) != DEVELOPMENT_CHAIN:
            raise RefusedError(
                "this home's market is not on a development chain",
                got=f"chain id {found} in {path}",
                do="Name that chain's endpoint: steelyard up --rpc URL; or another home by STEELYARD_HOME.",
            )
        if path.absolute() != settings.home.absolute() / "deployment.json":
            raise InputError(
                "a deployment file without its chain",
                got=path,
                do="Name the chain's endpoint: steelyard up --rpc URL",
            )
        return
    with Rpc(settings.rpc, timeout=settings.timeout) as rpc:
        require_same_chain(rpc, read_deployment(settings.deployment_file))


def _has_registered_node(output: Output, settings: Settings) -> bool:
    """Whether the chain has this home's node as its wallet's; one that is being made is not started yet."""
    here = Session(output, settings.model_copy(update={"timeout": min(settings.timeout, _SHORT)}))
    try:
        node = here.keyring.wallets().get(NODE_WALLET)
        return node is not None and here.chain.node_of(here.address) == node
    except SteelyardError:
        return False
    finally:
        here.close()


def _shown(url: str) -> str:
    """Host and port alone: the rest of an endpoint's URL may hold a key."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]


def _state(kept: Kept) -> str:
    return "runs" if kept.runs else "starting"
