"""`python -m marketplace` is `steelyard`."""

from __future__ import annotations

from marketplace.cli import main

main()
