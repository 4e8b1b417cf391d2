"""Shared by all tests: nothing here may hide a failure."""

from __future__ import annotations

from hypothesis import settings

# Machines are shared and slow at times; an example's time is no property of the code.
settings.register_profile("steelyard", deadline=None, print_blob=True)
settings.load_profile("steelyard")
