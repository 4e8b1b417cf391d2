"""A day's log of every service, with marked secrets in all that it is given: none of them is in any line."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from compute.provider.journal import Step
from compute.sandbox import Sandbox
from marketplace.core.job import State
from marketplace.core.policy import CustomAlgorithms
from tests.kill.stage import SECRET, staged
from tests.support.buyers import await_state
from tests.support.catalogue import Town
from tests.support.homes import PASSPHRASE
from tests.support.node_process import node_process, service_process
from tests.support.works import COUNT_ROWS, algorithm

MARK = "a-password-in-a-url"
LISTED = algorithm("listed", COUNT_ROWS)
# Unlisted code that tells the data in every way it has, and then breaks.
TELLS = algorithm(
    "tells",
    """
import json, os, sys
folder = json.loads(os.environ["DIDS"])[0]
text = open(f"/data/inputs/{folder}/0").read()
print(text)
print("::error " + json.dumps(text[:200]))
raise ValueError(text[::-1])
""",
)


def marked(url: str) -> str:
    return url.replace("http://", f"http://someone:{MARK}@")


@pytest.mark.slow
def test_no_service_writes_a_secret_into_its_log(town: Town, sandbox: Sandbox, tmp_path: Path) -> None:
    choice = {"listed": LISTED, "custom": CustomAlgorithms.approval}
    with staged(town, sandbox, tmp_path, "tells", TELLS, **choice) as stage, ExitStack() as held:
        settings = stage.home.settings
        settings |= {name: marked(settings[name]) for name in ("RPC", "GATEWAY")}
        groups = ("gateway", "hub")
        services = [
            held.enter_context(service_process(stage.home, group, "run", "--port", "0")) for group in groups
        ]
        for url in (each.first["url"] for each in services):
            httpx.get(f"{url}/health?key={MARK}", trust_env=False)
            httpx.get(f"{url}/{MARK}", headers={"authorization": MARK}, trust_env=False)
        settings["HUB"] = marked(services[1].first["url"])
        node = held.enter_context(node_process(stage.home))
        stage.works.await_step(stage.request, Step.approval)
        stage.works.approve(stage.request)
        await_state(stage.town, stage.request, State.faulted, State.failed)
        keys = [stage.home.keyring.wallet(name).key.hex() for name in ("works", "node")]
        private = stage.works.private.hex()
    logs = [line for found in (*services, node) for line in found.lines]
    assert any("went wrong" in line for line in logs), "the node said what happened"
    for line in logs:
        json.loads(line)
    text = os.linesep.join(logs)
    row = SECRET.decode()
    for secret in (PASSPHRASE, MARK, *keys, private, row, row[::-1]):
        assert secret not in text
