"""Where the contracts stand on a chain, and whether they are still those.

A deployment file is the trust root of everything that is read from a chain. It names chain and genesis, the addresses,
and a hash of each contract's code with its immutables set to zero; `check_deployment` compares the immutables by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, Self

from eth_utils.address import is_checksum_address

from marketplace.chain.blocks import read_block
from marketplace.chain.contracts import (
    CONTRACTS,
    ContractName,
    artifact,
    decode_result,
    encode_call,
)
from marketplace.chain.rpc import Rpc, data, quantity
from marketplace.core.canonical import MAX_DOCUMENT, canonical, exact_fields, hex_bytes, parse_json, sha256
from marketplace.core.ledger import Rules
from marketplace.core.limits import Limits
from marketplace.errors import InputError, IntegrityError, RefusedError

DEVELOPMENT_CHAIN = 31_337
_VERSION = 3
_WHAT = "the deployment file"
_LIMITS = {
    field.name: "".join(
        word.capitalize() if place else word for place, word in enumerate(field.name.split("_"))
    )
    for field in fields(Limits)
}
"""Fields of Limits by their names in the contract and in the file."""


@dataclass(frozen=True)
class Deployment:
    """Where the contracts stand.

    genesis: hash of block 0. addresses: checksummed, by contract name. code_hashes: keccak256 of the code with masked
    immutables, by contract name. limits: what the Market fixes for ever. first_block: no event of ours is older.
    """

    chain_id: int
    genesis: bytes
    first_block: int
    limits: Limits
    addresses: Mapping[ContractName, str]
    code_hashes: Mapping[ContractName, bytes]

    @property
    def token(self) -> str:
        return self.addresses["TestEuro"]

    @property
    def forwarder(self) -> str:
        return self.addresses["Forwarder"]

    @property
    def authority(self) -> str:
        return self.addresses["Authority"]

    @property
    def asset_registry(self) -> str:
        return self.addresses["AssetRegistry"]

    @property
    def participants(self) -> str:
        return self.addresses["ParticipantRegistry"]

    @property
    def credits(self) -> str:
        return self.addresses["ContributionCredits"]

    @property
    def market(self) -> str:
        return self.addresses["Market"]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical file: what opens every audit."""
        return sha256(self.to_bytes())

    @property
    def rules(self) -> Rules:
        """What a replay of the deployment's events holds them to."""
        return Rules(
            self.chain_id, self.market, self.asset_registry, self.participants, self.credits, self.limits
        )

    def to_bytes(self) -> bytes:
        """The file: canonical JSON. The token stands there under the name "token", whatever contract it is."""
        contracts = {
            _file_name(name): {"address": self.addresses[name], "codeHash": self.code_hashes[name].hex()}
            for name in CONTRACTS
        }
        return canonical(
            {
                "version": _VERSION,
                "chainId": self.chain_id,
                "genesis": self.genesis.hex(),
                "firstBlock": self.first_block,
                "limits": {_LIMITS[name]: value for name, value in asdict(self.limits).items()},
                "contracts": contracts,
            }
        )

    @classmethod
    def parse(cls, file: bytes) -> Self:
        """Raises InputError that names what is wrong."""
        numbers = {"version": int, "chainId": int, "firstBlock": int}
        found = exact_fields(
            parse_json(file, what=_WHAT),
            {**numbers, "genesis": str, "contracts": dict, "limits": dict},
            what=_WHAT,
        )
        if found["version"] != _VERSION:
            raise InputError(f"{_WHAT} has another version", got=found["version"], expected=_VERSION)
        limits = exact_fields(found["limits"], dict.fromkeys(_LIMITS.values(), int), what=f"{_WHAT}'s limits")
        for name, value in [*((name, found[name]) for name in numbers), *limits.items()]:
            if value < 0:
                raise InputError(f"{_WHAT} has a negative {name}", got=value, expected="0 or more")
        contracts = exact_fields(
            found["contracts"], {_file_name(name): dict for name in CONTRACTS}, what=_WHAT
        )
        parsed = {name: _contract(name, contracts[_file_name(name)]) for name in CONTRACTS}
        return cls(
            found["chainId"],
            hex_bytes(found["genesis"], 32, what=f"{_WHAT}'s genesis"),
            found["firstBlock"],
            Limits(**{name: limits[key] for name, key in _LIMITS.items()}),
            {name: address for name, (address, _) in parsed.items()},
            {name: code for name, (_, code) in parsed.items()},
        )


