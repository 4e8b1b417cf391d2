"""Versions of a dataset: what a slug means then, who may say so, and that what was bought stays good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from compute.provider.publish import TermsChoice
from compute.sandbox import Sandbox
from marketplace.core.job import State
from marketplace.core.policy import CustomAlgorithms
from marketplace.errors import InputError, NotFoundError
from marketplace.lookup import did_of, resolve
from marketplace.names import versions_of
from tests.flows.conftest import COUNT
from tests.support.buyers import await_state, new_buyer
from tests.support.catalogue import Town
from tests.support.works import TABLE, Works, card, open_works

CHOICE = TermsChoice((COUNT,), None, CustomAlgorithms.denied)


@dataclass
class Line:
    """A provider's versions of one dataset."""

    works: Works
    slug: str

    def publish(self, version: str, replaces: int | None = None, *, by: Works | None = None) -> int:
        works = by or self.works
        path = works.home / "table.csv"
        path.write_bytes(TABLE)
        did = did_of(works.chain, replaces) if replaces else None
        found = works.publisher.publish(
            path, card(self.slug, version=version), CHOICE, lambda step: None, replaces=did
        )
        return found.did.token

    def meant(self, name: str) -> int:
        return resolve(self.works.chain, self.works.town.store, name, strict=True)

    def send(self, call: str, *arguments: object, by: Works | None = None) -> None:
        works = by or self.works
        works.chain.send("AssetRegistry", call, arguments, works.owner)


@pytest.fixture(scope="module")
def provider(market_town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Works:
    return open_works(market_town, sandbox, tmp_path_factory.mktemp("versions"), "versions")


@pytest.fixture(scope="module")
def rival(market_town: Town, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Works:
    return open_works(market_town, sandbox, tmp_path_factory.mktemp("rival"), "rival of versions")


@pytest.fixture
def line(provider: Works, request: pytest.FixtureRequest) -> Iterator[Line]:
    yield Line(provider, request.node.name.replace("_", "-")[5:60].strip("-"))


def test_a_slug_means_the_newest_version_that_is_sold_and_a_number_that_one(line: Line) -> None:
    one = line.publish("1.0.0")
    two = line.publish("1.10.0", one)
    three = line.publish("1.9.0", one)  # of a fork, and lower: numbers are compared as numbers
    owner = line.works.owner.address
    for name in (line.slug, f"{owner}/{line.slug}", f"{line.slug}@1.10.0"):
        assert line.meant(name) == two
    assert line.meant(f"{line.slug}@1.0.0") == line.meant(f"{owner}/{line.slug}@1.0.0") == one
    line.send("pauseAsset", two)
    assert line.meant(line.slug) == three
    line.send("pauseAsset", one)
    line.send("retire", three)
    assert line.meant(line.slug) == two  # none is sold: the newest
    found = versions_of(line.works.chain, line.works.town.store, two)
    assert [version.token for version in found] == [one, three, two]
    for name in (f"{line.slug}@1.0", f"{line.slug}@", f"{line.slug}@2.0.0"):
        if name.endswith("@"):
            assert line.meant(name) == two
            continue
        with pytest.raises(NotFoundError):
            line.meant(name)


def test_what_another_account_says_it_replaces_counts_for_nothing(line: Line, rival: Works) -> None:
    one = line.publish("1.0.0")
    forged = line.publish("2.0.0", one, by=rival)
    with pytest.raises(InputError, match="several datasets have that name"):
        line.meant(line.slug)
    assert line.meant(f"{line.works.owner.address}/{line.slug}") == one
    rival.chain.send(
        "AssetRegistry", "transferFrom", (rival.owner.address, line.works.owner.address, forged), rival.owner
    )
    # Pushed into the owner's hands it is still no version: the owner did not publish it.
    with pytest.raises(InputError, match="several datasets have that name"):
        line.meant(line.slug)
    for token in (one, forged):
        assert [found.token for found in versions_of(rival.chain, rival.town.store, token)] == [token]


def test_a_version_that_is_no_higher_is_another_dataset(line: Line) -> None:
    one = line.publish("1.0.0")
    line.publish("1.0.0", one)
    with pytest.raises(InputError, match="several datasets have that name"):
        line.meant(line.slug)


def test_a_version_published_by_whoever_sold_the_dataset_counts_for_nothing(line: Line, rival: Works) -> None:
    one = line.publish("1.0.0")
    line.send("transferFrom", line.works.owner.address, rival.owner.address, one)
    line.publish("2.0.0", one)
    with pytest.raises(InputError, match="several datasets have that name"):
        line.meant(line.slug)


@pytest.mark.slow
def test_what_was_bought_of_the_version_before_runs_on_its_data(line: Line, tmp_path: Path) -> None:
    works = line.works
    old = works.publish(COUNT, slug=line.slug)
    buyer = new_buyer(works.town, "of an old version")
    buyer.buy(old, 1)
    (works.home / "new.csv").write_bytes(TABLE + b"41,1.5,0\n")
    new = works.publisher.publish(
        works.home / "new.csv", card(line.slug, version="1.1.0"), CHOICE, lambda step: None,
        replaces=did_of(works.chain, old.token),
    )  # fmt: skip
    line.send("pauseAsset", old.token)
    assert line.meant(line.slug) == new.did.token
    with works.running():
        request = buyer.order(works, old, COUNT)
        await_state(works.town, request, State.submitted, State.settled)
    assert buyer.result(request) == {"result.json": b'{"rows":40}'}
