"""An audit of a real chain and a real gateway: sound as it was lived, and each spoiled thing named for what it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from marketplace.chain.client import Chain
from marketplace.chain.contracts import encode_call
from marketplace.core import unixfs
from marketplace.core.audit import Check
from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.errors import NotFoundError
from marketplace.storage import GatewayStore
from marketplace.verify import Report, trace, verify
from tests.support.audited import Past, live, lying_endpoint
from tests.support.catalogue import running_town


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    with running_town(tmp_path_factory.mktemp("store")) as town:
        yield live(town)


def audit(past: Past, subject: int | bytes | None = None) -> Report:
    return verify(past.town.market.chain, past.town.store, subject)


def only(report: Report) -> Check:
    """The one line that does not hold."""
    failures = report.failures()
    assert len(failures) == 1, failures
    assert not report.ok
    return failures[0]


def flipped(block: bytes) -> bytes:
    return block[:100] + bytes([block[100] ^ 1]) + block[101:]


def gone(block: bytes) -> None:
    return None


def test_an_honest_past_passes_and_streams_every_line(past: Past) -> None:
    lines: list[Check] = []
    report = verify(past.town.market.chain, past.town.store, None, lines.append)
    assert report.failures() == []
    assert report.ok
    assert list(report.checks) == lines
    names = {check.name for check in report.checks if check.kind == "proved"}
    assert names >= {
        "deployment", "blocks", "steps", "invariant", "solvency", "storage", "listing", "listing name", "offer",
        "offer signature", "offer epoch", "offer fields", "offer validity", "offer uses", "terms", "terms scope",
        "money", "failure fee", "receipt digest", "receipt signature", "wrapped key", "input", "algorithm", "release",
        "spec", "bundle", "output header", "output job", "output blocks", "report", "report subject", "model",
        "model origin", "credit",
    }  # fmt: skip
    claims = {check.name for check in report.checks if check.kind == "claimed"}
    assert claims >= {
        "key",
        "run",
        "purpose",
        "environment",
        "isolation",
        "times",
        "fault",
        "metrics",
        "bundle",
    }
    assert all(check.ok is None for check in report.checks if check.kind == "claimed")


def test_the_report_as_json_names_state_and_deployment(past: Past) -> None:
    report = audit(past)
    value = report.to_json()
    assert value["deployment"] == past.town.market.chain.deployment.digest.hex()
    assert value["block"] == report.block
    assert value["ok"] is True
    assert len(value["checks"]) == len(report.checks)


def test_an_audit_of_one_job_leaves_the_others_out(past: Past) -> None:
    report = audit(past, past.jobs[1].job_id)
    assert report.ok
    subjects = {check.subject for check in report.checks if check.subject.startswith("job")}
    assert subjects == {f"job 0x{past.jobs[1].job_id.hex()}"}


def test_an_audit_of_a_model_leads_to_its_job_and_its_data(past: Past) -> None:
    report = audit(past, past.model)
    assert report.ok
    subjects = {check.subject for check in report.checks}
    assert {f"asset {past.asset}", f"asset {past.model}", f"job 0x{past.jobs[0].job_id.hex()}"} <= subjects


@pytest.mark.parametrize("subject", [5, bytes(32)])
def test_an_audit_of_what_does_not_exist_says_so(past: Past, subject: int | bytes) -> None:
    with pytest.raises(NotFoundError, match="knows no such"):
        audit(past, subject)


def body_blocks(past: Past) -> list[Cid]:
    header = past.headers[past.jobs[0].job_id]
    return list(unixfs.blocks(header.body, past.town.store.get))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_byte_of_an_output_is_wrong_and_not_missing(past: Past, place: int) -> None:
    cid = body_blocks(past)[place]
    with past.spoiled(cid, flipped):
        found = only(audit(past))
        hashes_to = sha256(past.town.folder.path_of(cid).read_bytes())
    assert (found.name, found.problem, found.ok) == ("output block", "wrong", False)
    assert found.subject == f"job 0x{past.jobs[0].job_id.hex()}"
    assert str(cid) in found.got
    assert hashes_to.hex() in found.got


def test_a_missing_leaf_is_missing_and_not_wrong(past: Past) -> None:
    cid = body_blocks(past)[-1]
    with past.spoiled(cid, gone):
        found = only(audit(past))
    assert (found.name, found.problem, found.ok) == ("output block", "missing", False)
    assert str(cid) in found.got


def test_two_bad_leaves_are_two_findings(past: Past) -> None:
    _, first, second, _ = body_blocks(past)
    with past.spoiled(first, flipped), past.spoiled(second, gone):
        failures = audit(past).failures()
    assert [(check.name, check.problem) for check in failures] == [
        ("output block", "wrong"),
        ("output block", "missing"),
    ]


def test_a_swapped_listing_is_wrong_and_the_rest_is_still_checked(past: Past) -> None:
    other = past.town.listing(b"\7" * 32, past.terms, name="Other readings").to_bytes()
    with past.spoiled(past.listing.cid, lambda _: other):
        report = audit(past)
    found = only(report)
    assert (found.name, found.problem, found.subject) == ("listing", "wrong", f"asset {past.asset}")
    assert sha256(other).hex() in found.got
    assert any(check.name == "output blocks" and check.ok for check in report.checks)


@pytest.mark.parametrize(
    ("name", "pick"),
    [
        ("terms", lambda past: past.terms.cid),
        ("offer", lambda past: Cid.raw(past.offer_document)),
        ("algorithm", lambda past: Cid.raw(past.approval)),
        ("spec", lambda past: Cid.raw(past.jobs[0].spec)),
        ("bundle", lambda past: past.listing.algorithms[0].cid),
        ("output header", lambda past: past.headers[past.jobs[1].job_id].cid),
    ],
)
@pytest.mark.parametrize(("spoil", "problem"), [(lambda block: block + b" ", "wrong"), (gone, "missing")])
def test_each_document_is_named_wrong_or_missing(
    past: Past, name: str, pick: Any, spoil: Any, problem: str
) -> None:
    cid = pick(past)
    with past.spoiled(cid, spoil):
        failures = audit(past).failures()
    assert {(check.name, check.problem) for check in failures} == {(name, problem)}
    assert all(str(cid) in check.got for check in failures)


def test_a_gateway_that_is_down_leaves_lines_unjudged_and_the_audit_failed(past: Past) -> None:
    with GatewayStore("http://127.0.0.1:9", timeout=1) as nowhere:
        report = verify(past.town.market.chain, nowhere, None)
    assert not report.ok
    assert {check.problem for check in report.failures()} == {"unavailable"}
    assert {check.ok for check in report.failures()} == {None}
    assert all(check.ok for check in report.checks if check.name in ("storage", "money", "receipt signature"))


def lied_to(past: Past, rewrite: Any) -> Report:
    chain = past.town.market.chain
    with (
        lying_endpoint(chain.rpc.url, rewrite) as url,
        Chain(url, chain.deployment, confirmations=1, timeout=20) as liar,
    ):
        return verify(liar, past.town.store, None)


def test_an_endpoint_that_lies_about_a_stored_balance_is_found(past: Past) -> None:
    provider = past.town.market.provider.address
    asked = "0x" + encode_call("Market", "balanceOf", (provider,)).hex()

    def rewrite(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_call" and params[0]["data"] == asked:
            return f"0x{int(result, 16) + 1:064x}"
        return result

    found = only(lied_to(past, rewrite))
    assert (found.name, found.subject, found.problem) == ("storage", f"account {provider}", "differs")
    assert int(found.got) == int(found.expected) + 1


def test_an_endpoint_that_hides_a_log_is_found(past: Past) -> None:
    def rewrite(method: str, params: list[Any], result: Any) -> Any:
        return (
            result[:-4] if method == "eth_getLogs" else result
        )  # the model's registration and the withdrawal

    report = lied_to(past, rewrite)
    assert {check.name for check in report.failures()} == {"storage", "solvency"}


def test_a_receipt_signed_by_another_key_is_found(past: Past) -> None:
    market = past.town.market
    job = past.jobs[0].job_id
    (event,) = [e for e in market.chain.logs() if type(e).__name__ == "ReceiptSubmitted" and e.job_id == job]
    other = market.sign(event.receipt, market.account("an old node"))

    def rewrite(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            for log in result:
                log["data"] = log["data"].replace(event.signature.hex(), other.hex())
        return result

    found = only(lied_to(past, rewrite))
    assert (found.name, found.subject) == ("receipt signature", f"job 0x{job.hex()}")
    assert found.expected == market.node.address
    assert found.got == market.account("an old node").address


def test_a_forged_block_hash_is_found(past: Past) -> None:
    def rewrite(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            first = result[0]["blockHash"]
            for log in result:
                if log["blockHash"] == first:
                    log["blockHash"] = "0x" + "1" * 64
        return result

    assert only(lied_to(past, rewrite)).name == "blocks"


def test_other_code_at_an_address_is_found(past: Past) -> None:
    def rewrite(method: str, params: list[Any], result: Any) -> Any:
        address = past.town.market.chain.deployment.participants
        return result + "00" if method == "eth_getCode" and params[0] == address else result

    found = only(lied_to(past, rewrite))
    assert (found.name, found.subject) == ("deployment", "code of ParticipantRegistry")


def test_an_answer_that_is_no_value_becomes_a_line(past: Past) -> None:
    asked = "0x" + encode_call("Market", "jobOf", (past.jobs[0].job_id,)).hex()

    def rewrite(method: str, params: list[Any], result: Any) -> Any:
        return "0x" if method == "eth_call" and params[0]["data"] == asked else result

    failures = lied_to(past, rewrite).failures()
    assert {check.name for check in failures} == {"storage", "receipt digest"}


def test_a_trace_tells_a_job_from_purchase_to_model(past: Past) -> None:
    steps = trace(past.town.market.chain, past.jobs[0].job_id)
    assert [step.event for step in steps] == [
        "OfferAnnounced", "AccessBought", "JobOpened", "ReceiptSubmitted", "JobSettled", "Transfer",
        "AssetPublished", "CreditsMinted",
    ]  # fmt: skip
    assert [step.time for step in steps] == sorted(step.time for step in steps)
    assert steps[1].details["uses"] == 5
    reviewed = [step.event for step in trace(past.town.market.chain, past.jobs[1].job_id)]
    assert reviewed.count("ApprovalAnnounced") == 2


def test_a_trace_of_an_asset_holds_all_its_jobs(past: Past) -> None:
    steps = trace(past.town.market.chain, past.asset)
    assert sum(step.event == "JobOpened" for step in steps) == 4
    with pytest.raises(NotFoundError):
        trace(past.town.market.chain, bytes(32))