def read_deployment(path: Path) -> Deployment:
    """The deployment file. Raises InputError where it cannot be read or does not parse."""
    try:
        with path.open("rb") as file:
            return Deployment.parse(file.read(MAX_DOCUMENT + 1))
    except OSError as error:
        raise InputError(
            "no deployment file can be read",
            got=f"{path}: {error.strerror}",
            do="Copy the market's deployment.json there, or name it by STEELYARD_DEPLOYMENT.",
        ) from None


def _file_name(name: ContractName) -> str:
    return "token" if name == "TestEuro" else name


def _contract(name: ContractName, value: Any) -> tuple[str, bytes]:
    what = f"{_WHAT}'s {_file_name(name)}"
    found = exact_fields(value, {"address": str, "codeHash": str}, what=what)
    if not is_checksum_address(found["address"]):
        raise InputError(f"{what} has no address", got=found["address"], expected="a checksummed address")
    return found["address"], hex_bytes(found["codeHash"], 32, what=f"{what} code hash")


class Comparison(NamedTuple):
    """One line of a check."""

    name: str
    expected: str
    got: str

    @property
    def ok(self) -> bool:
        return self.expected == self.got


def genesis(rpc: Rpc) -> bytes:
    """The hash of block 0: what tells two chains of one chain id apart."""
    block = read_block(rpc, 0)
    if block is None:
        raise IntegrityError("the RPC endpoint has no block 0", do="Use another endpoint.")
    return block.hash


def code_hash(rpc: Rpc, name: ContractName, address: str) -> bytes:
    return artifact(name).code_hash(data(rpc.request("eth_getCode", address, "latest"), "code"))


def require_same_chain(rpc: Rpc, deployment: Deployment) -> None:
    """Raises RefusedError where the endpoint serves another chain than the deployment file names."""
    chain_id = quantity(rpc.request("eth_chainId"), "chain id")
    if chain_id != deployment.chain_id:
        raise _another_chain(f"chain id {chain_id}", f"chain id {deployment.chain_id}")
    found = genesis(rpc)
    if found != deployment.genesis:
        raise _another_chain(f"genesis 0x{found.hex()}", f"genesis 0x{deployment.genesis.hex()}")
    if not data(rpc.request("eth_getCode", deployment.market, "latest"), "code"):
        raise _another_chain("no code", f"the Market at {deployment.market}")


def _another_chain(got: str, expected: str) -> RefusedError:
    return RefusedError(
        "a deployment file of another chain",
        got=got,
        expected=expected,
        do="Check STEELYARD_RPC and STEELYARD_DEPLOYMENT: both must be of one chain.",
    )


_WIRING: tuple[tuple[ContractName, str, str], ...] = (
    ("Market", "token", "token"),
    ("Market", "registry", "asset_registry"),
    ("Market", "participants", "participants"),
    ("Market", "authority", "authority"),
    ("Market", "trustedForwarder", "forwarder"),
    *(("Market", view, f"limits.{name}") for name, view in _LIMITS.items()),
    ("ParticipantRegistry", "authority", "authority"),
    ("AssetRegistry", "authority", "authority"),
    ("AssetRegistry", "credits", "credits"),
    ("ContributionCredits", "market", "market"),
    ("ContributionCredits", "registry", "asset_registry"),
    ("ContributionCredits", "trustedForwarder", "forwarder"),
)


def check_deployment(rpc: Rpc, deployment: Deployment) -> list[Comparison]:
    """Every contract's code and immutables on chain beside what the file says; the caller looks at each `ok`.

    Raises RefusedError for a deployment file of another chain.
    """
    require_same_chain(rpc, deployment)
    codes = [
        Comparison(
            f"code of {_file_name(name)}",
            f"0x{deployment.code_hashes[name].hex()}",
            f"0x{code_hash(rpc, name, deployment.addresses[name]).hex()}",
        )
        for name in CONTRACTS
    ]
    if not all(line.ok for line in codes):
        return codes  # what other code says of its immutables means nothing
    wires = [
        Comparison(
            f"{name}.{view}", str(attrgetter(field)(deployment)), str(_view(rpc, deployment, name, view))
        )
        for name, view, field in _WIRING
    ]
    return codes + wires


def _view(rpc: Rpc, deployment: Deployment, name: ContractName, view: str) -> Any:
    call = {"to": deployment.addresses[name], "data": "0x" + encode_call(name, view, ()).hex()}
    return decode_result(name, view, data(rpc.request("eth_call", call, "latest"), f"{name}.{view}"))
