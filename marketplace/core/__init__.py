"""The rules, as pure functions and types: no input or output, no clock, no randomness unless passed in."""

import sys

import py_ecc  # noqa: F401  # for its side effect, which is taken back below

# py_ecc, which eth-account needs, raises Python's recursion limit to 100,000 when it is first imported. With that, JSON
# of a hundred thousand brackets overflows the stack and ends the process, where it should be a RecursionError.
sys.setrecursionlimit(min(sys.getrecursionlimit(), 1_000))
