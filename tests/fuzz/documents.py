"""Good documents of every kind: what the mutations start from. Each is made by the code that writes it for real."""

from __future__ import annotations

import io
import json
import struct
import zlib
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from eth_abi.abi import encode
from eth_account import Account

from compute.formats.safetensors import Tensor, Weights, write_weights
from marketplace.chain.blocks import Log
from marketplace.chain.contracts import CONTRACTS
from marketplace.chain.deployment import Deployment
from marketplace.chain.events import ALL_EVENTS, EVENTS, layout
from marketplace.core import bundle
from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.core.dataset import (
    Column,
    ColumnKind,
    Creator,
    Environment,
    ListedAlgorithm,
    Listing,
    Responsible,
    TableFormat,
)
from marketplace.core.eip712 import Domain
from marketplace.core.events import Position
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.core.job import Progress, Request
from marketplace.core.offer import Approval, Offer, Release, Signed
from marketplace.core.spec import AlgorithmReference, FailureReport, ModelCard, Spec
from marketplace.core.terms import CustomAlgorithms, Purpose, Terms
from marketplace.keys import Keyring
from tests.support.chain import limits_of

OWNER = Account.from_key(b"\x01" * 32)
DID = Did(31_337, OWNER.address, asset_id(Kind.dataset, OWNER.address, bytes(32)))
DOMAIN = Domain(31_337, OWNER.address)
HEX = "0x" + "ab" * 32
REQUEST = Request(b"\x06" * 32, OWNER.address, 0, b"\x07" * 32, b"\x08" * 32)
PROGRESS = Progress(REQUEST.job_id, 3, "training", 1, 5)

LISTING = Listing(
    did=DID,
    slug="shuttle",
    name="Shuttle telemetry",
    description="Readings of a shuttle's radiator valves.\nOne row a second.",
    licence="CC-BY-4.0",
    creator=Creator("North Works", url="https://north.example/"),
    version="1.0.0",
    published=date(2026, 11, 23),
    header=Cid.of("raw", b"header"),
    terms=Cid.of("raw", b"terms"),
    format=TableFormat.csv,
    rows=39_278,
    columns=(Column("time", ColumnKind.integer), Column("anomaly", ColumnKind.boolean)),
    environments=(Environment("python-ml", ("torch==2.13.0", "numpy==2.4.6")),),
    personal_data=False,
    algorithms=(ListedAlgorithm("tabular-classifier", sha256(b"bundle"), Cid.of("raw", b"bundle")),),
    keywords=("industry", "anomaly"),
    modified=date(2026, 11, 24),
    responsible=Responsible(collection="By sensors.", biases=("One machine only.",)),
)

TERMS = (
    Terms(
        DID, OWNER.address, algorithms=(b"\1" * 32,), purposes=(Purpose.research,), expires_at=1_900_000_000
    ),
    Terms(DID, OWNER.address, custom_algorithms=CustomAlgorithms.approval, assignee=OWNER.address),
)


def signed(struct: Any) -> bytes:
    return Signed(struct, bytes(OWNER.unsafe_sign_hash(struct.digest(DOMAIN)).signature)).to_bytes()


SIGNED = tuple(
    signed(struct)
    for struct in (
        Offer(DID.token, OWNER.address, price=2_000_000, valid_until=1_900_000_000),
        Approval(DID.token, OWNER.address, b"\1" * 32, True, 5),
        Release(b"\1" * 32, b"\2" * 32),
    )
)

_REFERENCE = AlgorithmReference(name="count", digest=HEX, cid=str(Cid.of("raw", b"x")), key=HEX)
SPEC = Spec(
    algorithm=_REFERENCE,
    parameters={"epochs": 3, "target": "fault"},
    environment="python-ml",
    purpose="research",
    result_key=HEX,
)
REPORT = FailureReport(
    job=HEX, fault="algorithm", code="crashed", detail="exit code 1", started_at=1, finished_at=2
)
CARD = ModelCard(
    name="diagnosis",
    job=HEX,
    dataset=str(DID),
    algorithm=HEX,
    algorithm_name="count",
    output=HEX,
    purpose="research",
    metrics={"accuracy": 0.9},
)

PAPERS = b"""[own]
name = "North Works GmbH"
vat_id = "DE123456789"
vat_rate = "19"

[counterparties."0x1111111111111111111111111111111111111111"]
name = "A startup"
reverse_charge = true
"""

