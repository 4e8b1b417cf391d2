"""Terms: written, read, judged. Unknown means no."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.core.canonical import canonical
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.core.policy import (
    Context,
    CustomAlgorithms,
    Deny,
    NotUnderstood,
    Permit,
    Purpose,
    Rule,
    Terms,
    describe,
    evaluate,
    read_terms,
    reason_bytes32,
    reason_code,
)
from marketplace.core.terms import MAX_TIME
from marketplace.errors import InputError

REGISTRY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
BUYER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
STRANGER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"
ASSET = Did(31337, REGISTRY, asset_id(Kind.dataset, OWNER, bytes(32)))
LISTED = b"\x01" * 32
OTHER = b"\x02" * 32

TERMS = Terms(
    asset=ASSET,
    provider=OWNER,
    algorithms=(LISTED,),
    purposes=(Purpose.predictive_maintenance, Purpose.research),
    custom_algorithms=CustomAlgorithms.approval,
    assignee=BUYER,
    expires_at=2_000,
)
GOOD = Context(
    asset=str(ASSET),
    purpose="predictive-maintenance",
    buyer=BUYER,
    algorithm=LISTED,
    at=1_000,
    use_index=0,
    max_uses=5,
    expires_at=1_500,
)

# A busy machine is no failure: no deadline for one example.
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

addresses = st.sampled_from([OWNER, BUYER, STRANGER])
digests = st.sampled_from([LISTED, OTHER, b"\x03" * 32])
purposes = st.sets(st.sampled_from(list(Purpose)), min_size=1).map(tuple)


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    custom = draw(st.sampled_from(CustomAlgorithms))
    approval = custom is CustomAlgorithms.approval
    review = draw(st.booleans())
    return Terms(
        asset=ASSET,
        provider=draw(addresses),
        algorithms=tuple(draw(st.sets(digests, min_size=0 if approval else 1))),
        purposes=draw(st.none() | purposes),
        custom_algorithms=custom,
        review_output=review,
        opaque_outputs=draw(st.booleans()) and approval and review,
        assignee=draw(st.none() | addresses),
        expires_at=draw(st.none() | st.integers(0, MAX_TIME)),
    )


contexts = st.builds(
    Context,
    asset=st.just(str(ASSET)) | st.text(),
    purpose=st.sampled_from(list(Purpose)).map(str) | st.text(),
    buyer=addresses | addresses.map(str.lower) | st.text(),
    algorithm=digests | st.binary(),
    at=st.integers() | st.integers(0, 3_000),
    use_index=st.integers() | st.integers(0, 5),
    max_uses=st.integers() | st.integers(1, 5),
    expires_at=st.integers() | st.integers(0, MAX_TIME),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all objects and lists in a document."""
    if isinstance(value, dict):
        return [path] + [place for key, one in value.items() for place in places(one, (*path, key))]
    if isinstance(value, list):
        return [path] + [place for index, one in enumerate(value) for place in places(one, (*path, index))]
    return []


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@unhurried
@given(terms())
def test_terms_come_back_from_their_block(given_terms: Terms) -> None:
    assert Terms.parse(given_terms.to_bytes()) == given_terms
    assert given_terms.cid.digest == given_terms.digest


@unhurried
@given(terms(), contexts)
def test_evaluate_answers_every_context(given_terms: Terms, context: Context) -> None:
    judgement = evaluate(given_terms, context)
    assert isinstance(judgement, Permit | Deny)
    if isinstance(judgement, Deny):
        assert judgement.reason
        assert reason_code(reason_bytes32(judgement.rule)) == judgement.rule


NARROWINGS = {
    "purposes": lambda t: replace(t, purposes=(t.purposes or tuple(Purpose))[:1]),
    "assignee": lambda t: replace(t, assignee=t.assignee or BUYER),
    "expiry": lambda t: replace(t, expires_at=min(1_000 if t.expires_at is None else t.expires_at, 1_000)),
    "algorithms": lambda t: replace(t, algorithms=t.algorithms[:1]),
    "custom": lambda t: (
        replace(t, custom_algorithms=CustomAlgorithms.denied, opaque_outputs=False) if t.algorithms else t
    ),
    "review": lambda t: replace(t, review_output=True),
    "opaque": lambda t: replace(t, opaque_outputs=False),
}


@unhurried
@given(terms(), contexts, st.sampled_from(sorted(NARROWINGS)))
def test_adding_a_constraint_never_turns_a_denial_into_a_permit(
    given_terms: Terms, context: Context, narrowing: str
) -> None:
    before, after = evaluate(given_terms, context), evaluate(NARROWINGS[narrowing](given_terms), context)
    if isinstance(before, Deny):
        assert isinstance(after, Deny)
    elif isinstance(after, Permit):
        assert after.needs_approval >= before.needs_approval
        assert after.review_output >= before.review_output
        assert after.review_output or after.opaque_outputs <= before.opaque_outputs


