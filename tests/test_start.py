"""What importing the package does to the process: little, and nothing that weakens it."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_recursion_limit_stays_where_a_deep_document_is_an_error_and_not_a_crash() -> None:
    code = """
import sys, marketplace.keys
from marketplace.core.canonical import parse_json
from marketplace.errors import InputError
assert sys.getrecursionlimit() <= 1000
try:
    parse_json(b"[" * 200_000, what="a document")
except InputError as error:
    print(error.what)
"""

    assert "a document" in run(code)


def test_curves_that_nobody_here_uses_are_not_loaded() -> None:
    code = "import sys, marketplace.keys; print(any('optimized_bls' in name for name in sys.modules))"

    assert run(code) == "False"


@pytest.mark.parametrize("first", ["import marketplace.keys", "import eth_keyfile"])
def test_those_curves_work_where_somebody_does_use_them(first: str) -> None:
    code = f"""
{first}
import marketplace.keys, sys
from eth_keyfile.keyfile import bls, MAX_V4_PRIVATE_KEY
key = bls.SkToPk(5).hex()
for name in [name for name in sys.modules if name.startswith("py_ecc.bls")]:
    del sys.modules[name]
from py_ecc.bls import G2ProofOfPossession
from py_ecc.bls12_381 import curve_order
print(key == G2ProofOfPossession.SkToPk(5).hex(), MAX_V4_PRIVATE_KEY == curve_order - 1)
"""

    assert run(code) == "True True"
