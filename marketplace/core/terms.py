"""The terms of a dataset, as an ODRL 2.2 policy in a closed vocabulary. Pure.

Written by the provider, hashed into the offer, named by the listing. A document is understood only if the terms
that were read from it write the same document again, so nothing in it can be overlooked.

Source: https://www.w3.org/TR/odrl-model/ (Offer, permission, prohibition, duty, constraint).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from marketplace.core.canonical import JsonValue, canonical, parse_canonical, sha256
from marketplace.core.cid import Cid
from marketplace.core.eip712 import parse_address
from marketplace.core.exact import brief, require_exact
from marketplace.core.ids import Did
from marketplace.errors import InputError

MAX_ALGORITHMS = 256
MAX_TIME = 253_402_300_799
"""The last second of the year 9999, the last that a dateTime can say."""

_PROFILE = "urn:steelyard:ns:terms-1"
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
_DATE_TIME = "%Y-%m-%dT%H:%M:%SZ"
_CONTEXT: JsonValue = ["http://www.w3.org/ns/odrl.jsonld", {"steelyard": "urn:steelyard:ns:"}]


class Purpose(StrEnum):
    """What a buyer may say that a job is for; named after the purposes of W3C's Data Privacy Vocabulary."""

    research = "research"
    commercial_research = "commercial-research"
    product_development = "product-development"
    predictive_maintenance = "predictive-maintenance"
    quality_control = "quality-control"
    fraud_detection = "fraud-detection"
    security = "security"
    healthcare = "healthcare"
    public_benefit = "public-benefit"
    official_statistics = "official-statistics"
    education = "education"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `predictive maintenance` as well as `predictive-maintenance`. Raises InputError naming all."""
        name = "-".join(text.replace("_", " ").replace("-", " ").lower().split())
        try:
            return cls(name)
        except ValueError:
            raise InputError("not a purpose", got=brief(text), expected=", ".join(cls)) from None


class CustomAlgorithms(StrEnum):
    """What becomes of an algorithm that the terms do not list."""

    denied = "denied"
    approval = "approval"


@dataclass(frozen=True)
class Terms:
    """What the provider of one asset allows.

    asset: the dataset. provider: address that grants (owner of the asset).
    algorithms: SHA-256 of the bundles that may run, 32 bytes each. purposes: None allows every known purpose.
    assignee: the only buyer, or None for anyone. expires_at: Unix seconds, the first second not covered.
    review_output: output of an approved custom algorithm waits for the provider's release (True where denied).
    opaque_outputs: files that cannot be parsed may leave too, always after such a review.
    Sets are kept sorted, addresses in checksum form. Raises InputError for terms that contradict themselves.
    """

    asset: Did
    provider: str
    algorithms: tuple[bytes, ...] = ()
    purposes: tuple[Purpose, ...] | None = None
    custom_algorithms: CustomAlgorithms = CustomAlgorithms.denied
    review_output: bool = True
    opaque_outputs: bool = False
    assignee: str | None = None
    expires_at: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "provider", _address(self.provider, "provider"))
        if self.assignee is not None:
            object.__setattr__(self, "assignee", _address(self.assignee, "assignee"))
        object.__setattr__(self, "algorithms", _digests(self.algorithms))
        if self.purposes is not None:
            object.__setattr__(self, "purposes", _known_purposes(self.purposes))
        if self.custom_algorithms is CustomAlgorithms.denied:
            object.__setattr__(self, "review_output", True)
        if self.expires_at is not None and not 0 <= self.expires_at <= MAX_TIME:
            raise InputError("the terms expire at no date", got=self.expires_at, expected="Unix seconds")
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        custom = self.custom_algorithms is CustomAlgorithms.approval
        if not custom and not self.algorithms:
            raise InputError("these terms let nothing run", do="List an algorithm, or allow custom ones.")
        if self.opaque_outputs and not (custom and self.review_output):
            raise InputError(
                "opaque outputs leave only after a review",
                expected="custom algorithms by approval, and their output reviewed",
            )

    def to_odrl(self) -> dict[str, JsonValue]:
        """The policy as ODRL 2.2 JSON-LD."""
        permissions: list[JsonValue] = []
        if self.algorithms:
            permissions.append(self._permission(self._listed(), []))
        if self.custom_algorithms is CustomAlgorithms.approval:
            duties = ["obtainConsent"] + ["steelyard:reviewOutput"] * self.review_output
            permissions.append(self._permission([], duties))
        forbidden = ["distribute"] + ["steelyard:releaseOpaqueOutput"] * (not self.opaque_outputs)
        return {
            "@context": _CONTEXT,
            "@type": "Offer",
            "uid": f"{self.asset}#terms",
            "profile": _PROFILE,
            "conflict": "prohibit",
            "assigner": self._party(self.provider),
            "permission": permissions,
            "prohibition": [{"target": str(self.asset), "action": action} for action in forbidden],
        }

    def to_bytes(self) -> bytes:
        """One block of canonical JSON."""
        return canonical(self.to_odrl())

    @property
    def digest(self) -> bytes:
        """SHA-256 of the block: `termsDigest` of the offer."""
        return sha256(self.to_bytes())

    @property
    def cid(self) -> Cid:
        """The block's name in the shared store: `usageInfo` of the listing."""
        return Cid.raw(self.digest)

    @classmethod
    def parse(cls, data: bytes) -> Terms:
        """The terms in a block. Raises InputError naming the JSON path of what is not understood."""
        document = parse_canonical(data, what="the terms")
        terms = _read(document)
        require_exact(document, terms.to_odrl(), what="the terms")
        return terms

    def _permission(self, constraints: list[JsonValue], duties: list[str]) -> JsonValue:
        rule: dict[str, JsonValue] = {
            "target": str(self.asset),
            "action": "steelyard:compute",
        }
        if constraints := [*constraints, *self._limits()]:
            rule["constraint"] = constraints
        if self.assignee is not None:
            rule["assignee"] = self._party(self.assignee)
        if duties:
            rule["duty"] = [{"action": action} for action in duties]
        return rule

    def _listed(self) -> list[JsonValue]:
        names: list[JsonValue] = [f"sha256:{digest.hex()}" for digest in self.algorithms]
        return [_constraint("steelyard:algorithm", "isAnyOf", names)]

    def _limits(self) -> list[JsonValue]:
        limits: list[JsonValue] = []
        if self.purposes is not None:
            limits.append(_constraint("purpose", "isAnyOf", [f"steelyard:{name}" for name in self.purposes]))
        if self.expires_at is not None:
            when: JsonValue = {"@type": "xsd:dateTime", "@value": date_time(self.expires_at)}
            limits.append(_constraint("dateTime", "lt", when))
        return limits

    def _party(self, address: str) -> str:
        return f"did:pkh:eip155:{self.asset.chain_id}:{address}"


