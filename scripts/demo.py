"""One job from end to end on this machine: publish, buy, train, settle, audit; then everything that goes wrong.

Chain, gateway, hub, the provider's node and the buyer are processes of their own, each with a home of its own;
nothing passes between them but chain and HTTP. Each step is a `steelyard ... --json` command, as a user would type.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from demo_market import DemoError, Market, Party
from demo_report import Report, euros
from river.datasets import Shuttle

ALGORITHMS = Path(__file__).parent / "demo_algorithms"
PURPOSE = "predictive-maintenance"
PRICE, FEE_PERCENT, USES = 25, 10, 5
BOND = 100
WINDOW, JOB_TIME = 8, 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the story")
    parser.add_argument(
        "--keep", action="store_true", help="leave everything running and print the addresses"
    )
    parser.add_argument(
        "--ipfs",
        action="store_true",
        help="an IPFS daemon holds the shared store: js-ipfs, for development, which has Kubo's RPC",
    )
    chosen = parser.parse_args()
    report = Report(quiet=chosen.json)
    with (
        tempfile.TemporaryDirectory(prefix="steelyard-demo-") as folder,
        Market(Path(folder), ipfs=chosen.ipfs) as market,
    ):
        try:
            Story(market, report).tell()
        except DemoError as error:
            sys.stderr.write(f"the demo stopped: {error}\n")
            return 1
        report.end()
        if chosen.keep:
            market.keep()
    return 0


class Story:
    """The demo's acts, in order."""

    def __init__(self, market: Market, report: Report) -> None:
        self.market, self.report = market, report

    def tell(self) -> None:
        self.open_market()
        self.publish()
        self.buy()
        model_job = self.train()
        self.score(model_job)
        self.own_lines()
        self.crash()
        self.thief()
        self.settle()
        self.audit()
        self.tamper(model_job)

    # 1. The provider lists four fifths of Shuttle; the buyer keeps one fifth that is never listed

    def open_market(self) -> None:
        store = self.market.store_name
        self.report.act(f"Opening a market: chain, {store} and hub, each a process with a folder of its own")
        if "IPFS" in store:
            self.report.say(
                "the daemon is js-ipfs, for development; it is reached by Kubo's RPC, as Kubo would be"
            )
        self.market.start_services(window=WINDOW, job_time=JOB_TIME)
        self.provider, self.buyer = self.market.party("north-works"), self.market.party("startup")
        self.auditor = self.market.party("auditor")
        with ThreadPoolExecutor() as pool:
            ready = [
                pool.submit(self._set_up, self.provider, BOND),
                pool.submit(self._set_up, self.buyer, 500),
            ]
            for done in ready:
                done.result()
        node = self.provider.run("node", "init")
        self.report.row(f"provider registers its node, and pledges {BOND} EUR", node)

    def _set_up(self, party: Party, euros_: int) -> None:
        party.run("wallet", "new", party.name)
        party.run("wallet", "fund", "--euros", str(euros_))

    def publish(self) -> None:
        listed, held_out = split_shuttle(self.provider.home / "shuttle.csv", self.buyer.home / "held-out.csv")
        self.report.act(
            f"The provider publishes {listed} rows of Shuttle; {held_out} rows stay with the buyer, unlisted"
        )
        published = self.provider.run(
            *("dataset", "publish", str(self.provider.home / "shuttle.csv"), "--slug", "shuttle"),
            *("--name", "Shuttle radiator telemetry", "--licence", "CC-BY-4.0", "--creator", "North Works"),
            *(
                "--description",
                "Nine sensor readings of a radiator subsystem and whether they are anomalous.",
            ),
            *("--algorithm", "tabular-classifier", "--purpose", PURPOSE, "--custom", "approval"),
            *("--keyword", "predictive maintenance", "--keyword", "anomaly detection"),
        )
        self.report.row("publish: check, seal, list", published)
        offer = self.provider.run(
            *("dataset", "offer", published["id"], "--price", str(PRICE), "--failure-fee", str(FEE_PERCENT))
        )
        self.report.row(f"offer at {PRICE} EUR a use, {FEE_PERCENT}% kept when an algorithm fails", offer)
        self.asset = published["id"]
        self.report.value["dataset"] = published
        self.report.value["gas"]["publish"] = published["gas"]
        self.market.wait_for_hub()
        self.market.start_node(self.provider)

    # 2. The startup finds it, buys, trains

    def buy(self) -> None:
        self.report.act("A startup finds it and buys five uses with one permit, in one transaction")
        found = self.market.wait_until_listed(self.buyer, "shuttle anomaly")
        bought = self.buyer.run("access", "buy", found["id"], "--uses", str(USES))
        self.report.row(f"buy {USES} uses", bought)
        self.report.value["grant"] = bought
        self.report.value["gas"]["buy"] = bought["gas"]

    def train(self) -> str:
        self.report.act("It trains the ready-made tabular-classifier on data that it never sees")
        opened = self.buyer.run(
            *("job", "start", self.asset, "--algorithm", "tabular-classifier", "--purpose", PURPOSE),
            *("--param", "target=anomaly", "--param", "epochs=12"),
        )
        self.report.row("open job: tabular-classifier", opened)
        self.report.value["gas"]["open"] = opened["gas"]
        for seen in self.buyer.lines("job", "watch", opened["job"]):
            self.report.progress(seen)
        return str(opened["job"])

    def score(self, job: str) -> None:
        result = self.buyer.home / "model"
        opened = self.buyer.run("job", "result", job, "--to", str(result))
        self.report.say(f"opened and verified: {', '.join(opened['files'])}")
        accepted = self.buyer.run("job", "accept", job)
        with ThreadPoolExecutor() as pool:
            scoring = pool.submit(self._scores, result)
            registered = self.buyer.run(
                "model",
                "register",
                job,
                "--name",
                "shuttle-anomalies",
                "--metrics",
                str(result / "metrics.json"),
            )
            status = self.buyer.run("job", "status", job)
            scores = scoring.result()
        self.report.say(
            f"on {scores['rows']} held-out rows: balanced accuracy {scores['balanced_accuracy']:.4f}, "
            f"always guessing the most frequent class {scores['majority_baseline']:.4f}"
        )
        submitted = self._transaction(status, "ReceiptSubmitted")
        self.report.row("node submits receipt and wrapped key", submitted)
        self.report.row("buyer accepts: provider is credited", accepted)
        self.report.row("buyer registers the model: provider gets its credit", registered)
        self.report.value["gas"]["submit"] = submitted["gas"]
        self.report.value["model"] = {
            "did": registered["did"],
            "balanced_accuracy": scores["balanced_accuracy"],
            "majority_baseline": scores["majority_baseline"],
        }
        self._note_job("tabular-classifier", status)

    def _scores(self, result: Path) -> dict[str, Any]:
        held_out = str(self.buyer.home / "held-out.csv")
        return self.buyer.run("model", "evaluate", str(result), "--data", held_out, "--target", "anomaly")

    # 4. Its own lines, a crash, a thief

    def own_lines(self) -> None:
        self.report.act("It sends ten lines of its own; the owner reads and approves them, then their output")
        job = self._start_custom("class-profile", "--param", "target=anomaly")
        self._approve(job, "algorithm")
        self._approve(job, "output")
        self.buyer.run("job", "wait", job)
        self.buyer.run("job", "result", job, "--to", str(self.buyer.home / "profile"))
        profile = json.loads((self.buyer.home / "profile" / "profile.json").read_text())
        self.report.say(f"the buyer opens profile.json: rows by class {profile['rows']}")
        self.profile_job = job

    def crash(self) -> None:
        self.report.act("One algorithm crashes")
        job = self._start_custom("crash")
        self._approve(job, "algorithm")
        self._failed(job, "crash")
        self.crash_job = job

    def thief(self) -> None:
        self.report.act("One tries to read and send away what it must not; approved only to show the sandbox")
        job = self._start_custom("thief")
        self._approve(job, "algorithm")
        self._failed(job, "thief")
        self.thief_job = job
        refund = self.buyer.run("access", "refund", self.asset)
        self.report.row("the grant has ended: the fifth use is claimed back", refund)
        self._note_refund("unused use", refund["amount"])

    def _start_custom(self, name: str, *parameters: str) -> str:
        opened = self.buyer.run(
            *(
                "job",
                "start",
                self.asset,
                "--algorithm",
                str(ALGORITHMS / name),
                "--purpose",
                PURPOSE,
                *parameters,
            )
        )
        self.report.row(f"open job: {name}", opened)
        return str(opened["job"])

    def _approve(self, job: str, kind: str) -> None:
        self.market.wait_until_node_says(
            f"waits for your {'approval' if kind == 'algorithm' else 'review'}", job
        )
        shown = self.provider.run("request", "show", job)
        names = ", ".join(f"{file['name']} ({file['bytes']} bytes)" for file in shown["files"])
        self.report.say(f"the owner sees the {kind}: {names}")
        signed = self.provider.run("request", "approve", job, *(["--output"] if kind == "output" else []))
        self.report.row(f"owner signs: {signed['signed']} of the {kind}", signed)

    def _failed(self, job: str, name: str) -> None:
        waited = self.buyer.run("job", "wait", job, expect=1)
        fee = PRICE * 1_000_000 * FEE_PERCENT // 100
        refund = PRICE * 1_000_000 - fee
        self.report.row(f"node reports: {waited['note']}", self._transaction(waited, "JobFaulted"))
        self.report.say(
            f"{euros(refund)} go back to the buyer, {euros(fee)} to the provider after the window"
        )
        self._note_refund(name, waited["history"][-1]["refund"])

    # The rest of the money

    def settle(self) -> None:
        self.report.act("Windows end; the node finalises; both sides withdraw")
        ended = self.buyer.run("job", "wait", self.profile_job, "--for", "ended")
        finalised = self._transaction(ended, "JobSettled")
        self.report.row("node finalises one job", finalised)
        self.report.value["gas"]["finalise"] = finalised["gas"]
        self._note_job("class-profile", ended)
        for job, name in ((self.crash_job, "crash"), (self.thief_job, "thief")):
            self._note_job(name, self.buyer.run("job", "wait", job, "--for", "ended", expect=1))
        with ThreadPoolExecutor() as pool:
            paid = pool.map(lambda party: party.run("earnings", "withdraw"), (self.provider, self.buyer))
            for name, row in zip(("provider", "buyer"), paid, strict=True):
                self.report.row(f"{name} withdraws {euros(row['amount'])}", row)

    def _note_job(self, name: str, status: dict[str, Any]) -> None:
        kept = {key: status[key] for key in ("job", "state", "note")}
        self.report.value["jobs"].append({"algorithm": name, **kept})

    def _note_refund(self, what: str, amount: Any) -> None:
        self.report.value["refunds"].append({"for": what, "amount": int(amount)})

    # 5. The auditor

    def audit(self) -> None:
        self.report.act(
            f"An auditor with a deployment file, an RPC and {self.market.store_name} verifies all; the hub is stopped"
        )
        self.market.stop_hub()
        audit = self.auditor.run("audit", "verify", "all", hub=False)
        proved = [check for check in audit["checks"] if check["kind"] == "proved"]
        claimed = len(audit["checks"]) - len(proved)
        self.report.say(
            f"{sum(c['ok'] is True for c in proved)} of {len(proved)} checks hold; {claimed} lines are claims"
        )
        self.report.value["audit"] = {"ok": audit["ok"], "checks": len(proved), "claimed": claimed}

    def tamper(self, job: str) -> None:
        self.report.act(
            f"One byte of a shared block is changed; {self.market.store_name} serves it unchecked"
        )
        events = self.auditor.run("audit", "trace", job)["events"]
        submitted = next(event for event in events if event["event"] == "ReceiptSubmitted")
        changed = self.market.flip_byte_of_output(submitted)
        audit = self.auditor.run("audit", "verify", "all", hub=False, expect=1)
        wrong = [check for check in audit["checks"] if check["kind"] == "proved" and check["ok"] is not True]
        finding = wrong[0] if wrong else {}
        self.report.say(f"changed {changed}; the audit says {finding.get('problem')}: {finding.get('got')}")
        if not any(changed in json.dumps(check) and check["problem"] == "wrong" for check in wrong):
            raise DemoError("the audit did not name the changed block as wrong")
        self.report.value["audit_after_tamper"] = {"ok": audit["ok"], "finding": finding}

    def _transaction(self, status: dict[str, Any], name: str) -> dict[str, Any]:
        """The transaction of one event in a job's history."""
        event = next(event for event in status["history"] if event["event"] == name)
        return self.market.transaction(event["transaction"])


def split_shuttle(listed: Path, held_out: Path) -> tuple[int, int]:
    """river's Shuttle as two CSV files: every fifth row of each class is held out. Returns the numbers of rows."""
    header, *lines = gzip.decompress(Path(Shuttle().path).read_bytes()).decode().splitlines()
    seen: dict[str, int] = {}
    parts: tuple[list[str], list[str]] = ([header], [header])
    for line in lines:
        label = line.rpartition(",")[2]
        seen[label] = seen.get(label, 0) + 1
        parts[seen[label] % 5 == 0].append(line)
    for path, part in zip((listed, held_out), parts, strict=True):
        path.write_text("\n".join([*part, ""]))
    return len(parts[0]) - 1, len(parts[1]) - 1


if __name__ == "__main__":
    sys.exit(main())
