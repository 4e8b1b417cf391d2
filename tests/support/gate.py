"""A gate before a real service, RPC endpoint or gateway: it stops chosen questions on their way, or their answers.

So a client can be held at an exact moment, and killed there. What a dead client had asked goes no further, unless the
test delivers it: as a network would that is slower than a restart.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import httpx
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from marketplace.chain.contracts import CONTRACTS, artifact, encode_call

Where = Literal["question", "answer"]


@dataclass(frozen=True)
class Question:
    """One HTTP request. verb: GET, PUT or POST."""

    verb: str
    path: str
    body: bytes

    @cached_property
    def rpc(self) -> dict[str, Any]:
        """The JSON-RPC question; empty where it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def call(self) -> bytes:
        """The call data of a transaction that is sent or tried, or of a view; empty where there is none."""
        method, params = self.rpc.get("method"), self.rpc.get("params")
        if not params:
            return b""
        if method == "eth_sendRawTransaction":
            found: bytes = TypedTransaction.from_bytes(HexBytes(params[0])).as_dict()["data"]
            return bytes(found)
        if method in ("eth_estimateGas", "eth_call"):
            return bytes.fromhex(params[0]["data"][2:])
        return b""


Matches = Callable[[Question], bool]


def selector(function: str) -> bytes:
    """The four bytes that name a function of any of our contracts."""
    for name in CONTRACTS:
        for entry in artifact(name).abi:
            if entry["type"] == "function" and entry["name"] == function:
                types = [_zero(component) for component in entry["inputs"]]
                return encode_call(name, function, types)[:4]
    raise LookupError(function)


def _zero(component: dict[str, Any]) -> Any:
    kind = component["type"]
    if kind.endswith("[]"):
        return []
    if kind == "tuple":
        return tuple(_zero(part) for part in component["components"])
    zeros = {"address": "0x" + "0" * 40, "bool": False, "string": "", "bytes32": bytes(32), "bytes": b""}
    return zeros.get(kind, b"" if kind.startswith("bytes") else 0)


def asks(method: str, function: str = "") -> Matches:
    """A JSON-RPC question; function: of the call or transaction in it."""
    wanted = selector(function) if function else b""
    return lambda question: question.rpc.get("method") == method and question.call.startswith(wanted)


def block(verb: str, name: str = "") -> Matches:
    """A question to a gateway for a block; name: a part of its CID."""
    return lambda question: question.verb == verb and name in question.path


@dataclass
class Held:
    """A place at which one question is stopped, once. where: before it is passed on, or before its answer is."""

    matches: Matches
    where: Where
    reached: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    question: Question | None = None


class Gate:
    """Forwards HTTP to `upstream`, a URL that may change."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self._held: list[Held] = []
        self._lock = threading.Lock()
        self._client = httpx.Client(trust_env=False, timeout=60)

    @contextlib.contextmanager
    def hold(self, matches: Matches, where: Where = "question") -> Iterator[Held]:
        """Stops the next question that matches; ends with the `with`: what was stopped is dropped then."""
        held = Held(matches, where)
        with self._lock:
            self._held.append(held)
        try:
            yield held
        finally:
            held.ended.set()
            with self._lock, contextlib.suppress(ValueError):
                self._held.remove(held)

    def deliver(self, held: Held) -> None:
        """Passes on at last what was stopped."""
        assert held.question
        self.ask(held.question)

    def ask(self, question: Question) -> httpx.Response:
        headers = {"content-type": "application/json"} if question.verb == "POST" else {}
        return self._client.request(
            question.verb, self.upstream + question.path, content=question.body, headers=headers
        )

    def pass_on(self, question: Question) -> httpx.Response | None:
        """The answer; None where there is to be none."""
        held = self._take(question)
        if held and held.where == "question":
            held.question = question
            held.reached.set()
            held.ended.wait()
            return None
        answer = self.ask(question)
        if held:
            held.reached.set()
            held.ended.wait()
            return None
        return answer

    def _take(self, question: Question) -> Held | None:
        with self._lock:
            held = next((held for held in self._held if held.matches(question)), None)
            if held:
                self._held.remove(held)
            return held

    def close(self) -> None:
        for held in self._held:
            held.ended.set()
        self._client.close()


@contextlib.contextmanager
def gate(upstream: str) -> Iterator[Gate]:
    found = Gate(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # head and body in one packet: two would wait 40 ms for each other

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                answer = found.pass_on(Question(self.command, self.path, body))
            except httpx.HTTPError:
                answer = None
            if answer is None:
                self.close_connection = True
                return
            with contextlib.suppress(OSError):
                self.send_response(answer.status_code)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.content)

        do_GET = do_PUT = do_POST = do_HEAD = _serve  # noqa: N815 - as the library names them

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        found.close()
        thread.join()
