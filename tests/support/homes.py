"""A participant's home with keys in it, and the environment that `steelyard` commands read."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from marketplace import Market
from marketplace.keys import Keyring
from tests.support.catalogue import Town
from tests.support.environments import ROOT, environments

STEELYARD = Path(sys.executable).with_name("steelyard")
PASSPHRASE = "a test's passphrase"


@dataclass
class Home:
    """A folder as STEELYARD_HOME; settings: more of the environment, without the prefix."""

    path: Path
    town: Town
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / "deployment.json").write_bytes(self.town.market.chain.deployment.to_bytes())
        environments()  # built, so that no home builds its own
        if not (self.path / "environments").exists():
            (self.path / "environments").symlink_to(ROOT)
        self.keyring = Keyring(self.path / "keys", lambda: PASSPHRASE)

    @property
    def environment(self) -> dict[str, str]:
        """All STEELYARD_* variables of this home."""
        found = {
            "HOME": str(self.path),
            "RPC": self.town.market.embedded.url,
            "GATEWAY": self.town.gateway,
            "PASSPHRASE": PASSPHRASE,
        }
        return {f"STEELYARD_{name}": value for name, value in (found | self.settings).items()}

    def market(self, **changes: Any) -> Market:
        """The Python client in this home; the caller closes it."""
        url, gateway = self.town.market.embedded.url, self.town.gateway
        return Market(home=self.path, rpc=url, gateway=gateway, passphrase=PASSPHRASE, **changes)

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """A command as a process of its own; the caller ends it. environment: more variables, by their full names."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STEELYARD_")}
        return subprocess.Popen(
            [str(STEELYARD), *words],
            env=kept | self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command as a process of its own, to its end."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=60)
            return subprocess.CompletedProcess(words, process.returncode, out, err)
