"""The environment that the algorithms of all tests run in: built once, beside the packages whose files it shares."""

from __future__ import annotations

import base64
import hashlib
import sys
from functools import cache
from pathlib import Path

from compute.environments import BuiltEnvironment, Environments
from compute.environments.assemble import assemble
from compute.environments.built import folder_name, interpreter
from compute.environments.definitions import definition
from compute.environments.installed import Installed
from compute.environments.store import packages_folders
from marketplace.core.dataset import Environment
from marketplace.core.environments import WantedEnvironment
from marketplace.errors import RefusedError

ROOT = Path(sys.prefix) / "environments"


@cache
def environments() -> Environments:
    """With python-ml of just what is installed now."""
    found, installed = Environments(ROOT), Installed(packages_folders())
    packages = map(installed.pinned, installed.closure(definition("python-ml").packages))
    wanted = WantedEnvironment("python-ml", Environment("python-ml", (interpreter(), *packages)).digest.hex())
    try:
        found.choose(wanted)
    except RefusedError:
        found.build_ready("python-ml", lambda step: None)
        ROOT.chmod(0o755)  # some tests run as another user
    return found


def python_ml() -> BuiltEnvironment:
    return environments().choose(WantedEnvironment("python-ml"))


def install(
    site: Path, name: str, files: dict[str, bytes], *, version: str = "1.0", needs: tuple[str, ...] = ()
) -> None:
    """Puts a package into a folder, with its RECORD."""
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    about += "".join(f"Requires-Dist: {need}\n" for need in needs)
    information = f"{name.replace('-', '_')}-{version}.dist-info"
    contents = {**files, f"{information}/METADATA": about.encode()}
    record = f"{information}/RECORD,,\n"
    for path, data in contents.items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # as pip does: a new file under the name, not new bytes in the old one
        target.write_bytes(data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    (site / information / "RECORD").unlink(missing_ok=True)
    (site / information / "RECORD").write_text(record)


def own_environment(folder: Path, name: str = "python-ml") -> tuple[Environments, BuiltEnvironment]:
    """Environments of a test's own, with one of a single package, `parts`."""
    site, root = folder / "site", folder / "environments"
    install(site, "parts", {"parts.py": b"NAME = 'parts'\n"})
    target = root / "unnamed"
    target.mkdir(parents=True)
    listed = assemble(target, name, Installed([site]), ["parts"], lambda step: None)
    target.rename(root / folder_name(listed))
    found = Environments(root)
    return found, found.choose(WantedEnvironment(name))
