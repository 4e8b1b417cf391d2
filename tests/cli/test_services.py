"""`steelyard chain run --keep`: what a market was deployed with stays, and a later start says so."""

from __future__ import annotations

import json
import signal

from tests.support.homes import Home


def started(home: Home, *options: str) -> tuple[dict[str, str], list[str]]:
    """A kept chain until it serves, then ended: its first line, and its remarks."""
    with home.start("chain", "run", "--keep", "--port", "0", *options, "--json") as process:
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        remarks = [json.loads(line) for line in process.stderr]
        assert first, remarks
    return json.loads(first), [remark["note"] for remark in remarks if "note" in remark]


def test_a_kept_market_keeps_its_limits_and_says_which_options_changed_nothing(empty_home: Home) -> None:
    (empty_home.path / "deployment.json").unlink()
    first, quiet = started(empty_home, "--window", "60", "--bond", "7")
    again, said = started(empty_home, "--bond", "7")
    assert (again["digest"], again["service"]) == (first["digest"], "chain")
    assert quiet == []
    assert said == ["the kept market stays as it was deployed: window 60"]