@unhurried
@given(terms(), st.data(), st.text(min_size=1, max_size=12), json_values)
def test_anything_added_anywhere_denies_and_is_named(
    given_terms: Terms, data: st.DataObject, key: str, value: Any
) -> None:
    document = json.loads(given_terms.to_bytes())
    path = data.draw(st.sampled_from(places(document)))
    target = at(document, path)
    if isinstance(target, list):
        target.append(value)
    else:
        target[f"x{key}"] = value
    read = read_terms(canonical(document))
    judgement = evaluate(read, GOOD)
    assert isinstance(read, NotUnderstood)
    assert isinstance(judgement, Deny)
    assert judgement.rule is Rule.terms_not_understood
    assert "understood" in judgement.reason


@unhurried
@given(terms(), st.data())
def test_anything_taken_out_changes_the_meaning_or_denies(given_terms: Terms, data: st.DataObject) -> None:
    document = json.loads(given_terms.to_bytes())
    target = at(document, data.draw(st.sampled_from([p for p in places(document) if at(document, p)])))
    key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
    del target[key]
    read = read_terms(canonical(document))
    assert isinstance(read, NotUnderstood) or read.to_bytes() == canonical(document)
    assert read != given_terms


@unhurried
@given(json_values)
def test_parse_of_any_json_raises_only_input_errors(value: Any) -> None:
    with pytest.raises(InputError):
        Terms.parse(canonical(value))


@unhurried
@given(st.binary(max_size=200))
def test_parse_of_any_bytes_raises_only_input_errors(data: bytes) -> None:
    with pytest.raises(InputError):
        Terms.parse(data)


@unhurried
@given(terms(), st.data(), json_values)
def test_parse_of_mangled_terms_raises_only_input_errors(
    given_terms: Terms, data: st.DataObject, value: Any
) -> None:
    document = json.loads(given_terms.to_bytes())
    target = at(document, data.draw(st.sampled_from([p for p in places(document) if at(document, p)])))
    key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
    target[key] = value
    assert isinstance(read_terms(canonical(document)), NotUnderstood | Terms)


def test_a_listed_algorithm_needs_no_approval_and_no_review() -> None:
    assert evaluate(TERMS, GOOD) == Permit(needs_approval=False, review_output=False, opaque_outputs=False)


def test_a_custom_algorithm_needs_approval_and_review() -> None:
    judgement = evaluate(TERMS, replace(GOOD, algorithm=OTHER))
    assert judgement == Permit(needs_approval=True, review_output=True, opaque_outputs=False)


def test_opaque_outputs_leave_only_by_custom_algorithms_under_review() -> None:
    loose = replace(TERMS, opaque_outputs=True)
    assert evaluate(loose, replace(GOOD, algorithm=OTHER)) == Permit(True, True, True)
    assert evaluate(loose, GOOD) == Permit(False, False, False)
    with pytest.raises(InputError, match="only after a review"):
        replace(loose, review_output=False)


DENIALS = [
    ({"asset": str(ASSET)[:-1] + "0"}, Rule.wrong_asset),
    ({"asset": ""}, Rule.wrong_asset),
    ({"buyer": STRANGER}, Rule.buyer_not_allowed),
    ({"buyer": ""}, Rule.buyer_not_allowed),
    ({"purpose": "education"}, Rule.purpose_not_allowed),
    ({"purpose": "Research"}, Rule.purpose_not_allowed),
    ({"purpose": "steelyard:research"}, Rule.purpose_not_allowed),
    ({"at": 2_000, "expires_at": 9_000}, Rule.terms_expired),
    ({"at": 1_500}, Rule.access_expired),
    ({"use_index": 5}, Rule.no_uses_left),
    ({"use_index": -1}, Rule.no_uses_left),
    ({"max_uses": 0}, Rule.no_uses_left),
]


@pytest.mark.parametrize(("change", "rule"), DENIALS)
def test_each_broken_limit_denies_by_its_own_rule(change: dict[str, Any], rule: Rule) -> None:
    judgement = evaluate(TERMS, replace(GOOD, **change))
    assert isinstance(judgement, Deny)
    assert judgement.rule is rule


def test_every_rule_is_reached_by_a_test() -> None:
    reached = {rule for _, rule in DENIALS} | {Rule.terms_not_understood, Rule.algorithm_not_allowed}
    assert reached == set(Rule)


def test_an_unlisted_algorithm_is_denied_where_custom_ones_are() -> None:
    strict = replace(TERMS, custom_algorithms=CustomAlgorithms.denied)
    for algorithm in (OTHER, b"", LISTED[:31], LISTED + b"\0"):
        judgement = evaluate(strict, replace(GOOD, algorithm=algorithm))
        assert isinstance(judgement, Deny)
        assert judgement.rule is Rule.algorithm_not_allowed


def test_a_purpose_that_nobody_knows_is_denied_even_where_any_is_allowed() -> None:
    judgement = evaluate(replace(TERMS, purposes=None), replace(GOOD, purpose="world-domination"))
    assert isinstance(judgement, Deny)
    assert judgement.rule is Rule.purpose_not_allowed
    assert "world-domination" in judgement.reason