MANIFEST = b"""name = "ten-lines"
version = "1.2.3"
description = "counts rows"
entrypoint = "src/run.py"
mode = "single"
environment = "python-ml"
[limits]
memory_bytes = 1073741824
wall_seconds = 60
processes = 8
[[outputs]]
name = "count.json"
format = "json"
max_bytes = 1000
description = "rows"
[parameters]
type = "object"
required = ["target"]
[parameters.properties.target]
type = "string"
minLength = 1
[parameters.properties.epochs]
type = "integer"
minimum = 1
maximum = 100
default = 20
"""
BUNDLE = bundle.pack(
    {"algorithm.toml": MANIFEST.replace(b"src/run.py", b"run.py"), "run.py": b"print(1)\n", "lib/a.py": b""}
)

DEPLOYMENT = Deployment(
    chain_id=31_337,
    genesis=b"\x09" * 32,
    first_block=1,
    limits=limits_of(window=86_400, job_time=86_400),
    addresses={name: Account.from_key(bytes([40 + n]) * 32).address for n, name in enumerate(CONTRACTS)},
    code_hashes={name: bytes([n]) * 32 for n, name in enumerate(CONTRACTS)},
)

CSV = b'time,load,state,when\n0,1.5,"on, or so",2026-11-23\n1,,off,2026-11-24T10:00:00Z\n2,3e2,NA,\n'
OUTPUT_CSV = b'feature,weight,note\n"load, mean",0.5,""\nstate,-1e3,"a ""b"""\n'
PNG_CHUNKS = (
    (b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)),
    (b"tEXt", b"Comment\0made by hand"),
    (b"IDAT", zlib.compress(b"\0\1\2" * 2)),
    (b"IEND", b""),
)
PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    for kind, body in PNG_CHUNKS
)
WEIGHTS = write_weights(
    Weights({"a": Tensor("F32", (2,), struct.pack("<2f", 1, 2)), "b": Tensor("BOOL", (1,), b"\1")}, "pt")
)


def parquet() -> bytes:
    """A small table of four kinds of column, in two row groups."""
    table = pa.table(
        {
            "time": [1, 2, 3],
            "load": [0.5, None, 1.5],
            "state": ["on", "off", "on"],
            "fault": [True, False, None],
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=2)
    return buffer.getvalue()


def key_files() -> tuple[bytes, bytes]:
    """A wallet's file and a sealing key's."""
    with TemporaryDirectory() as folder:
        keyring = Keyring(Path(folder) / "keys", lambda: "a passphrase")
        keyring.new_wallet("seed")
        keyring.new_sealing_key("seed")
        wallet, sealing = (Path(folder) / "keys" / name for name in ("seed.json", "seed.sealing.json"))
        return wallet.read_bytes(), sealing.read_bytes()


def logs() -> dict[type, Log]:
    """A raw log of each event, all values small."""
    found = {}
    where = {kind: name for name, kinds in EVENTS.items() for kind in kinds}
    for kind in ALL_EVENTS:
        shape = layout(where[kind], kind)
        topics = (shape.topic, *(bytes(31) + b"\1" for _ in shape.indexed))
        plain = [abi_type for _, _, abi_type in shape.plain]
        data = encode(plain, [_small(abi_type) for abi_type in plain])
        at = Position(1, 0, bytes(32), bytes(32))
        found[kind] = Log(at, DEPLOYMENT.addresses[where[kind]], topics, data)
    return found


def _small(abi_type: str) -> Any:
    if abi_type.startswith("("):
        return tuple(_small(part) for part in abi_type[1:-1].split(","))
    if abi_type.endswith("[]"):
        return [_small(abi_type[:-2])]
    plain = {"address": OWNER.address, "bytes32": b"\1" * 32, "bytes": b"abc", "string": "abc", "bool": True}
    return plain.get(abi_type, 1)


def rpc_answer(result: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


_LOG = {
    "address": OWNER.address,
    "topics": [HEX],
    "data": "0x",
    "blockNumber": "0x1",
    "logIndex": "0x0",
    "blockHash": HEX,
    "transactionHash": HEX,
    "removed": False,
}
BLOCK_ANSWER = rpc_answer(
    {"number": "0x1", "hash": HEX, "parentHash": HEX, "timestamp": "0x5", "baseFeePerGas": "0x7"}
)
LOGS_ANSWER = rpc_answer([_LOG])
RECEIPT_ANSWER = rpc_answer(
    {
        "transactionHash": HEX,
        "blockNumber": "0x1",
        "blockHash": HEX,
        "status": "0x1",
        "gasUsed": "0x5208",
        "from": "0x" + "11" * 20,
        "effectiveGasPrice": "0x3b9aca00",
        "contractAddress": None,
        "logs": [_LOG],
    }
)
ERROR_ANSWER = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "error": {"code": 3, "message": "reverted", "data": "0x1234"}}
).encode()


SIGN_IN = """https://example.com:3388 wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Expiration Time: 2021-09-30T17:25:24.123+02:00
Not Before: 2021-09-30T16:25:24Z
Request ID: a%20b@1
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json"""
