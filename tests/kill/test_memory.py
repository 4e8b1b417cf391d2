"""What is left in the memory of a node that goes on after a job: nothing of the data, of the output, of their keys."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from compute.provider.journal import Step
from compute.sandbox import Sandbox
from marketplace.core import envelope
from marketplace.core.cid import Cid
from marketplace.core.job import State
from marketplace.core.policy import CustomAlgorithms
from tests.kill.stage import SECRET, Stage, staged
from tests.support.buyers import await_state
from tests.support.catalogue import Town
from tests.support.node_process import node_process
from tests.support.works import COUNT_ROWS, algorithm, wait_until

WORD = "a thought of the buyer's own"
# What it writes, backwards, stands nowhere else; once into its log, once into its output.
OWN = algorithm(
    "own",
    f"""
import json, os
folder = json.loads(os.environ["DIDS"])[0]
text = open(f"/data/inputs/{{folder}}/0").read()
print(text)
open("/data/outputs/result.json", "w").write(json.dumps({{"{WORD}": text[::-1]}}))
""",
)
LISTED = algorithm("listed", COUNT_ROWS)


def copies(pid: int, secrets: dict[str, bytes]) -> dict[str, int]:
    """How often each secret lies in the memory of a process, whatever region it is in."""
    found = dict.fromkeys(secrets, 0)
    regions = [line.split()[:2] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for region, rights in regions:
            start, end = (int(address, 16) for address in region.split("-"))
            try:
                content = os.pread(memory.fileno(), end - start, start) if rights.startswith("r") else b""
            except OSError:  # the kernel's own pages: [vvar] and the like
                continue
            for name, secret in secrets.items():
                found[name] += content.count(secret)
    return found


def keys_of(stage: Stage) -> dict[str, bytes]:
    """The keys of the dataset and of the job's output, as the node had them in its hands."""
    private = stage.works.private
    record = stage.works.vault.record(stage.dataset.token)
    header = stage.works.vault.header(record)
    data_info = envelope.wrap_info("node", header.body, record.did)
    data = envelope.unwrap(bytes.fromhex(record.wrapped_key[2:]), private, data_info)
    entry, name = stage.works.journal.get(stage.request.job_id), "0x" + stage.request.job_id.hex()
    block = Cid.raw(bytes.fromhex(entry.data["receipt"]["outputDigest"][2:]))
    body = envelope.Header.parse(stage.works.outputs.get(block)).body
    output_info = envelope.wrap_info("node", body, name)
    output = envelope.unwrap(bytes.fromhex(entry.data["own_wrap"]), private, output_info)
    return {"data key": data, "output key": output}


def settled(stage: Stage) -> None:
    for step in (Step.approval, Step.review):
        stage.works.await_step(stage.request, step)
        stage.works.approve(stage.request)
    await_state(stage.town, stage.request, State.settled)
    wait_until(lambda: stage.step() is Step.done, "the end in the journal")
    time.sleep(1)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads the memory of a process that forbids it")
def test_a_node_that_goes_on_holds_nothing_of_a_job_that_is_over(
    town: Town, sandbox: Sandbox, tmp_path: Path
) -> None:
    own = {"listed": LISTED, "custom": CustomAlgorithms.approval}
    with staged(town, sandbox, tmp_path, "memory", OWN, **own) as stage, node_process(stage.home) as node:
        settled(stage)
        secrets = {"data": SECRET, "output": SECRET[::-1], "code": WORD.encode(), **keys_of(stage)}
        owner = {"owner": stage.works.owner.address.encode()}
        found = copies(node.pid, secrets | owner)
    assert found.pop("owner") > 0, "what the node needs is found, so the search finds what is there"
    assert found == dict.fromkeys(secrets, 0)
