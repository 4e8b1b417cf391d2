"""A few packages as pip installs them, made by hand, so that an environment of them is built in milliseconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from compute.environments import store
from compute.environments.definitions import Definition
from tests.support.environments import install


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages beside a node: `tools` needs `parts`, `other` is the node's alone; `small` is made of `tools`."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(
        folder,
        "tools",
        {"tools/__init__.py": b"NAME = 'tools'\n"},
        needs=("parts>=1", "absent; extra == 'x'"),
    )
    install(folder, "parts", {"parts.py": b"NAME = 'parts'\n", "parts_native.so": b"\x7fELF"})
    install(folder, "other", {"other.py": b"SECRET = 1\n"})
    monkeypatch.setattr(store, "packages_folders", lambda: [folder])
    ready = {"small": Definition("small", "Two packages.", ("tools",))}
    monkeypatch.setattr("compute.environments.definitions.ready_made", lambda: ready)
    monkeypatch.setattr(store, "ready_made", lambda: ready)
    return folder
