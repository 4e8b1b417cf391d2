"""Ready-made algorithms: each a folder with a manifest, an entrypoint and the packages that travel with it."""

from __future__ import annotations

from pathlib import Path

from marketplace.core.bundle import MANIFEST, Manifest, pack
from marketplace.errors import NotFoundError

_HERE = Path(__file__).parent


def builtin() -> dict[str, Path]:
    """The folder of each ready-made algorithm, by the name in its manifest."""
    manifests = sorted(_HERE.glob(f"*/{MANIFEST}"))
    return {Manifest.parse(path.read_bytes()).name: path.parent for path in manifests}


def bundle_of(name: str) -> bytes:
    """The packed bundle of a ready-made algorithm, the same bytes wherever this version is installed.

    In it are the manifest, the entrypoint and the packages below the folder. Modules beside the entrypoint are the
    buyer's side of the algorithm and stay at home. Raises NotFoundError.
    """
    folders = builtin()
    if name not in folders:
        raise NotFoundError("there is no such ready-made algorithm", got=name, expected=" or ".join(folders))
    folder = folders[name]
    manifest = (folder / MANIFEST).read_bytes()
    files = {
        MANIFEST: manifest,
        (entry := Manifest.parse(manifest).entrypoint): (folder / entry).read_bytes(),
    }
    for path in folder.glob("*/**/*.py"):
        files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return pack(files)
