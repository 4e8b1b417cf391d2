"""A node's keys are changed, after a theft or from time to time: new ones open the data, old ones answer nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from compute.provider.rotation import rotate
from compute.sandbox import Sandbox
from marketplace.chain.client import Chain
from marketplace.core.job import State
from marketplace.errors import IntegrityError, NotFoundError, UnavailableError
from marketplace.keys import Keyring
from tests.kill.stage import Stage, finish, staged
from tests.support.buyers import report_of
from tests.support.catalogue import Town
from tests.support.works import COUNT_ROWS, algorithm

COUNT = algorithm("count", COUNT_ROWS)


@pytest.fixture
def stage(town: Town, sandbox: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    with staged(town, sandbox, tmp_path, request.node.name[:60], COUNT) as stage:
        yield stage


def rotated(stage: Stage) -> tuple[str, bytes]:
    """Changes the keys; the new node's address and sealing key, once the chain and the home agree on them."""
    chain, keyring, owner = stage.town.market.chain, stage.home.keyring, stage.works.owner
    made = rotate(chain, stage.works.vault, keyring, owner, chain.isolation_of(owner.address))
    assert (made.wrapped, made.left) == ([stage.dataset.token], [])
    assert chain.node_of(owner.address) == made.node == keyring.wallets()["node"]
    assert chain.sealing_key_of(owner.address) == made.sealing == keyring.sealing_keys()["sealing"]
    return made.node, made.sealing


def opened(stage: Stage, private: bytes) -> bytes:
    vault, chain = stage.works.vault, stage.town.market.chain
    record = vault.record(stage.dataset.token)
    return b"".join(vault.open(record, private, domain=chain.domain, owner=stage.works.owner.address))


def test_new_keys_open_the_data_and_the_old_ones_are_put_aside(stage: Stage) -> None:
    old = stage.home.keyring.sealing_key("sealing")
    before, hot = opened(stage, old.private), stage.home.keyring.wallets()["node"]
    node, sealing = rotated(stage)
    assert node != hot and sealing != old.public
    assert opened(stage, stage.home.keyring.sealing_key("sealing").private) == before
    with pytest.raises(IntegrityError):
        opened(stage, old.private)
    aside = Keyring(stage.home.path / "keys" / "replaced", lambda: "a test's passphrase")
    assert list(aside.wallets().values()) == [hot]
    assert list(aside.sealing_keys().values()) == [old.public]
    assert sorted(stage.home.keyring.wallets()) == ["node", "works"]


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupted_change_goes_on_where_it_was(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The endpoint is away when the keys are to be registered; data that was wrapped for them by then opens on."""

    def away(*_: object) -> None:
        raise UnavailableError("the RPC endpoint gave no answer")

    with monkeypatch.context() as patch:
        patch.setattr(Chain, "send", away)
        for _ in range(times):
            with pytest.raises(UnavailableError):
                rotated(stage)
    waiting = stage.home.keyring.wallets()["node-next"]
    assert rotated(stage)[0] == waiting


def test_a_change_that_ended_between_its_two_files_is_repeated(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise UnavailableError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(Keyring, "replace_wallet", cut)
        with pytest.raises(UnavailableError):
            rotated(stage)
    rotated(stage)


def test_data_whose_key_was_lost_is_named_and_its_jobs_are_paid_back(stage: Stage) -> None:
    chain, keyring, owner = stage.town.market.chain, stage.home.keyring, stage.works.owner
    (stage.home.path / "keys" / "sealing.sealing.json").unlink()
    keyring.new_sealing_key("sealing")  # as `node init` makes one where there is none
    made = rotate(chain, stage.works.vault, keyring, owner, chain.isolation_of(owner.address))
    assert (made.wrapped, made.left) == ([], [stage.dataset.token])
    works = replace(stage.works, private=keyring.sealing_key("sealing").private)
    stage.town.market.embedded.faucet(made.node)
    finish(stage, State.rejected)
    stage.buyer.buy(stage.dataset)
    again = replace(stage, works=works, request=stage.buyer.order(works, stage.dataset, COUNT), killed=[])
    finish(again, State.failed)
    assert report_of(stage.town, again.request).fault == "node"
    price = stage.dataset.offer.price
    assert chain.balance(stage.buyer.account.address) == 2 * price


def test_a_home_without_a_node_has_nothing_to_change(stage: Stage, tmp_path: Path) -> None:
    chain, works = stage.town.market.chain, stage.works
    with pytest.raises(NotFoundError, match="no node yet"):
        rotate(chain, works.vault, Keyring(tmp_path / "none", lambda: "x"), works.owner, 0)


@pytest.mark.slow
def test_open_jobs_are_kept_or_paid_back_and_the_next_ones_settled_under_the_new_keys(stage: Stage) -> None:
    asked = stage.home.run("node", "rotate", "--json")
    assert asked.returncode == 1 and "jobs are open" in asked.stderr
    forced = stage.home.run("node", "rotate", "--now", "--json")
    assert forced.returncode == 0, forced.stderr
    assert json.loads(forced.stdout)["open_jobs"] == ["0x" + stage.request.job_id.hex()]
    finish(stage, State.rejected)
    price = stage.dataset.offer.price
    assert stage.town.market.chain.balance(stage.buyer.account.address) == price
    works = replace(stage.works, private=stage.home.keyring.sealing_key("sealing").private)
    stage.buyer.buy(stage.dataset)
    again = replace(stage, works=works, request=stage.buyer.order(works, stage.dataset, COUNT), killed=[])
    finish(again, State.settled)
    assert again.buyer.result(again.request)["result.json"] == b'{"rows":200}'