def test_terms_name_the_json_path_of_what_is_not_understood() -> None:
    document = json.loads(TERMS.to_bytes())
    document["permission"][0]["constraint"].append(
        {"leftOperand": "spatial", "operator": "eq", "rightOperand": "https://www.wikidata.org/wiki/Q183"}
    )
    judgement = evaluate(read_terms(canonical(document)), GOOD)
    assert isinstance(judgement, Deny)
    assert "$.permission[0].constraint[3]" in judgement.reason
    assert "spatial" in judgement.reason


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"lt"', '"gt"'),
        ('"isAnyOf"', '"isNoneOf"'),
        ('"prohibit"', '"perm"'),
        ("urn:steelyard:ns:terms-1", "urn:steelyard:ns:terms-2"),
        ("obtainConsent", "inform"),
        ('"distribute"', '"print"'),
        ("steelyard:research", "dpv:Research"),
        ("steelyard:compute", "use"),
        ("1970-01-01T00:33:20Z", "1970-01-01T00:33:20+00:00"),
        ("1970-01-01T00:33:20Z", "1970-1-1T00:33:20Z"),
        ("sha256:01", "sha256:0G"),
        ("sha256:01", "md5:01"),
        ("eip155:31337", "eip155:1"),
        (BUYER, BUYER.lower()),
        ("http://www.w3.org/ns/odrl.jsonld", "http://evil.example/odrl.jsonld"),
    ],
)
def test_a_word_that_is_not_ours_denies(old: str, new: str) -> None:
    text = TERMS.to_bytes().decode()
    assert old in text
    read = read_terms(text.replace(old, new, 1).encode())
    assert isinstance(read, NotUnderstood)


def test_terms_that_are_not_canonical_are_refused() -> None:
    with pytest.raises(InputError, match="canonical"):
        Terms.parse(json.dumps(TERMS.to_odrl()).encode())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"algorithms": (), "custom_algorithms": CustomAlgorithms.denied}, "nothing run"),
        ({"algorithms": (b"short",)}, "32 bytes"),
        ({"algorithms": tuple(bytes([n % 256, n // 256]) * 16 for n in range(300))}, "too many"),
        ({"purposes": ()}, "no purpose"),
        ({"provider": "0x12"}, "provider"),
        ({"assignee": "nobody"}, "assignee"),
        ({"expires_at": -1}, "no date"),
        ({"expires_at": MAX_TIME + 1}, "no date"),
    ],
)
def test_terms_refuse_what_makes_no_sense(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(TERMS, **change)


def test_terms_do_not_depend_on_the_order_they_were_given_in() -> None:
    one = replace(TERMS, algorithms=(OTHER, LISTED, OTHER), purposes=(Purpose.research, Purpose.education))
    two = replace(TERMS, algorithms=(LISTED, OTHER), purposes=(Purpose.education, Purpose.research))
    assert one == two
    assert one.digest == two.digest


def test_a_purpose_is_read_as_people_write_it() -> None:
    assert Purpose.parse(" Predictive  maintenance") is Purpose.predictive_maintenance
    assert Purpose.parse("public_benefit") is Purpose.public_benefit
    with pytest.raises(InputError, match="research"):
        Purpose.parse("profit")


def test_describe_says_what_holds() -> None:
    text = "\n".join(describe(TERMS))
    assert "1 listed algorithm runs" in text
    assert BUYER in text
    assert "telling when machines will need repair" in text
    assert "1970-01-01T00:33:20Z" in text
    assert "review" in text
    open_text = "\n".join(describe(Terms(asset=ASSET, provider=OWNER, algorithms=(LISTED, OTHER))))
    assert "Anyone may buy" in open_text
    assert "No other algorithm runs" in open_text
    assert "2 listed algorithms run " in open_text


@unhurried
@given(terms())
def test_describe_has_words_for_all_terms(given_terms: Terms) -> None:
    assert all(line.endswith(".") for line in describe(given_terms))


def test_a_reason_fits_the_chain_and_comes_back() -> None:
    for rule in Rule:
        assert len(reason_bytes32(rule)) == 32
        assert reason_code(reason_bytes32(rule)) == rule
    for bad in ("", "x" * 33, "naïve", "a\nb"):
        with pytest.raises(InputError):
            reason_bytes32(bad)


@unhurried
@given(st.binary(min_size=32, max_size=32))
def test_a_reason_that_strangers_wrote_is_shown_as_hex(reason: bytes) -> None:
    code = reason_code(reason)
    assert code.isprintable()
    assert code == "0x" + reason.hex() or reason_bytes32(code) == reason


def test_the_document_is_an_odrl_offer() -> None:
    document = json.loads(TERMS.to_bytes())
    assert document["@type"] == "Offer"
    assert document["@context"][0] == "http://www.w3.org/ns/odrl.jsonld"
    assert document["uid"] == f"{ASSET}#terms"
    assert {rule["action"] for rule in document["permission"]} == {"steelyard:compute"}
    assert all(rule["target"] == str(ASSET) for rule in document["permission"] + document["prohibition"])
    assert [duty["action"] for duty in document["permission"][1]["duty"]] == [
        "obtainConsent",
        "steelyard:reviewOutput",
    ]
