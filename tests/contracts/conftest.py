"""A chain of its own (Anvil) with the committed artifacts deployed on it.

Keys and times are fixed, so addresses, signatures and gas are the same in every run.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak
from requests import Session
from web3 import HTTPProvider, Web3
from web3.contract import Contract

ROOT = Path(__file__).resolve().parents[2]
ANVIL = ROOT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
ARTIFACTS = ROOT / "marketplace/chain/artifacts"
START = 1_800_000_000  # seconds; 2027-01-15
LIMITS = (3_600, 7_200, 10_800, 100_000_000, 1_000_000, 10_000_000, 4_000_000)
"""IMarket.Rules: window, job time, dispute time in seconds; bond, penalty, challenger's bond, judge's fee in units."""
NAMES = (
    "deployer",
    "owner",
    "node",
    "buyer",
    "stranger",
    "pauser",
    "governor",
    "arbiter",
    "verifier",
    "issuer",
)
OFFER_TYPES = (
    "uint256 assetId,address provider,address buyer,uint48 price,uint16 maxUses,uint16 termDays,uint40 validUntil,"
    "uint32 epoch,address arbiter,address verifier,uint16 failureFeeBps,uint16 royaltyBps,uint48 royaltyFloor,"
    "uint16 maxContributors,uint16 minCreditBps,bytes32 requiredRole,bytes32 termsDigest,"
    "bytes32 budgetCost,bytes32 salt"
)
RECEIPT_TYPES = (
    "bytes32 jobId,bytes32 inputRoot,bytes32 outputDigest,bytes32 keyDigest,bytes32 environmentDigest,"
    "uint8 isolation,uint40 startedAt,uint40 finishedAt"
)


def digest(text: str) -> bytes:
    """A digest like any other: 32 bytes."""
    return bytes(keccak(text=text))


def client(url: str) -> Web3:
    """web3 without its second thoughts: a question for the chain's id before each call, proxies of the environment."""
    session = Session()
    session.trust_env = False
    w3 = Web3(HTTPProvider(url, request_kwargs={"timeout": 30}, session=session))
    w3.middleware_onion.remove("validation")
    return w3


def fields(types: str) -> list[dict[str, str]]:
    """EIP-712 members from their Solidity text."""
    pairs = [member.split(" ") for member in types.split(",")]
    return [{"name": name, "type": kind} for kind, name in pairs]