def _constraint(left: str, operator: str, right: JsonValue) -> JsonValue:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def date_time(seconds: int) -> str:
    """Unix seconds as an xsd:dateTime in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_DATE_TIME)


def _address(text: str, role: str) -> str:
    return parse_address(text, where=f"the {role} of the terms")


def _digests(values: Iterable[bytes]) -> tuple[bytes, ...]:
    digests = tuple(sorted(set(values)))
    if any(not isinstance(digest, bytes) or len(digest) != 32 for digest in digests):
        raise InputError("an algorithm's digest has the wrong size", expected="32 bytes each")
    if len(digests) > MAX_ALGORITHMS:
        raise InputError("too many algorithms", got=len(digests), expected=f"at most {MAX_ALGORITHMS}")
    return digests


def _known_purposes(values: Iterable[Purpose]) -> tuple[Purpose, ...]:
    purposes = tuple(sorted({Purpose.parse(value) for value in values}))
    if not purposes:
        raise InputError("these terms allow no purpose", do="Name one, or leave purposes out to allow all.")
    return purposes


def _read(document: JsonValue) -> Terms:
    """The terms that a document seems to say; `Terms.parse` proves that it says nothing else."""
    if not isinstance(document, dict):
        raise InputError("the terms: not understood at $", got=brief(document), expected="an object")
    permissions = _objects(document.get("permission"))
    limits = _objects(permissions[0].get("constraint")) if permissions else []
    listed = [digest for rule in permissions for digest in _algorithms(_objects(rule.get("constraint")))]
    duties = [duty.get("action") for rule in permissions for duty in _objects(rule.get("duty"))]
    forbidden = [rule.get("action") for rule in _objects(document.get("prohibition"))]
    assignee = permissions[0].get("assignee") if permissions else None
    return Terms(
        asset=Did.parse(_text(document.get("uid"), "$.uid").removesuffix("#terms")),
        provider=_account(document.get("assigner"), "$.assigner"),
        algorithms=tuple(listed),
        purposes=_read_purposes(limits),
        custom_algorithms=CustomAlgorithms("approval" if "obtainConsent" in duties else "denied"),
        review_output="steelyard:reviewOutput" in duties or "obtainConsent" not in duties,
        opaque_outputs="steelyard:releaseOpaqueOutput" not in forbidden,
        assignee=None if assignee is None else _account(assignee, "$.permission[0].assignee"),
        expires_at=_read_expiry(limits),
    )


def _operand(constraints: list[dict[str, JsonValue]], left: str) -> JsonValue:
    """The right operand of the first constraint on `left`, or None."""
    found = (one.get("rightOperand") for one in constraints if one.get("leftOperand") == left)
    return next(found, None)


def _algorithms(constraints: list[dict[str, JsonValue]]) -> list[bytes]:
    names = _operand(constraints, "steelyard:algorithm")
    found = (
        [_SHA256.fullmatch(name) for name in names if isinstance(name, str)]
        if isinstance(names, list)
        else []
    )
    return [bytes.fromhex(match[1]) for match in found if match]


def _read_purposes(constraints: list[dict[str, JsonValue]]) -> tuple[Purpose, ...] | None:
    names = _operand(constraints, "purpose")
    if not isinstance(names, list):
        return None
    return tuple(Purpose.parse(str(name).removeprefix("steelyard:")) for name in names)


def _read_expiry(constraints: list[dict[str, JsonValue]]) -> int | None:
    when = _operand(constraints, "dateTime")
    text = when.get("@value") if isinstance(when, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return int(datetime.strptime(text, _DATE_TIME).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise InputError(
            "the terms: a dateTime is not understood", got=brief(text), expected=_DATE_TIME
        ) from None


def _objects(value: JsonValue) -> list[dict[str, JsonValue]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _account(value: JsonValue, path: str) -> str:
    """The address at the end of `did:pkh:eip155:<chain>:<address>`."""
    return _text(value, path).rpartition(":")[2]


def _text(value: JsonValue, path: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"the terms: not understood at {path}", got=brief(value), expected="text")
    return value
