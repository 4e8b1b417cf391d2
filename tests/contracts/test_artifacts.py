"""The committed artifacts are those of the sources, and say what readers rely on."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "marketplace/chain/artifacts"
NAMES = (
    "AssetRegistry",
    "Authority",
    "ContributionCredits",
    "Forwarder",
    "Market",
    "ParticipantRegistry",
    "TestEuro",
)


@pytest.mark.slow
def test_a_fresh_compile_equals_the_committed_artifacts(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts/compile", "--out", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    fresh = {path.name: path.read_text() for path in tmp_path.glob("*.json")}
    committed = {path.name: path.read_text() for path in ARTIFACTS.glob("*.json")}
    assert sorted(fresh) == [f"{name}.json" for name in NAMES]
    assert fresh == committed, "run scripts/compile and commit marketplace/chain/artifacts"


@pytest.mark.parametrize("name", NAMES)
def test_method_identifiers_are_hashes_of_their_signatures(name: str) -> None:
    artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
    for signature, selector in artifact["methodIdentifiers"].items():
        assert keccak(text=signature)[:4].hex() == selector


@pytest.mark.parametrize("name", NAMES)
def test_immutables_are_zero_in_the_committed_code_and_lie_within_it(name: str) -> None:
    artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
    code = bytes.fromhex(artifact["deployedBytecode"][2:])
    for place in artifact["immutableReferences"]:
        start, end = place["start"], place["start"] + place["length"]
        assert end <= len(code)
        assert code[start:end] == bytes(place["length"])
