"""A deployment file names one market on one chain, and a check tells whether it is still that one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from marketplace.chain.client import Chain
from marketplace.chain.contracts import CONTRACTS
from marketplace.chain.deploy import created_address, deploy
from marketplace.chain.deployment import Deployment, check_deployment
from marketplace.chain.embedded import EmbeddedChain
from marketplace.core.canonical import canonical, sha256
from marketplace.errors import InputError, RefusedError
from tests.chain.conftest import LyingRpc
from tests.support.chain import RunningMarket, account_named, limits_of, powers_of


@pytest.fixture
def snapshot(market: RunningMarket) -> Iterator[None]:
    """Takes back what a test does to the chain."""
    number = market.embedded.rpc.request("evm_snapshot")
    yield
    market.embedded.rpc.request("evm_revert", number)


def changed(deployment: Deployment, **changes: Any) -> bytes:
    return canonical(json.loads(deployment.to_bytes()) | changes)


def test_a_deployment_reads_back_from_its_bytes(market: RunningMarket) -> None:
    deployment = market.chain.deployment
    again = Deployment.parse(deployment.to_bytes())
    assert again == deployment
    assert again.digest == sha256(deployment.to_bytes())
    assert (
        len(
            {
                again.token,
                again.market,
                again.credits,
                again.participants,
                again.asset_registry,
                again.authority,
            }
        )
        == 6
    )


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"version": 1}, "version"),
        ({"limits": {}}, "minBond"),
        ({"limits": {"window": 1}}, "limits"),
        ({"chainId": "31337"}, "chainId"),
        ({"chainId": True}, "chainId"),
        ({"firstBlock": -1}, "firstBlock"),
        ({"genesis": "00"}, "genesis"),
        ({"genesis": "zz" * 32}, "genesis"),
        ({"more": 1}, "more"),
        ({"contracts": {}}, "Market"),
        ({"contracts": []}, "contracts"),
        ({"contracts": None}, "contracts"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(
    market: RunningMarket, changes: dict[str, Any], names: str
) -> None:
    with pytest.raises(InputError, match=names):
        Deployment.parse(changed(market.chain.deployment, **changes))


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"address": "0x00", "codeHash": "00" * 32}, "Market has no address"),
        ({"address": "0x" + "ab" * 20, "codeHash": "00" * 32}, "checksummed"),
        ({"address": "0x" + "0" * 40, "codeHash": "00"}, "code hash"),
        ({"address": "0x" + "0" * 40}, "codeHash"),
        ("0x" + "0" * 40, "contracts|Market"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused_by_name(
    market: RunningMarket, entry: Any, names: str
) -> None:
    contracts = json.loads(market.chain.deployment.to_bytes())["contracts"] | {"Market": entry}
    with pytest.raises(InputError, match=names):
        Deployment.parse(changed(market.chain.deployment, contracts=contracts))


@pytest.mark.parametrize(
    "file", [b"", b"{", b"[]", b"\xff\xfe", b'{"a":1,"a":1}', b"[" * 100_000, b"x" * 300_000]
)
def test_a_file_that_is_no_deployment_is_refused(file: bytes) -> None:
    with pytest.raises(InputError, match="deployment file"):
        Deployment.parse(file)


def test_a_fresh_deployment_checks_out_line_by_line(market: RunningMarket) -> None:
    lines = check_deployment(market.chain.rpc, market.chain.deployment)
    assert all(line.ok for line in lines)
    assert {f"code of {name}" for name in CONTRACTS} - {line.name for line in lines} == {"code of TestEuro"}
    assert {"code of token", "Market.window", "AssetRegistry.credits"} <= {line.name for line in lines}


@pytest.mark.usefixtures("snapshot")
def test_changed_code_is_seen(market: RunningMarket) -> None:
    code = market.chain.rpc.request("eth_getCode", market.chain.deployment.market, "latest")
    market.embedded.rpc.request("anvil_setCode", market.chain.deployment.market, code[:-2] + "00")
    wrong = [line.name for line in check_deployment(market.chain.rpc, market.chain.deployment) if not line.ok]
    assert wrong == ["code of Market"]


def test_another_token_than_the_file_names_is_seen(market: RunningMarket) -> None:
    twin = deploy(market.embedded.url, market.deployer, limits=limits_of(), powers=powers_of(market.deployer))
    addresses = {**market.chain.deployment.addresses, "TestEuro": twin.token}
    mixed = replace(market.chain.deployment, addresses=addresses, limits=limits_of(window=4))
    wrong = {line.name for line in check_deployment(market.chain.rpc, mixed) if not line.ok}
    assert wrong == {"Market.token", "Market.window"}


def test_credits_stand_where_the_registry_expects_them(market: RunningMarket) -> None:
    first = deploy(
        market.embedded.url,
        market.deployer,
        limits=limits_of(window=1, job_time=1),
        powers=powers_of(market.buyer),
        token=market.chain.deployment.token,
    )
    with Chain(market.embedded.url, first, confirmations=1, timeout=20) as chain:
        assert chain.call("AssetRegistry", "credits") == first.credits
        for contract in ("Market", "AssetRegistry", "ParticipantRegistry"):
            assert chain.call(contract, "authority") == first.authority
        chain.send("Market", "setPaused", (True,), market.buyer)
        with pytest.raises(RefusedError, match="does not have the power"):
            chain.send("Market", "setPaused", (False,), market.deployer)
        assert chain.call("Authority", "hasRole", 0, market.deployer.address) == (False, 0)
        assert chain.call("Market", "token") == market.chain.deployment.token
        assert first.first_block > market.chain.deployment.first_block


def test_a_created_address_is_that_of_the_yellow_paper() -> None:
    # The example that every client's test suite has.
    deployer = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
    assert created_address(deployer, 0) == "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"
    assert created_address(deployer, 1) == "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"


@pytest.mark.parametrize(("window", "job_time"), [(0, 600), (3, 0), (31_536_001, 600)])
def test_a_window_that_the_market_refuses_is_told(market: RunningMarket, window: int, job_time: int) -> None:
    with pytest.raises(RefusedError, match=r"deploying Market was refused: .* seconds are no window"):
        deploy(
            market.embedded.url,
            market.deployer,
            limits=limits_of(window=window, job_time=job_time),
            powers=powers_of(market.deployer),
            token=market.chain.deployment.token,
        )


def test_a_deployer_without_ether_is_told_so(market: RunningMarket) -> None:
    poor = account_named("poor deployer")
    with pytest.raises(RefusedError, match=rf"gas that the account cannot pay; got {poor.address}"):
        deploy(market.embedded.url, poor, limits=limits_of(), powers=powers_of(poor))


def test_a_chain_with_another_genesis_is_refused(market: RunningMarket) -> None:
    with EmbeddedChain() as other, pytest.raises(RefusedError, match="a deployment file of another chain"):
        Chain(other.url, market.chain.deployment, confirmations=1, timeout=5)


def test_a_wrong_chain_id_is_refused(market: RunningMarket, liar: LyingRpc) -> None:
    liar.tampers["eth_chainId"] = lambda _: "0x1"
    with pytest.raises(RefusedError, match="got chain id 1; expected chain id 31337"):
        Chain(liar.url, market.chain.deployment, confirmations=1, timeout=5)


def test_a_deployment_file_without_a_market_on_its_chain_is_refused(market: RunningMarket) -> None:
    nowhere = {**market.chain.deployment.addresses, "Market": market.buyer.address}
    with pytest.raises(RefusedError, match="no code"):
        Chain(
            market.embedded.url,
            replace(market.chain.deployment, addresses=nowhere),
            confirmations=1,
            timeout=5,
        )
