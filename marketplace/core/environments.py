"""How an algorithm names the environment that it wants: by name, or by a list's digest as well. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, Self

from marketplace.core.exact import brief
from marketplace.errors import InputError

MAX_ENVIRONMENTS = 16
SHORT = 12
"""Hex digits of a digest that name one list among those of a node."""
_WANTED = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*)(?:@([0-9a-f]{12,64}))?", re.ASCII)
_MAX_NAME = 64


class Named(Protocol):
    """An environment, listed or built. digest: SHA-256 of its sorted list of packages, 32 bytes."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> bytes: ...


@dataclass(frozen=True)
class WantedEnvironment:
    """What a manifest asks for. digest: the first 12 to 64 hex digits of a list's, or empty: whichever is there."""

    name: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `python-ml` or `python-ml@1f2e3d4c5b6a`. Raises InputError."""
        found = _WANTED.fullmatch(text)
        if found is None or len(found[1]) > _MAX_NAME:
            raise InputError(
                "that names no environment",
                got=brief(text),
                expected="as python-ml, or python-ml@12 hex digits",
            )
        return cls(found[1], found[2] or "")

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else self.name

    def fits(self, one: Named) -> bool:
        return one.name == self.name and one.digest.hex().startswith(self.digest)


def named(environments: Iterable[Named]) -> str:
    """Each as `name@digest`, the digest cut, for people."""
    return ", ".join(f"{one.name}@{one.digest.hex()[:SHORT]}" for one in environments) or "none"
