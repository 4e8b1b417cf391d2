"""Commands in this process, as a user types them: exit code, both streams, and what JSON they hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from compute.sandbox import Sandbox
from marketplace import Market
from marketplace.cli import run
from marketplace.cli.output import Output
from marketplace.client import Job
from marketplace.core.cid import Cid
from marketplace.core.job import State
from marketplace.core.policy import CustomAlgorithms
from tests.support.catalogue import Town
from tests.support.homes import Home
from tests.support.works import COUNT_ROWS, Dataset, Works, algorithm, open_works, running_works_town


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The one JSON value on stderr; nothing may stand on stdout beside it."""
        assert self.out == ""
        assert self.err.count("\n") == 1
        return json.loads(self.err)


Command = Callable[..., Ran]


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with running_works_town(tmp_path_factory.mktemp("gateway")) as town:
        yield town


@pytest.fixture(scope="session")
def works(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Works]:
    """A provider, whose node need not run."""
    with Sandbox() as sandbox:
        yield open_works(town, sandbox, tmp_path_factory.mktemp("works"), "cli works")


@pytest.fixture(scope="session")
def listed(works: Works) -> Dataset:
    """A dataset called `valves` with an offer."""
    return works.publish(algorithm("count", COUNT_ROWS), custom=CustomAlgorithms.approval)


@pytest.fixture(scope="session")
def buyer_home(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with one wallet that has money; opening keys costs a third of a second, so tests share it."""
    home = Home(tmp_path_factory.mktemp("homes") / "buyer", town)
    home.keyring.import_wallet("startup", bytes(town.market.account("cli buyer", euros=100).key))
    return home


@pytest.fixture(scope="session")
def idle_home(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with one wallet that has never done anything."""
    home = Home(tmp_path_factory.mktemp("homes") / "idle", town)
    home.keyring.import_wallet("startup", bytes(town.market.account("cli idler", euros=100).key))
    return home


@pytest.fixture(scope="session")
def market(buyer_home: Home) -> Iterator[Market]:
    """The Python client in the buyer's home."""
    with buyer_home.market() as market:
        yield market


@pytest.fixture(scope="session")
def settled(market: Market, works: Works, listed: Dataset) -> Job:
    """A job on `valves` that a node answered and that was paid."""
    job = market.datasets[str(listed.token)].buy(purpose="predictive maintenance").train("count")
    with works.running():
        assert next(job.watch(timeout=60)).state is State.open
        assert job.wait(timeout=60, until="ended") is State.settled
    return job


@pytest.fixture
def empty_home(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("homes") / "empty", town)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command with a home's environment; `settings` replace variables, without their prefix."""

    def ran(home: Home | None, *words: str, as_json: bool = True, **settings: str) -> Ran:
        variables = home.environment if home else {}
        variables |= {f"STEELYARD_{name}": value for name, value in settings.items()}
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code = run(list(words), Output(as_json=as_json))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert "this should not happen" not in captured.err
        return Ran(code, captured.out, captured.err)

    return ran


@contextmanager
def away(town: Town, cid: Cid) -> Iterator[None]:
    """A block that the gateway has lost for a while."""
    path = town.folder.path_of(cid)
    lost = path.rename(path.with_suffix(".lost"))
    try:
        yield
    finally:
        lost.rename(path)
