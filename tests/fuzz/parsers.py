"""Every way in that takes what somebody else wrote: documents, blocks, names, answers of endpoints, tables, outputs."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from typing import Any

from compute.formats import rewrite
from compute.provider import csv_table, parquet_table
from compute.provider.lines import Lines
from compute.sandbox.logs import clean
from marketplace.accounts.reach import Endpoint
from marketplace.api import cursors
from marketplace.catalogue.search import Place
from marketplace.chain.blocks import Log, _block, _receipt, parse_log
from marketplace.chain.contracts import decode_result
from marketplace.chain.deployment import Deployment
from marketplace.chain.events import Decoder, Layout, decode_log
from marketplace.chain.reverts import _errors, refusal
from marketplace.chain.rpc import Failure, Rpc, fields, items, quantity
from marketplace.core import bundle, unixfs
from marketplace.core.canonical import canonical, parse_canonical, parse_json
from marketplace.core.cid import Cid
from marketplace.core.dagpb import Link, decode_node, encode_node
from marketplace.core.dataset import Listing
from marketplace.core.document import Document
from marketplace.core.eip712 import parse_value
from marketplace.core.envelope import Header, open_sealed, seal
from marketplace.core.event_id import EventId
from marketplace.core.ids import Did
from marketplace.core.job import Progress, Request
from marketplace.core.manifest import Format, Manifest
from marketplace.core.offer import Signed
from marketplace.core.siwe import SignIn
from marketplace.core.spec import FailureReport, ModelCard, Spec
from marketplace.core.terms import Terms
from marketplace.core.unixfs import LEAF
from marketplace.core.vat import Papers
from marketplace.core.wrapping import message_recipients, open_message, public_key, seal_message, unwrap, wrap
from marketplace.errors import IntegrityError
from marketplace.keys import _parse as parse_key_file
from marketplace.webhooks import new_secret, sign, verify
from tests.fuzz import documents as good
from tests.fuzz.attempt import Parser
from tests.fuzz.mutate import (
    json_grammar,
    png_grammar,
    safetensors_grammar,
    tar_grammar,
    text_grammar,
    words_grammar,
)

_PRIVATE = b"\x07" * 32
_RPC = Rpc("http://127.0.0.1:1", timeout=1)
_DECODER = Decoder(good.DEPLOYMENT.addresses)


def parsers() -> list[Parser]:
    """All of them, each with documents that it takes."""
    return [*_documents(), *_names(), *_blocks(), *_sealed(), *_chain(), *_files(), *_formats()]


def exact(parse: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """What is accepted must write itself again, to the byte."""

    def read(data: bytes) -> None:
        assert parse(data).to_bytes() == data, "an accepted document does not write itself again"

    return read


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    """A parser of text: bytes that are no UTF-8 become lone surrogates."""
    return lambda data: parse(data.decode("utf-8", "surrogateescape"))


def _documents() -> list[Parser]:
    def parser(name: str, read: Callable[[bytes], object], *seeds: bytes) -> Parser:
        return Parser(name, read, seeds, json_grammar)

    def model(kind: type[Document], value: Document) -> Parser:
        return parser(kind.__name__, exact(kind.parse), value.to_bytes())

    def struct(read: Callable[[object], object]) -> Callable[[bytes], object]:
        return lambda data: read(parse_json(data, what="a struct"))

    manifest = Manifest.parse(good.MANIFEST)

    def parameters(data: bytes) -> object:
        value: Any = parse_json(data, what="parameters")
        return manifest.check_parameters(value)

    everything = json.dumps({"a": [1, 2.5, None, True, "é"], "b": {"c": {}}}).encode()
    return [
        parser("json", lambda data: canonical(parse_json(data, what="it")), everything),
        parser(
            "canonical json", lambda data: parse_canonical(data, what="it"), canonical(json.loads(everything))
        ),
        parser("listing", exact(Listing.parse), good.LISTING.to_bytes()),
        parser("terms", exact(Terms.parse), *(terms.to_bytes() for terms in good.TERMS)),
        parser("signed document", Signed.parse, *good.SIGNED),
        parser("request", struct(Request.from_json), canonical(good.REQUEST.to_json())),
        parser("progress", struct(Progress.from_json), canonical(good.PROGRESS.to_json())),
        model(Spec, good.SPEC),
        model(FailureReport, good.REPORT),
        model(ModelCard, good.CARD),
        parser("deployment file", Deployment.parse, good.DEPLOYMENT.to_bytes()),
        Parser("manifest", Manifest.parse, (good.MANIFEST,), text_grammar, weight=8),
        Parser("statement's papers", Papers.read, (good.PAPERS,), text_grammar, weight=8),
        parser("parameters", parameters, b'{"target": "fault", "epochs": 3}'),
    ]


def _names() -> list[Parser]:
    def value(kind: str) -> Callable[[bytes], object]:
        return _text(lambda text: parse_value(kind, text, where="it"))

    def sign_in(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        assert SignIn.parse(text).to_text() == text, "an accepted message does not write itself again"

    def delivery(data: bytes) -> object:
        secret, stamp = new_secret(bytes(32)), data[:40].decode("utf-8", "replace")
        headers = {"webhook-id": "x", "webhook-timestamp": stamp, "webhook-signature": stamp}
        with contextlib.suppress(IntegrityError):  # signed by nobody
            verify(headers, data, secret)
        signed = {"webhook-timestamp": "9", "webhook-signature": sign(secret, "x", 9, data)}
        return verify(headers | signed, data, secret, now=9)

    cids = (str(Cid.of("raw", b"x")).encode(), str(Cid.of("dag-pb", b"x")).encode())
    return [
        Parser("cid text", _text(Cid.parse), cids),
        Parser("cid bytes", Cid.from_bytes, (Cid.of("raw", b"x").to_bytes(),)),
        Parser("did", _text(Did.parse), (str(good.DID).encode(),)),
        Parser("address", value("address"), (good.OWNER.address.encode(),)),
        Parser("digest", value("bytes32"), (good.HEX.encode(),)),
        Parser("number", value("uint256"), (b"12", str(2**256 - 1).encode())),
        Parser("page of results", _text(Place.parse), (b"12-3",)),
        Parser(
            "cursor",
            _text(lambda text: cursors.read("jobs", text)),
            (cursors.write("jobs", "12-3").encode(),),
        ),
        Parser("event id", _text(EventId.parse), (b"4711-0-3f5a5a5a5a5a5a5a",)),
        Parser(
            "webhook's URL",
            _text(Endpoint.parse),
            (b"https://[2606:4700::1]:8443/hook?a=b", b"http://a.example"),
        ),
        Parser("message to sign in with", sign_in, (good.SIGN_IN.encode(),), text_grammar),
        Parser("delivery of a webhook", delivery, (b'{"type":"job.settled"}',), json_grammar),
    ]


def _tree() -> tuple[bytes, dict[Cid, bytes]]:
    blocks: dict[Cid, bytes] = {}
    root = unixfs.build([bytes(LEAF), b"\1" * 1000], blocks.__setitem__)
    return blocks[root.cid], blocks


def _blocks() -> list[Parser]:
    node, blocks = _tree()

    def read_tree(block: bytes) -> None:
        name = Cid.of("dag-pb", block)
        for _ in unixfs.read(name, lambda cid: block if cid == name else _found(blocks, cid)):
            pass

    def read_node(block: bytes) -> None:
        assert encode_node(decode_node(block)) == block, "an accepted node does not write itself again"

    links = [Link(Cid.of("raw", b"x"), 5, 5), Link(Cid.of("dag-pb", b"y"), 7, 9)]
    return [
        Parser("dag-pb node", read_node, (node, encode_node(links))),
        Parser("unixfs file", read_tree, (node,), weight=5),
        Parser("bundle", _bundle, (good.BUNDLE,), tar_grammar, weight=10),
    ]


def _found(blocks: dict[Cid, bytes], cid: Cid) -> bytes:
    if cid not in blocks:
        raise IntegrityError("no such block")
    return blocks[cid]


def _bundle(data: bytes) -> None:
    assert bundle.pack(bundle.unpack(data)) == data, "an accepted bundle does not pack itself again"
    bundle.parse_bundle(data)


def _sealed() -> list[Parser]:
    blocks: dict[Cid, bytes] = {}
    header = seal(io.BytesIO(b"secret"), id="did:x", key=bytes(32), prefix=bytes(7), put=blocks.__setitem__)
    public = public_key(_PRIVATE)
    message = seal_message(b"hello", [public], key=b"\1" * 32, nonce=b"\2" * 12)

    def opened(block: bytes) -> None:
        for _ in open_sealed(Header.parse(block), bytes(32), lambda cid: _found(blocks, cid)):
            pass

    wrapped = wrap(bytes(32), public, b"x")
    return [
        Parser("envelope header", exact(Header.parse), (header.to_bytes(),), json_grammar),
        Parser("sealed file", opened, (header.to_bytes(),), json_grammar, weight=10),
        Parser("wrapped key", lambda data: unwrap(data, _PRIVATE, b"x"), (wrapped,), weight=8),
        Parser(
            "sealed message", lambda data: open_message(data, _PRIVATE), (message,), json_grammar, weight=10
        ),
        Parser("recipients of a message", message_recipients, (message,), json_grammar),
    ]


def _chain() -> list[Parser]:
    def answer(name: str, parse: Callable[[object], object], *seeds: bytes) -> Parser:
        return Parser(f"{name} of an endpoint", _answered(parse), (*seeds, good.ERROR_ANSWER), json_grammar)

    logs = good.logs()
    shapes = _DECODER.layouts(logs)
    reverts = tuple(code + _words(4) for code in _errors())
    return [
        answer("block", lambda value: _block(value, "latest"), good.BLOCK_ANSWER),
        answer("number", lambda value: quantity(value, "it"), good.rpc_answer("0x1f")),
        answer("logs", _logs, good.LOGS_ANSWER),
        answer("receipt", lambda value: _receipt(fields(value, "it")), good.RECEIPT_ANSWER),
        *(_event(shapes[log.contract, log.topics[0]], log) for log in logs.values()),
        Parser(
            "view of a job",
            lambda data: decode_result("Market", "jobOf", data),
            (_words(12),),
            words_grammar,
        ),
        Parser("revert", lambda data: refusal("it", data), reverts, words_grammar),
    ]


def _words(count: int) -> bytes:
    return b"".join((1).to_bytes(32) for _ in range(count))


def _answered(parse: Callable[[object], object]) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        answer = _RPC._parse(data, 200)
        if isinstance(answer, Failure):
            return answer
        if answer.get("error") is not None:
            return _RPC._failure(answer["error"])
        return parse(answer.get("result"))

    return read


def _logs(value: object) -> list[Log]:
    found = [parse_log(log) for log in items(value, "logs")]
    for log in found:
        _DECODER.decode(log)
    return found


def _event(shape: Layout, log: Log) -> Parser:
    """The event's log: its topics after the first, then its data."""
    indexed = 32 * len(shape.indexed)

    def read(data: bytes) -> object:
        topics = [data[start : min(start + 32, indexed)] for start in range(0, min(indexed, len(data)), 32)]
        return decode_log(shape, Log(log.at, log.contract, (shape.topic, *topics), data[indexed:]))

    seed = b"".join(log.topics[1:]) + log.data
    return Parser(f"event {shape.kind.__name__}", read, (seed or b"\0",), words_grammar, weight=5)


