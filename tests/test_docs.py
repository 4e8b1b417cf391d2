"""The pages of `docs/` are run, not believed: every block of Python on them, word for word, on a real market."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.algorithms import bundle_of
from compute.sandbox import Sandbox
from marketplace.core.terms import CustomAlgorithms
from marketplace.core.vat import Papers
from tests.support.homes import Home
from tests.support.hubs import running_hub
from tests.support.works import open_works, running_works_town

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
PYTHON = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
TABLE = b"time,load,anomaly\n" + b"".join(b"%d,%d.5,%d\n" % (n, n % 7, n % 7 > 4) for n in range(200))
URL = "http://127.0.0.1:8000"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[tuple[Home, str]]:
    """The home of somebody who reads the page, and a hub; a dataset called `shuttle` is for sale, its node at work."""
    with Sandbox() as sandbox, running_works_town(tmp_path / "gateway", window=60) as town:
        works = open_works(town, sandbox, tmp_path / "works", "docs")
        works.publish(
            bundle_of("tabular-classifier"), slug="shuttle", table=TABLE, custom=CustomAlgorithms.approval
        )
        home = Home(tmp_path / "home", town)
        home.keyring.import_wallet("startup", bytes(town.market.account("docs reader", euros=100).key))
        home.keyring.import_wallet("works", bytes(works.owner.key))
        (home.path / "scripts").symlink_to(ROOT / "scripts")
        with running_hub(town, tmp_path) as hub, works.running():
            yield home, hub


@pytest.mark.slow
def test_every_block_of_the_python_page_runs_in_its_order(reader: tuple[Home, str]) -> None:
    home, hub = reader
    page = home.path / "page.py"
    page.write_text(PYTHON.replace(URL, hub))  # a free port instead of the usual one
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(page)],
        cwd=home.path,
        env=os.environ | home.environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 0, ran.stderr
    assert "state on chain: submitted" in ran.stdout or "state on chain: settled" in ran.stdout
    assert "the time ran out before the job got there" in ran.stdout
    assert "a use costs more than you would pay" in ran.stdout
    assert "did:steelyard:31337:" in ran.stdout
    assert (home.path / "model" / "curve.png").is_file()
    assert ",sale,counterparty,balance,2.000000," in (home.path / "statement.csv").read_text()


@pytest.mark.slow
def test_the_python_page_is_typed(tmp_path: Path) -> None:
    page = tmp_path / "page.py"
    page.write_text(PYTHON)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(page)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_papers_on_the_python_page_parse() -> None:
    (toml,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    papers = Papers.read(toml.encode())
    assert papers.own.vat_rate == "19"
    assert [party.reverse_charge for party in papers.counterparties.values()] == [True]