class World:
    """Deployed contracts, named accounts, and the calls that tests make again and again."""

    def __init__(self, w3: Web3) -> None:
        self.w3 = w3
        self.people: dict[str, LocalAccount] = {name: Account.from_key(digest(name)) for name in NAMES}
        self.people["provider"] = self.people["owner"]  # an offer's provider owns its asset
        for person in self.people.values():
            self.rpc("anvil_setBalance", person.address, hex(10**20))
        self.assets: dict[str, int] = {}
        self.warp(START)
        self.euro = self.deploy("TestEuro")
        self.forwarder = self.deploy("Forwarder")
        authority, participants, registry, market, credits = (
            self.create_address(2 + place) for place in range(5)
        )
        powers = self.at("governor"), self.at("pauser"), self.at("governor"), 0
        self.authority = self.deploy("Authority", *powers, market, registry, participants)
        self.participants = self.deploy("ParticipantRegistry", authority)
        self.registry = self.deploy("AssetRegistry", credits, authority)
        self.market = self.deploy(
            "Market", self.euro.address, registry, participants, authority, self.forwarder.address, LIMITS
        )
        self.credits = self.deploy(
            "ContributionCredits", self.market.address, self.registry.address, self.forwarder.address
        )
        self.errors = {
            "0x"
            + keccak(text=f"{entry['name']}({','.join(part['type'] for part in entry['inputs'])})")[
                :4
            ].hex(): str(entry["name"])
            for entry in self.market.abi
            if entry["type"] == "error"
        }

    # The chain

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of one RPC call."""
        answer = self.w3.provider.make_request(method, list(params))  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer["result"]

    def at(self, name: str) -> str:
        """The address of a named account."""
        return str(self.people[name].address)

    def now(self) -> int:
        """Seconds of the latest block."""
        return int(self.w3.eth.get_block("latest")["timestamp"])

    def warp(self, seconds: int) -> None:
        """The next block, and what calls see, is at `seconds`."""
        self.rpc("evm_setNextBlockTimestamp", hex(seconds))
        self.rpc("evm_mine")

    @contextmanager
    def sandbox(self) -> Iterator[None]:
        """Whatever happens inside is undone."""
        snapshot = self.rpc("evm_snapshot")
        try:
            yield
        finally:
            assert self.rpc("evm_revert", snapshot)

    def create_address(self, nonce: int) -> str:
        """Where the deployer's transaction of that nonce creates its contract; nonces below 128."""
        encoded = bytes([0xD6, 0x94]) + bytes.fromhex(self.at("deployer")[2:]) + bytes([nonce])
        return Web3.to_checksum_address(keccak(encoded)[-20:])

    def deploy(self, name: str, *arguments: Any) -> Contract:
        """A contract from its committed artifact."""
        artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
        factory = self.w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        self.rpc("evm_setNextBlockTimestamp", hex(self.now() + 1))
        sent = factory.constructor(*arguments).transact({"from": self.at("deployer")})
        address = self.mined(sent)["contractAddress"]
        assert address is not None
        contract = self.w3.eth.contract(address=address, abi=artifact["abi"])
        assert isinstance(contract, Contract)
        return contract

    def send(self, name: str, call: Any) -> Any:
        """The receipt of a transaction of a named account; the next second."""
        self.rpc("evm_setNextBlockTimestamp", hex(self.now() + 1))
        sent = call.transact({"from": self.at(name), "gas": 5_000_000})
        receipt = self.mined(sent)
        assert receipt["status"] == 1
        return receipt

    def mined(self, sent: Any) -> Any:
        """The receipt of a transaction once it is mined; Anvil mines shortly after it answers."""
        return self.w3.eth.wait_for_transaction_receipt(sent, timeout=30, poll_latency=0.005)

    def attempt(self, name: str, data: str) -> str | None:
        """The name of the custom error that calldata to the Market reverts with, or None."""
        call = {"from": self.at(name), "to": self.market.address, "data": data}
        answer: Any = self.w3.provider.make_request("eth_call", [call, "latest"])  # type: ignore[arg-type]
        return self.errors[answer["error"]["data"][:10]] if "error" in answer else None

    def send_raw(self, name: str, data: str) -> None:
        """Calldata to the Market, mined in the next second."""
        self.rpc("evm_setNextBlockTimestamp", hex(self.now() + 1))
        call = {"from": self.at(name), "to": self.market.address, "data": data, "gas": hex(1_000_000)}
        sent = self.rpc("eth_sendTransaction", call)
        assert self.mined(sent)["status"] == 1

    # Messages

    def domain(self) -> dict[str, Any]:
        """EIP-712 domain of the Market."""
        return {
            "name": "Steelyard Market",
            "version": "1",
            "chainId": 31_337,
            "verifyingContract": self.market.address,
        }

    def sign(self, name: str, kind: str, types: str, message: dict[str, Any], **domain: Any) -> bytes:
        """65 bytes over an EIP-712 message to the Market."""
        signed = self.people[name].sign_typed_data(self.domain() | domain, {kind: fields(types)}, message)
        return bytes(signed.signature)

    def sign_offer(self, name: str, offer: dict[str, Any], **domain: Any) -> bytes:
        """65 bytes over an offer."""
        return self.sign(name, "Offer", OFFER_TYPES, offer, **domain)

    def sign_receipt(self, name: str, receipt: dict[str, Any], **domain: Any) -> bytes:
        """65 bytes over a receipt."""
        return self.sign(name, "Receipt", RECEIPT_TYPES, receipt, **domain)

    def digest_receipt(self, receipt: dict[str, Any]) -> bytes:
        """What the node signs, by eth-account's own EIP-712."""
        domain = self.domain()
        signable = encode_typed_data(domain, {"Receipt": fields(RECEIPT_TYPES)}, receipt)
        return bytes(keccak(b"\x19" + signable.version + signable.header + signable.body))

    def sign_permit(self, name: str, value: int, deadline: int) -> tuple[int, int, int, bytes, bytes]:
        """The Market's Permit tuple for its allowance of `value`."""
        owner = self.at(name)
        message = {
            "owner": owner,
            "spender": self.market.address,
            "value": value,
            "nonce": self.euro.functions.nonces(owner).call(),
            "deadline": deadline,
        }
        kinds = fields("address owner,address spender,uint256 value,uint256 nonce,uint256 deadline")
        domain = {
            "name": "Test Euro",
            "version": "1",
            "chainId": 31_337,
            "verifyingContract": self.euro.address,
        }
        signed = self.people[name].sign_typed_data(domain, {"Permit": kinds}, message)
        return value, deadline, signed.v, signed.r.to_bytes(32), signed.s.to_bytes(32)

    def offer(self, asset: int, **changes: Any) -> dict[str, Any]:
        """An offer with every field that is enforced set as usual."""
        zero = {entry["name"]: 0 for entry in fields(OFFER_TYPES)}
        nobody = "0x" + "00" * 20
        usual = {
            "assetId": asset,
            "provider": self.at("provider"),
            "buyer": nobody,
            "price": 20_000_001,
            "maxUses": 1_000,
            "termDays": 30,
            "validUntil": START + 86_400,
            "arbiter": self.at("arbiter"),
            "verifier": self.at("verifier"),
            "failureFeeBps": 1_000,
            "requiredRole": bytes(32),
            "termsDigest": digest("terms"),
            "budgetCost": bytes(32),
            "salt": digest("salt"),
        }
        return zero | usual | changes

    def receipt(self, job: bytes, wrapped: bytes, **changes: Any) -> dict[str, Any]:
        """A receipt that fits a job and a wrapped key."""
        usual = {
            "jobId": job,
            "inputRoot": digest("input"),
            "outputDigest": digest("output"),
            "keyDigest": bytes(keccak(wrapped)),
            "environmentDigest": digest("environment"),
            "isolation": 31,
            "startedAt": START,
            "finishedAt": START + 60,
        }
        return usual | changes

    # Steps of a trade

    def register_node(self) -> None:
        """The provider's node and bond, as they are in most tests."""
        self.send("owner", self.participants.functions.setNode(self.at("node"), digest("sealing key"), 31))
        self.fund("owner", LIMITS[3])
        self.send("owner", self.market.functions.depositBond(LIMITS[3]))

    def publish(self, salt: str = "dataset") -> int:
        """A dataset of the owner; returns its id."""
        self.send("owner", self.registry.functions.publish(1, digest(salt), digest("listing")))
        self.assets[salt] = int(self.registry.functions.assetIdOf(1, self.at("owner"), digest(salt)).call())
        return self.assets[salt]

    def fund(self, name: str, amount: int) -> None:
        """Euros in a named account, all of which the Market may take."""
        self.send(name, self.euro.functions.mint(self.at(name), amount))
        self.send(name, self.euro.functions.approve(self.market.address, amount))

    def buy(self, offer: dict[str, Any], uses: int, name: str = "buyer") -> bytes:
        """A grant on an offer that the owner signs; returns the offer's digest."""
        self.fund(name, uses * offer["price"])
        values = tuple(offer.values())
        self.send(name, self.market.functions.buy(values, self.sign_offer("owner", offer), uses))
        return bytes(self.market.functions.digestOf(values).call())

    def request(
        self, agreement: bytes, index: int, name: str = "buyer"
    ) -> tuple[bytes, str, int, bytes, bytes]:
        """The Market's Request tuple."""
        return agreement, self.at(name), index, digest("algorithm"), digest("spec")

    def open(self, agreement: bytes, index: int, name: str = "buyer") -> bytes:
        """Opens a job; returns its id."""
        request = self.request(agreement, index, name)
        self.send(name, self.market.functions.openJob(agreement, index, request[3], request[4]))
        return bytes(self.market.functions.jobIdOf(request).call())

    def submit_call(self, job: bytes, signer: str = "node", **changes: Any) -> Any:
        """The call that delivers a receipt, not yet sent."""
        wrapped = (digest("wrapped") * 3)[:80]
        receipt = self.receipt(job, wrapped, **changes)
        signature = self.sign_receipt(signer, receipt)
        return self.market.functions.submit(tuple(receipt.values()), signature, wrapped)


def listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that Anvil took, from its log."""
    for _ in range(600):
        if found := re.search(r"Listening on (127\.0\.0\.1:\d+)", log.read_text()):
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"Anvil did not listen within 30 s: {log.read_text()}")


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One chain for all tests of this folder; every test works in a snapshot of it (`world`)."""
    log = (
        tmp_path_factory.mktemp("anvil") / "log"
    )  # a file: a pipe that nobody reads would fill and stop Anvil
    command = [str(ANVIL), "--host", "127.0.0.1", "--port", "0", "--hardfork", "cancun", "--auto-impersonate"]
    command += ["--timestamp", str(START - 1), "--gas-price", "0", "--base-fee", "0"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output) as process:
        try:
            address = listening(process, log)
            yield World(client(f"http://{address}"))
        finally:
            process.terminate()


@pytest.fixture
def world(chain: World) -> Iterator[World]:
    """The deployed contracts with a node registered, as they were before the last test."""
    with chain.sandbox():
        chain.register_node()
        yield chain