def _files() -> list[Parser]:
    wallet, sealing = good.key_files()

    def read_key(data: bytes) -> None:
        parse_key_file(data, "the key file", "address" if b'"address"' in data else "x25519")

    return [Parser("key file", read_key, (wallet, sealing), json_grammar)]


def _formats() -> list[Parser]:
    def again(form: Format) -> Callable[[bytes], None]:
        def read(data: bytes) -> None:
            clean = rewrite(form, data)
            if len(clean) < 16_384:  # not a bomb that is allowed, twice
                assert rewrite(form, clean) == clean, "what was rewritten is rewritten otherwise"

        return read

    def lines(data: bytes) -> None:
        sorted_out = Lines(lambda line: None, lambda stage, done, of: None, listed=True)
        sorted_out(clean(data))
        assert len(clean(data).encode()) <= 4096 and len(sorted_out.error) <= 300

    def csv(data: bytes) -> object:
        return csv_table.read(io.BytesIO(data), len(data), lambda done: None)

    def parquet(data: bytes) -> object:
        return parquet_table.read(io.BytesIO(data), len(data), lambda done: None)

    report = b'{"accuracy":0.9,"classes":["a","b"]}'
    said = (b'::progress {"done": 3, "of": 20}', b'::error "no such column"', b"\x1b[31mred\x1b[0m")
    return [
        Parser("csv table", csv, (good.CSV,), text_grammar, weight=8),
        Parser("parquet table", parquet, (good.parquet(),), weight=3),
        Parser("output json", again(Format.JSON), (report,), json_grammar),
        Parser("output csv", again(Format.CSV), (good.OUTPUT_CSV,), text_grammar),
        Parser("output png", again(Format.PNG), (good.PNG,), png_grammar, weight=10),
        Parser("output safetensors", again(Format.SAFETENSORS), (good.WEIGHTS,), safetensors_grammar),
        Parser("line of a log", lines, said),
    ]
