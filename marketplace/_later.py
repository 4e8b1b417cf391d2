"""Modules that are loaded when something in them is first used."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class Later(ModuleType):
    """Stands in for a module. constants: what others read from it while they are imported, known beforehand."""

    def __init__(self, name: str, **constants: Any) -> None:
        super().__init__(name)
        self.__dict__.update(constants)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return _Name(self.__name__, attribute)


class _Name:
    """A name taken from a stand-in; using it loads the real module."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._of = module, name

    def __getattr__(self, attribute: str) -> Any:
        if isinstance(sys.modules.get(self._module), Later):
            del sys.modules[self._module]
        return getattr(getattr(importlib.import_module(self._module), self._of), attribute)
