"""One job in the sandbox, without a chain: what the algorithm finds, what the receipt says, who can open the output."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from compute.provider.execution import Failure
from compute.provider.judge import Order, Verdict
from compute.provider.runner import Keys, Runner, Success
from compute.provider.vault import Vault, VaultRecord, wrap_of
from compute.sandbox import Sandbox
from marketplace.core import bundle, envelope
from marketplace.core.bundle import parse_bundle
from marketplace.core.cid import Cid
from marketplace.core.eip712 import Domain
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.core.job import Fault
from marketplace.core.offer import Offer
from marketplace.core.policy import Permit
from marketplace.core.spec import Spec
from marketplace.errors import IntegrityError, UnavailableError
from marketplace.keys import sign_digest
from marketplace.storage import LocalStore
from tests.support.chain import account_named
from tests.support.environments import python_ml
from tests.support.works import COUNT_ROWS, TABLE, algorithm

OWNER = account_named("the runner's owner")
DOMAIN = Domain(31_337, "0x" + "11" * 20)
DID = Did(31_337, "0x" + "22" * 20, asset_id(Kind.dataset, OWNER.address, b"\1" * 32))
JOB = b"\7" * 32
NODE, BUYER = b"\1" * 32, b"\2" * 32
LISTED = Permit(needs_approval=False, review_output=False, opaque_outputs=False)
APPROVED = Permit(needs_approval=True, review_output=True, opaque_outputs=False)
DUMP = "open('/data/outputs/result.json', 'w').write(json.dumps(found))"


@dataclass
class Bench:
    """A runner with one dataset in its vault."""

    runner: Runner
    vault: Vault
    outputs: LocalStore
    record: VaultRecord
    lines: list[str] = field(default_factory=list)
    progress: list[tuple[str, int, int]] = field(default_factory=list)

    def run(
        self,
        data: bytes,
        *,
        parameters: dict[str, Any] | None = None,
        permit: Permit = LISTED,
        seconds: int = 60,
        fair_seconds: int = 30,
        stop: threading.Event | None = None,
    ) -> Success | Failure:
        parsed = parse_bundle(data)
        digest = "0x" + bundle.digest(data).hex()
        spec = Spec.of(
            {
                "version": 1,
                "algorithm": {"name": "a", "digest": digest, "cid": str(Cid.raw(bytes(32)))},
                "parameters": parameters or {},
                "environment": "python-ml",
                "purpose": "research",
                "result_key": "0x" + envelope.public_key(BUYER).hex(),
            }
        )
        offer = Offer(DID.token, OWNER.address, price=1)
        order = Order(offer, spec, parsed, parsed.manifest.check_parameters(parameters or {}))
        return self.runner.run(
            JOB, Verdict(order, permit, python_ml()), self.record, b'{"listing":1}',
            seconds=seconds, fair_seconds=fair_seconds, on_line=self.lines.append,
            on_progress=lambda stage, done, of: self.progress.append((stage, done, of)),
            stop=stop or threading.Event(),
        )  # fmt: skip

    def opened(self, success: Success) -> Any:
        """What result.json holds, for the buyer."""
        header = envelope.Header.parse(self.outputs.get(Cid.raw(success.receipt.output_digest)))
        info = envelope.wrap_info("buyer", header.body, "0x" + JOB.hex())
        key = envelope.unwrap(success.wrapped_key, BUYER, info)
        files = bundle.unpack(b"".join(envelope.open_sealed(header, key, self.outputs.get)))
        return json.loads(files["result.json"])

    def found(self, code: str, **more: Any) -> Any:
        """What an algorithm puts into `found`."""
        ended = self.run(algorithm("look", f"import json, os, sys\n{code}\n{DUMP}"), **more)
        assert isinstance(ended, Success), ended
        return self.opened(ended)


def bench_in(folder: Path, sandbox: Sandbox, *, filename: str = "valves.csv", table: bytes = TABLE) -> Bench:
    vault, outputs = Vault(folder / "vault"), LocalStore(folder / "outputs")
    sealed = vault.seal(BytesIO(table), DID)
    wrapped = envelope.wrap(
        sealed.key, envelope.public_key(NODE), envelope.wrap_info("node", sealed.header.body, str(DID))
    )
    blank = VaultRecord(
        did=str(DID), header="0x" + sealed.header.digest.hex(), wrapped_key="0x" + wrapped.hex(),
        signature="0x" + "0" * 130, filename=filename,
    )  # fmt: skip
    signature = sign_digest(OWNER, wrap_of(blank, wrapped).digest(DOMAIN))
    record = blank.model_copy(update={"signature": "0x" + signature.hex()})
    runner = Runner(sandbox, vault, outputs, Keys(envelope.public_key(NODE), NODE), DOMAIN)
    return Bench(runner, vault, outputs, record)


@pytest.fixture
def bench(tmp_path: Path, sandbox: Sandbox) -> Bench:
    return bench_in(tmp_path, sandbox)


def test_an_algorithm_finds_its_data_where_ocean_puts_it(bench: Bench) -> None:
    found = bench.found(
        "folder = json.loads(os.environ['DIDS'])[0]\n"
        "found = {'cwd': os.getcwd(), 'dids': os.environ['DIDS'], 'did': os.environ['TRANSFORMATION_DID'],\n"
        " 'data': open(f'data/inputs/{folder}/0').read(), 'flat': open('data/inputs/valves.csv').read(),\n"
        " 'parameters': json.load(open('data/inputs/algoCustomData.json')),\n"
        " 'ddo': open(f'data/ddos/{folder}').read(),\n"
        " 'me': os.path.exists('/data/transformations/algorithm')}"
    )
    assert found["cwd"] == "/"
    assert json.loads(found["dids"]) == [DID.folder]
    assert found["did"].startswith("0x")
    assert found["data"] == found["flat"] == TABLE.decode()
    assert found["parameters"] == {}
    assert json.loads(found["ddo"]) == {"listing": 1}
    assert found["me"] is True


def test_nothing_of_the_inputs_can_be_changed(bench: Bench) -> None:
    found = bench.found(
        "found = []\n"
        "for path in ('/data/inputs/valves.csv', '/data/inputs/algoCustomData.json', '/data/inputs/new',\n"
        "             '/data/transformations/algorithm', '/data/ddos/new'):\n"
        "    try:\n        open(path, 'a').write('x')\n        found.append(path)\n    except OSError:\n        pass"
    )
    assert found == []


@pytest.mark.parametrize("filename", ["algoCustomData.json", "-rf", "ä ö.csv", "'; ls"])
def test_a_table_of_any_name_hides_nothing_else(tmp_path: Path, sandbox: Sandbox, filename: str) -> None:
    bench = bench_in(tmp_path, sandbox, filename=filename)
    found = bench.found(
        "folder = json.loads(os.environ['DIDS'])[0]\n"
        "found = [json.load(open('/data/inputs/algoCustomData.json')), open(f'/data/inputs/{folder}/0').read()]"
    )
    assert found == [{}, TABLE.decode()]


def test_the_receipt_says_what_was_read_what_came_out_and_where_it_ran(
    bench: Bench, sandbox: Sandbox
) -> None:
    ended = bench.run(algorithm("count", COUNT_ROWS))
    assert isinstance(ended, Success)
    receipt = ended.receipt
    assert (receipt.job_id, receipt.input_root.hex()) == (JOB, bench.record.header[2:])
    assert receipt.environment_digest == python_ml().digest
    assert receipt.isolation == int(sandbox.probe())
    assert 0 <= receipt.finished_at - receipt.started_at < 30
    assert ended.names == ("result.json",)
    assert bench.opened(ended) == {"rows": 40}


def test_the_output_opens_with_the_two_wraps_for_what_they_are_and_with_nothing_else(bench: Bench) -> None:
    ended = bench.run(algorithm("count", COUNT_ROWS))
    assert isinstance(ended, Success)
    header = envelope.Header.parse(bench.outputs.get(Cid.raw(ended.receipt.output_digest)))
    name = "0x" + JOB.hex()
    assert header.id == name
    own = envelope.unwrap(ended.own_wrap, NODE, envelope.wrap_info("node", header.body, name))
    assert bundle.unpack(b"".join(envelope.open_sealed(header, own, bench.outputs.get)))
    for wrapped, private, role, job in (
        (ended.wrapped_key, NODE, "buyer", name),
        (ended.own_wrap, BUYER, "node", name),
        (ended.wrapped_key, BUYER, "node", name),
        (ended.wrapped_key, BUYER, "buyer", "0x" + "00" * 32),
    ):
        with pytest.raises(IntegrityError):
            envelope.unwrap(wrapped, private, envelope.wrap_info(role, header.body, job))  # type: ignore[arg-type]


def test_two_runs_of_one_job_are_sealed_under_different_keys(bench: Bench) -> None:
    first, second = (bench.run(algorithm("count", COUNT_ROWS)) for _ in range(2))
    assert isinstance(first, Success) and isinstance(second, Success)
    assert first.receipt.output_digest != second.receipt.output_digest


def test_progress_lines_are_told_and_kept_out_of_the_log(bench: Bench) -> None:
    code = """
