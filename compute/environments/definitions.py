"""Ready-made environments: TOML beside this module says which packages each is made of, by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from marketplace.errors import NotFoundError

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Definition:
    """packages: names of packages that are installed beside the node; what they need comes with them."""

    name: str
    description: str
    packages: tuple[str, ...]


def ready_made() -> dict[str, Definition]:
    """All of them, by name."""
    tables = (tomllib.loads(path.read_text("utf-8")) for path in sorted(_HERE.glob("*.toml")))
    return {
        table["name"]: Definition(table["name"], table["description"], tuple(table["packages"]))
        for table in tables
    }


def definition(name: str) -> Definition:
    """Raises NotFoundError naming those that there are."""
    found = ready_made()
    if name not in found:
        raise NotFoundError(
            "there is no such ready-made environment",
            got=name,
            expected=" or ".join(found),
            do="Name a list of your own: --requirements FILE",
        )
    return found[name]
