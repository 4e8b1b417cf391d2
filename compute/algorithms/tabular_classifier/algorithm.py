"""Entrypoint of the bundle: started by path inside the sandbox, where the package `tabular` lies beside it."""

from __future__ import annotations

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.exit(import_module("tabular.job").main())