print('::progress {"done": 1, "of": 3}')
print('::progress {"done":3,"of":3}')
print('::progress {"done": 99999999999, "of": 3}')
print('::progress {"done": -1, "of": 3}')
print('::progress {}')
print('an ordinary line')
"""
    bench.run(algorithm("steps", code + COUNT_ROWS))
    assert bench.progress == [("opening data", 0, 0), ("running", 0, 0), ("running", 1, 3), ("running", 3, 3)]
    assert len(bench.lines) == 4
    assert bench.lines[-1] == "an ordinary line"


def test_a_job_that_is_stopped_is_nobody_elses_fault(bench: Bench) -> None:
    stop = threading.Event()
    threading.Timer(0.7, stop.set).start()
    ended = bench.run(algorithm("sleeper", "import time\ntime.sleep(60)"), stop=stop)
    assert isinstance(ended, Failure)
    assert (ended.fault, ended.code) == (Fault.node, "node-stopped")


@pytest.mark.parametrize(
    ("wall", "seconds", "fair_seconds", "fault"),
    [
        (1, 60, 30, Fault.algorithm),  # its own limit
        (600, 1, 30, Fault.node),  # the node began too late
        (600, 1, 1, Fault.algorithm),  # it had what anyone may count on
    ],
)
def test_time_that_runs_out_is_blamed_on_whoever_spent_it(
    bench: Bench, wall: int, seconds: int, fair_seconds: int, fault: Fault
) -> None:
    data = algorithm("sleeper", "import time\ntime.sleep(60)", limits=f"wall_seconds = {wall}")
    ended = bench.run(data, seconds=seconds, fair_seconds=fair_seconds)
    assert isinstance(ended, Failure)
    assert ended.fault is fault


def test_an_opaque_output_leaves_only_where_the_terms_allow_it(bench: Bench) -> None:
    data = algorithm(
        "pickler", "open('/data/outputs/result.json', 'wb').write(b'\\x80')", output_format="opaque"
    )
    refused = bench.run(data)
    assert isinstance(refused, Failure)
    assert (refused.fault, refused.code) == (Fault.policy, "output-refused")
    allowed = Permit(needs_approval=True, review_output=True, opaque_outputs=True)
    assert isinstance(bench.run(data, permit=allowed), Success)


def test_a_failure_never_quotes_the_algorithms_words(bench: Bench) -> None:
    ended = bench.run(algorithm("crash", "raise SystemExit(open('/data/inputs/valves.csv').read())"))
    assert isinstance(ended, Failure)
    assert ended.detail == "the algorithm ended with exit code 1"


SAYS_WHY = "print('::error \"the target `x` is no column\"')\nraise SystemExit(2)"


def test_a_listed_algorithms_own_word_about_its_failure_reaches_the_buyer(bench: Bench) -> None:
    ended = bench.run(algorithm("says-why", SAYS_WHY))
    assert isinstance(ended, Failure)
    assert (ended.fault, ended.code) == (Fault.algorithm, "crashed")
    assert ended.detail == "the target `x` is no column"
    assert bench.lines == ['::error "the target `x` is no column"', "node: exit code 2"]


def test_no_word_of_code_that_the_owner_did_not_list_reaches_the_buyer(bench: Bench) -> None:
    ended = bench.run(algorithm("says-why", SAYS_WHY), permit=APPROVED)
    assert isinstance(ended, Failure)
    assert ended.detail == "the algorithm ended with an error"
    assert bench.lines == ['::error "the target `x` is no column"', "node: exit code 2"]


CALL = "import ctypes\nctypes.CDLL(None).syscall(ctypes.c_long(41), ctypes.c_long({}), 1, 0)"
LEAVE = "import os\nfor n in range({}): os.symlink('/etc', f'/data/outputs/{{n}}')"


@pytest.mark.parametrize(
    ("code", "numbers", "told"),
    [
        (CALL, (0xDEADBEEF, 0xCAFE), "first argument 0x"),
        ("raise SystemExit({})", (1, 77), "exit code 77"),
        ("import os, signal\nos.kill(os.getpid(), {})", (6, 15), "exit code -15"),
        (LEAVE, (1, 77), "77 outputs refused"),
    ],
    ids=["an address family", "an exit code", "a signal", "a number of links"],
)
def test_a_number_that_unlisted_code_chose_is_in_the_owners_log_and_in_no_failure(
    bench: Bench, code: str, numbers: tuple[int, int], told: str
) -> None:
    reports = []
    for number in numbers:
        ended = bench.run(algorithm("whisper", code.format(number)), permit=APPROVED)
        assert isinstance(ended, Failure)
        reports.append((ended.fault, ended.code, ended.detail))
    assert reports[0] == reports[1]
    assert not any(character.isdigit() for character in reports[0][2])
    assert told in bench.lines[-1]


def test_an_algorithm_that_complains_and_ends_well_has_not_failed(bench: Bench) -> None:
    assert isinstance(bench.run(algorithm("grumbler", "print('::error \"hm\"')" + COUNT_ROWS)), Success)


def test_an_error_line_does_not_excuse_a_breach_of_policy(bench: Bench) -> None:
    code = "print('::error \"not me\"', flush=True)\nimport socket\nsocket.socket(socket.AF_INET)"
    ended = bench.run(algorithm("excuse", code))
    assert isinstance(ended, Failure)
    assert (ended.fault, ended.code) == (Fault.policy, "forbidden-call")
    assert "not me" not in ended.detail


def test_a_dataset_of_another_owner_than_the_offers_is_not_opened(bench: Bench) -> None:
    stranger = account_named("a stranger")
    blank = bench.record.model_copy(update={"signature": "0x" + "0" * 130})
    signature = sign_digest(stranger, wrap_of(blank, bytes.fromhex(blank.wrapped_key[2:])).digest(DOMAIN))
    bench.record = blank.model_copy(update={"signature": "0x" + signature.hex()})
    with pytest.raises(IntegrityError, match="wrapped by someone else"):
        bench.run(algorithm("count", COUNT_ROWS))


def test_data_that_does_not_fit_into_the_scratch_is_said_and_gone_again(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", scratch], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        large = b"time,load\n" + b"1,2\n" * 500_000
        with Sandbox(scratch) as sandbox:
            bench = bench_in(tmp_path, sandbox, table=large)
            with pytest.raises(UnavailableError, match="does not fit"):
                bench.run(algorithm("count", COUNT_ROWS))
            assert not list(scratch.glob(f"run-{os.getpid()}-*/job-*"))
    finally:
        subprocess.run(["umount", scratch], check=True)
