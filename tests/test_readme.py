"""The README is run, not believed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from marketplace.api.hub import create_app
from marketplace.api.letters import REVERSED
from marketplace.api.problems import kinds
from marketplace.cli import build
from marketplace.settings import Settings
from marketplace.webhooks import new_secret, sign
from marketplace.wire.accounts import Topic
from tests.api.conftest import hub_in

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
API = (ROOT / "docs" / "api.md").read_text("utf-8")


def test_every_setting_is_in_the_readme() -> None:
    named = set(re.findall(r"`STEELYARD_([A-Z_]+)`", README))

    assert {name.upper() for name in Settings.model_fields} == named


def test_every_command_that_the_readme_names_exists() -> None:
    app = build([])
    known = {
        f"{group.name} {command.name or command.callback.__name__}"
        for group in app.registered_groups
        if group.typer_instance is not None
        for command in group.typer_instance.registered_commands
        if command.callback is not None
    }
    named = set(re.findall(r"steelyard ([a-z]+ [a-z][a-z-]*)", README))

    assert len(named) > 15
    assert named <= known


def test_every_file_that_the_readme_names_exists() -> None:
    named = re.findall(r"`\.?/?((?:scripts|contracts|compute|tests|marketplace)/[\w./-]+)`", README)

    assert named
    for path in named:
        assert (ROOT / path).exists(), path


def test_every_route_of_the_hub_is_in_its_page_and_no_other(tmp_path: Path) -> None:
    hub = hub_in(tmp_path)
    document = create_app(hub).openapi()["paths"]
    hub.database.close()
    hub.accounts.close()
    routes = {f"{method.upper()} {path}" for path, methods in document.items() for method in methods}

    assert len(routes) > 20
    assert routes == set(re.findall(r"^\| `((?:GET|POST|DELETE) /[^`]*)`", API, re.MULTILINE))


def test_every_kind_of_problem_and_every_topic_is_in_the_apis_page() -> None:
    named = set(re.findall(r"`([\w.-]+)`", API))

    assert {kind.type.removeprefix("urn:steelyard:problem:") for kind in kinds().problems} <= named
    assert {topic.value for topic in Topic} | {REVERSED} <= named


def test_the_apis_receiver_takes_what_is_signed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"<!-- test: receiver -->\n```python\n(.*?)```", API, re.DOTALL)
    assert block
    names: dict[str, Any] = {"SECRET": new_secret(b"\1" * 32), "SEEN": set()}
    exec(block[1], names)
    names["Receiver"].log_message = lambda *_: None
    server = HTTPServer(("127.0.0.1", 0), names["Receiver"])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    url, body, now = (
        f"http://127.0.0.1:{server.server_port}",
        b'{"type":"job.settled","data":{}}',
        int(time.time()),
    )
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = sign(names["SECRET"], "msg_1", now, body)
    try:
        sent = [
            httpx.post(url, content=text, headers=headers).status_code for text in (body, body, body + b" ")
        ]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert sent == [204, 204, 400]
    assert capsys.readouterr().out == "job.settled {}\n"


@pytest.mark.slow
def test_the_trade_by_hand_runs_word_for_word(tmp_path: Path) -> None:
    from sklearn.datasets import load_breast_cancer

    block = re.search(r"<!-- test: by hand -->\n```bash\n(.*?)```", README, re.DOTALL)
    assert block
    table = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "diagnosis"})
    table.to_csv(tmp_path / "patients.csv", index=False)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))

    with running(block[1], tmp_path) as (code, output):
        assert code == 0, output

    assert "checks hold" in output
    assert re.search(r"balanced accuracy 0\.9\d+", output), output
    assert (tmp_path / "model" / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_pages_of_operator_provider_and_buyer_run_word_for_word(tmp_path: Path) -> None:
    """One market, in the order of a first day; here, because the trade by hand takes the same ports."""
    from sklearn.datasets import load_breast_cancer

    table = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "diagnosis"})
    table.to_csv(tmp_path / "patients.csv", index=False)
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    names = ("operator", "provider", "buyer", "provider, later")
    pages = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("operator", "provider", "buyer"))
    found = dict(re.findall(r"<!-- test: ([a-z, ]+) -->\n```bash\n(.*?)```", pages, re.DOTALL))

    with running("\n".join(found[name] for name in names), tmp_path) as (code, output):
        assert code == 0, output

    assert (tmp_path / "model" / "metrics.json").is_file()
    assert "12.50" in (tmp_path / "books.html").read_text()
    assert (tmp_path / "hospital.backup").is_file()
    assert set(found) == set(names)


@contextmanager
def running(script: str, folder: Path) -> Iterator[tuple[int, str]]:
    """The script's exit code and output; everything that it started ends with it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEELYARD_")}
    with (folder / "output.txt").open("w+") as output:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=kept,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=240)
            output.seek(0)
            yield code, output.read()
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def test_every_test_that_the_threats_name_exists() -> None:
    table = README[README.index("<!-- threats") : README.index("## Figures")]
    named = set(re.findall(r"`((?:test|testFuzz|invariant)_\w+)`", table))
    suites = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("tests/**/*.sol")]
    written = {name for path in suites for name in re.findall(r"(?:def|function) (\w+)\(", path.read_text())}
    assert len(named) > 20
    assert named <= written
