"""The judgement on one job under a dataset's terms. Pure.

Made by the provider's own node, from the terms that the offer's digest names. Anything in the terms that this
version does not know, anywhere, denies every job: a rule that is skipped is a rule broken.

Covered: asset, buyer, purpose, time, uses, which algorithms run, whose output waits for review.
Not covered: a purpose is what the buyer declares in the job's spec, and no machine can check that it is true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from marketplace.core.exact import brief
from marketplace.core.terms import CustomAlgorithms, Purpose, Terms, date_time
from marketplace.errors import InputError

__all__ = [
    "Context",
    "CustomAlgorithms",
    "Deny",
    "Judgement",
    "NotUnderstood",
    "Permit",
    "Purpose",
    "Rule",
    "Terms",
    "describe",
    "evaluate",
    "read_terms",
    "reason_bytes32",
    "reason_code",
]


_PURPOSE_WORDS: Mapping[Purpose, str] = {
    Purpose.research: "research that is published and not for gain",
    Purpose.commercial_research: "research for gain",
    Purpose.product_development: "developing a product or service",
    Purpose.predictive_maintenance: "telling when machines will need repair",
    Purpose.quality_control: "finding faults in what is made",
    Purpose.fraud_detection: "finding fraud",
    Purpose.security: "protecting people, networks or buildings",
    Purpose.healthcare: "diagnosis, treatment and care",
    Purpose.public_benefit: "work that serves the public",
    Purpose.official_statistics: "official statistics",
    Purpose.education: "teaching and learning",
}


class Rule(StrEnum):
    """The rule that denied: a stable code, at most 32 ASCII characters, the bytes32 reason of a rejection."""

    terms_not_understood = "terms-not-understood"
    wrong_asset = "wrong-asset"
    buyer_not_allowed = "buyer-not-allowed"
    purpose_not_allowed = "purpose-not-allowed"
    algorithm_not_allowed = "algorithm-not-allowed"
    terms_expired = "terms-expired"
    access_expired = "access-expired"
    no_uses_left = "no-uses-left"


@dataclass(frozen=True)
class NotUnderstood:
    """Terms that could not be read; judged as a denial of everything. what: the error, in words."""

    what: str


@dataclass(frozen=True)
class Context:
    """One job, as the node sees it.

    asset: DID of the data. purpose: as the spec says, unparsed. buyer: address. algorithm: SHA-256 of its bundle.
    at: Unix seconds. use_index: 0 for the first job of the grant. max_uses: uses paid for.
    expires_at: Unix seconds, the first second after the grant's term.
    """

    asset: str
    purpose: str
    buyer: str
    algorithm: bytes
    at: int
    use_index: int
    max_uses: int
    expires_at: int


@dataclass(frozen=True)
class Permit:
    """The job may run.

    needs_approval: only with the owner's signed Approval of this algorithm for this buyer.
    review_output: the output waits for the owner's signed Release. opaque_outputs: it may hold unparsed files.
    """

    needs_approval: bool
    review_output: bool
    opaque_outputs: bool


@dataclass(frozen=True)
class Deny:
    """The job may not run. reason: a plain sentence. rule: the code that a rejection carries."""

    reason: str
    rule: Rule


Judgement: TypeAlias = Permit | Deny


def read_terms(data: bytes) -> Terms | NotUnderstood:
    """As `Terms.parse`, but what cannot be understood becomes a value that `evaluate` denies."""
    try:
        return Terms.parse(data)
    except InputError as error:
        return NotUnderstood(str(error))


def evaluate(terms: Terms | NotUnderstood, context: Context) -> Judgement:
    """Judges one job. Total: every input gets an answer, and what is not permitted is denied."""
    if not isinstance(terms, Terms):
        return Deny(
            f"the terms are not understood, so nothing may run: {terms.what}", Rule.terms_not_understood
        )
    denial = _broken_limit(terms, context)
    if denial:
        return denial
    if context.algorithm in terms.algorithms:
        return Permit(needs_approval=False, review_output=False, opaque_outputs=False)
    if terms.custom_algorithms is CustomAlgorithms.approval:
        return Permit(
            needs_approval=True, review_output=terms.review_output, opaque_outputs=terms.opaque_outputs
        )
    return Deny(
        "the terms do not list this algorithm, and custom ones may not run", Rule.algorithm_not_allowed
    )


def _broken_limit(terms: Terms, context: Context) -> Deny | None:
    if context.asset != str(terms.asset):
        return Deny("these terms are for another dataset", Rule.wrong_asset)
    if terms.assignee is not None and context.buyer.lower() != terms.assignee.lower():
        return Deny("the terms name one buyer, and this is another", Rule.buyer_not_allowed)
    if context.purpose not in (terms.purposes or tuple(Purpose)):
        return Deny(
            f"the purpose {brief(context.purpose)} is not one of those allowed", Rule.purpose_not_allowed
        )
    if terms.expires_at is not None and context.at >= terms.expires_at:
        return Deny(f"the terms ended on {date_time(terms.expires_at)}", Rule.terms_expired)
    if context.at >= context.expires_at:
        return Deny("the term of this access is over", Rule.access_expired)
    if not 0 <= context.use_index < context.max_uses:
        return Deny("every use that was paid for has been taken", Rule.no_uses_left)
    return None


def describe(terms: Terms) -> list[str]:
    """The terms in plain words, one sentence each."""
    lines = ["The data is not handed out: algorithms are sent to it, and only their output leaves."]
    if terms.algorithms:
        count = len(terms.algorithms)
        lines.append(f"{count} listed algorithm{'s run' if count > 1 else ' runs'} without asking.")
    lines.append(_custom_words(terms))
    if terms.purposes is None:
        lines.append("Any purpose that the market knows is allowed; the buyer declares one for each job.")
    else:
        words = "; ".join(_PURPOSE_WORDS[purpose] for purpose in terms.purposes)
        lines.append(f"Allowed purposes, as the buyer declares them: {words}.")
    lines.append(f"Only {terms.assignee} may buy." if terms.assignee else "Anyone may buy.")
    if terms.expires_at is not None:
        lines.append(f"Nothing runs from {date_time(terms.expires_at)} on.")
    return lines


def _custom_words(terms: Terms) -> str:
    if terms.custom_algorithms is CustomAlgorithms.denied:
        return "No other algorithm runs."
    if not terms.review_output:
        return (
            "Any other algorithm waits for the owner's approval; its output, unreviewed, may hold the data."
        )
    kinds = "also files that nobody can parse" if terms.opaque_outputs else "files of known formats only"
    return f"Any other algorithm waits for the owner's approval, and its output for a review ({kinds})."


def reason_bytes32(code: str) -> bytes:
    """A reason code as the chain carries it: ASCII, padded with zero bytes to 32.

    Raises InputError unless it is 1 to 32 printable ASCII characters.
    """
    if not 1 <= len(code) <= 32 or not (code.isascii() and code.isprintable()):
        raise InputError("not a reason code", got=brief(code), expected="1 to 32 printable ASCII characters")
    return code.encode("ascii").ljust(32, b"\0")


def reason_code(reason: bytes) -> str:
    """The code in a bytes32 reason, or the bytes in hex where they hold no code: strangers write these too."""
    text = reason.rstrip(b"\0")
    try:
        code = text.decode("ascii")
        return code if reason_bytes32(code) == reason else "0x" + reason.hex()
    except (UnicodeDecodeError, InputError):
        return "0x" + reason.hex()
