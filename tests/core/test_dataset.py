"""The listing: written, read, refused; accepted by an independent reader of Croissant."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.core.canonical import MAX_DOCUMENT, canonical, sha256
from marketplace.core.cid import Cid
from marketplace.core.dataset import (
    MAX_COLUMNS,
    Column,
    ColumnKind,
    Creator,
    Environment,
    ListedAlgorithm,
    Listing,
    Responsible,
    TableFormat,
    environment_digest,
)
from marketplace.core.environments import WantedEnvironment
from marketplace.core.ids import Did, Kind, asset_id
from marketplace.errors import InputError, RefusedError

REGISTRY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"

LISTING = Listing(
    did=Did(31337, REGISTRY, asset_id(Kind.dataset, OWNER, bytes(32))),
    slug="shuttle",
    name="Shuttle telemetry",
    description="Readings of a shuttle's radiator valves.\nOne row a second.",
    licence="CC-BY-4.0",
    creator=Creator("North Works", url="https://north.example/"),
    version="1.0.0",
    published=date(2026, 11, 23),
    header=Cid.of("raw", b"header"),
    terms=Cid.of("raw", b"terms"),
    format=TableFormat.csv,
    rows=39_278,
    columns=(Column("time", ColumnKind.integer), Column("anomaly", ColumnKind.boolean)),
    environments=(Environment("python-ml", ("torch==2.13.0", "numpy==2.4.6")),),
    personal_data=False,
    algorithms=(ListedAlgorithm("tabular-classifier", sha256(b"bundle"), Cid.of("raw", b"bundle")),),
    keywords=("industry", "anomaly"),
    modified=date(2026, 11, 24),
    responsible=Responsible(collection="By sensors.", biases=("One machine only.",)),
)

# A busy machine is no failure: no deadline for one example.
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

lines = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
texts = st.lists(lines, max_size=4).map(tuple)
slugs = st.from_regex(r"[a-z0-9]{1,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True)
blocks = st.binary(min_size=32, max_size=32).map(Cid.raw)
files = st.builds(Cid, st.sampled_from(["raw", "dag-pb"]), st.binary(min_size=32, max_size=32))
urls = st.from_regex(r"https?://[a-z0-9.]{1,20}/[a-zA-Z0-9%/]{0,20}", fullmatch=True)
packages = st.from_regex(r"[a-z0-9-]{1,12}==[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True)
environments = st.builds(Environment, slugs, st.lists(packages, max_size=5).map(tuple))


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    responsible = draw(
        st.builds(Responsible, collection=st.none() | lines, biases=texts, sensitive=texts, use_cases=texts)
    )
    names = draw(st.lists(lines, min_size=1, max_size=6, unique=True))
    return Listing(
        did=Did(draw(st.integers(1, 2**53)), REGISTRY, draw(st.integers(1 << 248, (2 << 248) - 1))),
        slug=draw(slugs),
        name=draw(lines),
        description=draw(lines),
        licence=draw(urls | st.sampled_from(["CC-BY-4.0", "MIT", "LicenseRef-ours", "ODbL-1.0"])),
        creator=draw(st.builds(Creator, lines, st.booleans(), st.none() | urls)),
        version=".".join(str(draw(st.integers(0, 999))) for _ in range(3)),
        published=draw(st.dates(date(1000, 1, 1))),
        header=draw(blocks),
        terms=draw(blocks),
        format=draw(st.sampled_from(TableFormat)),
        rows=draw(st.integers(1, 2**53 - 1)),
        columns=tuple(Column(name, draw(st.sampled_from(ColumnKind))) for name in names),
        environments=tuple(
            draw(st.lists(environments, min_size=1, max_size=3, unique_by=lambda one: (one.name, one.digest)))
        ),
        personal_data=bool(responsible.sensitive),
        algorithms=tuple(
            draw(
                st.lists(
                    st.builds(ListedAlgorithm, slugs, st.binary(min_size=32, max_size=32), files),
                    max_size=3,
                    unique_by=lambda one: one.name,
                )
            )
        ),
        keywords=tuple(draw(st.lists(lines, max_size=4, unique=True))),
        modified=draw(st.none() | st.dates(date(1000, 1, 1))),
        responsible=responsible,
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


def containers(value: Any) -> list[Any]:
    """All objects and lists in a document that are not empty."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return ([value] if inner else []) + [one for child in inner for one in containers(child)]


def document() -> Any:
    return json.loads(LISTING.to_bytes())


@unhurried
@given(listings())
def test_a_listing_comes_back_from_its_block(listing: Listing) -> None:
    block = listing.to_bytes()
    assert Listing.parse(block) == listing
    assert canonical(json.loads(block)) == block
    assert len(block) <= MAX_DOCUMENT


@unhurried
@given(json_values)
def test_parse_of_any_json_raises_only_input_errors(value: Any) -> None:
    with pytest.raises(InputError):
        Listing.parse(canonical(value))


@unhurried
@given(st.binary(max_size=300))
def test_parse_of_any_bytes_raises_only_input_errors(data: bytes) -> None:
    with pytest.raises(InputError):
        Listing.parse(data)


@unhurried
@given(st.data(), json_values)
def test_a_listing_with_any_place_changed_is_refused_or_reads_as_it_stands(
    data: st.DataObject, value: Any
) -> None:
    changed = document()
    target = data.draw(st.sampled_from(containers(changed)))
    if isinstance(target, dict):
        target[data.draw(st.sampled_from(sorted(target)) | st.text(max_size=8))] = value
    else:
        target[data.draw(st.integers(0, len(target) - 1))] = value
    block = canonical(changed)
    try:
        listing = Listing.parse(block)
    except InputError as error:
        assert str(error)
    else:
        assert listing.to_bytes() == block


def test_the_listing_names_its_header_terms_and_own_digest() -> None:
    value = document()
    sealed = value["distribution"][0]
    assert sealed["contentUrl"] == f"ipfs://{LISTING.header}"
    assert sealed["sha256"] == LISTING.header_digest.hex() == sha256(b"header").hex()
    assert sealed["encodingFormat"] == "application/vnd.steelyard.envelope+json"
    assert value["usageInfo"]["@id"] == f"ipfs://{LISTING.terms}"
    assert LISTING.digest == sha256(LISTING.to_bytes())
    assert LISTING.cid.digest == LISTING.digest
    assert value["identifier"] == str(LISTING.did)


def test_the_listing_publishes_nothing_that_was_counted_but_rows() -> None:
    record_set = document()["recordSet"][0]
    assert set(record_set) == {"@id", "@type", "name", "steelyard:rows", "field"}
    for field in record_set["field"]:
        assert set(field) == {"@id", "@type", "name", "dataType", "source"}


@pytest.mark.parametrize(
    "key",
    ["name", "license", "creator", "description", "datePublished", "usageInfo", "steelyard:personalData"],
)
def test_a_listing_without_a_required_field_is_refused_by_its_name(key: str) -> None:
    value = document()
    del value[key]
    with pytest.raises(InputError, match=key):
        Listing.parse(canonical(value))


def set_at(path: str, value: Any) -> Callable[[Any], None]:
    def change(whole: Any) -> None:
        *steps, last = path.split("/")
        for step in steps:
            whole = whole[int(step) if isinstance(whole, list) else step]
        whole[int(last) if isinstance(whole, list) else last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("name", "", "name"),
        ("name", {"en": "a"}, "name"),
        ("surprise", 1, "surprise"),
        ("recordSet/0/field/1/dataType", "sc:URL", r"recordSet\[0\].field\[1\].dataType"),
        ("recordSet/0/field/1/@id", "records/7", r"recordSet\[0\].field\[1\].@id"),
        ("recordSet/0/field/1/mean", 0.5, r"recordSet\[0\].field\[1\]"),
        ("recordSet/0/field/1/source/extract/column", "other", r"field\[1\].source.extract.column"),
        ("recordSet/0/steelyard:rows", 0, "steelyard:rows"),
        ("recordSet/0/steelyard:rows", 1.5, "steelyard:rows"),
        ("recordSet/0/steelyard:rows", True, "steelyard:rows"),
        ("recordSet/0/data", [{"records/0": 1}], r"recordSet\[0\]"),
        ("distribution/0/sha256", "00" * 32, r"distribution\[0\].sha256"),
        ("distribution/0/contentUrl", "https://example.org/data.csv", r"distribution\[0\].contentUrl"),
        ("distribution/1/encodingFormat", "application/x-parquet", r"distribution\[1\].encodingFormat"),
        ("steelyard:environment/sha256", "00" * 32, "sha256"),
        ("steelyard:algorithm/0/contentUrl", "ipfs://b" + "a" * 58, "content identifier"),
        ("@context/name", "https://evil.example/name", "@context.name"),
        ("@context", "https://evil.example/context.jsonld", "@context"),
        ("conformsTo/0", "http://mlcommons.org/croissant/1.0", r"conformsTo\[0\]"),
        ("datePublished", "2026-02-30", "date"),
        ("identifier", "did:web:example.org", "identifier"),
        ("url", "did:steelyard:1:x:1", "url"),
        ("license", "no url", "license"),
        ("version", "1.0.0\n", "version"),
        ("alternateName", "Shuttle", "alternateName"),
        ("citeAs", "Somebody else", "citeAs"),
        ("steelyard:personalData", True, "personal"),
        ("keywords", [], "keywords"),
        ("usageInfo/@type", ["odrl:Offer", "sc:CreativeWork"], "usageInfo.@type"),
    ],
)
def test_a_place_that_does_not_fit_is_named(path: str, value: Any, where: str) -> None:
    changed = document()
    set_at(path, value)(changed)
    with pytest.raises(InputError, match=where):
        Listing.parse(canonical(changed))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"slug": "North Shuttle"}, "slug"),
        ({"slug": "a" * 65}, "slug"),
        ({"name": " x"}, "name"),
        ({"name": "two\nlines"}, "line"),
        ({"name": "a\u202eb"}, "control"),
        ({"name": "a\0b"}, "control"),
        ({"name": "\ud800"}, "control"),
        ({"description": "x" * 8_001}, "description"),
        ({"licence": ""}, "licence"),
        ({"licence": "Creative Commons"}, "licence"),
        ({"licence": "javascript://alert(1)"}, "licence"),
        ({"licence": "https://spdx.org/licenses/MIT"}, "id"),
        ({"version": "v1"}, "version"),
        ({"rows": 0}, "rows"),
        ({"columns": ()}, "columns"),
        ({"columns": (Column("a", ColumnKind.text),) * 2}, "same name"),
        ({"columns": tuple(Column(f"c{n}", ColumnKind.text) for n in range(MAX_COLUMNS + 1))}, "columns"),
        ({"header": Cid.of("dag-pb", b"")}, "header"),
        ({"terms": Cid.of("dag-pb", b"")}, "terms"),
        ({"keywords": ("a", "a")}, "keywords"),
        ({"personal_data": True}, "sensitive"),
        ({"responsible": Responsible(sensitive=("age",))}, "personal"),
        ({"did": Did(31337, REGISTRY, asset_id(Kind.model, OWNER, bytes(32)))}, "dataset"),
        ({"algorithms": LISTING.algorithms * 2}, "algorithms"),
    ],
)
def test_a_listing_refuses_what_does_not_fit(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(LISTING, **change)


def test_personal_data_is_declared_with_its_kinds() -> None:
    listing = replace(LISTING, personal_data=True, responsible=Responsible(sensitive=("age", "diagnosis")))
    value = json.loads(listing.to_bytes())
    assert value["steelyard:personalData"] is True
    assert value["rai:personalSensitiveInformation"] == ["age", "diagnosis"]


def test_a_listing_longer_than_a_block_is_refused() -> None:
    columns = tuple(Column(f"{n:04}" + "ü" * 190, ColumnKind.text) for n in range(MAX_COLUMNS))
    with pytest.raises(InputError, match="one block"):
        replace(LISTING, columns=columns).to_bytes()


def test_a_thousand_columns_of_ordinary_names_fit() -> None:
    columns = tuple(Column(f"sensor_reading_{n}", ColumnKind.number) for n in range(MAX_COLUMNS))
    listing = replace(LISTING, columns=columns)
    assert Listing.parse(listing.to_bytes()).columns == columns


def test_an_environment_is_named_by_its_sorted_packages() -> None:
    one = Environment("python-ml", ("b==2", "a==1", "a==1"))
    assert one.packages == ("a==1", "b==2")
    assert one.digest == sha256(b"a==1\nb==2") == environment_digest(["b==2", "a==1"])
    with pytest.raises(InputError, match="pinned"):
        Environment("python-ml", ("a>=1",))


def test_one_environment_stands_alone_and_several_in_a_list_of_none_twice() -> None:
    one, other = LISTING.environments[0], Environment("python-small", ())
    assert isinstance(LISTING.to_document()["steelyard:environment"], dict)
    several = replace(LISTING, environments=(one, other))
    assert isinstance(several.to_document()["steelyard:environment"], list)
    assert Listing.parse(several.to_bytes()).environments == (one, other)
    alone = LISTING.to_document() | {"steelyard:environment": [one.to_json()]}
    with pytest.raises(InputError, match="steelyard:environment"):
        Listing.parse(canonical(alone))
    many = tuple(Environment(f"e{number}", ()) for number in range(17))
    for wrong in ((), (one, one), many):
        with pytest.raises(InputError, match="environments do not fit"):
            replace(LISTING, environments=wrong)


def test_sixteen_environments_of_a_hundred_packages_fit_into_a_block() -> None:
    packages = tuple(f"package-{number}==1.2.{number}" for number in range(100))
    listing = replace(LISTING, environments=tuple(Environment(f"e{n}", packages) for n in range(16)))
    assert Listing.parse(listing.to_bytes()) == listing


def test_an_environment_is_wanted_by_name_or_by_its_list_as_well() -> None:
    (one,) = LISTING.environments
    for text in ("python-ml", f"python-ml@{one.digest.hex()}", f"python-ml@{one.digest.hex()[:12]}"):
        wanted = WantedEnvironment.parse(text)
        assert str(wanted) == text
        LISTING.require_environment(wanted)
    for text in ("python", "python-ml@" + "0" * 12):
        with pytest.raises(RefusedError, match=f"got {text}; expected python-ml@{one.digest.hex()[:12]}"):
            LISTING.require_environment(WantedEnvironment.parse(text))
    for text in (
        "",
        "../x",
        "a/b",
        "A",
        "a@",
        "a@0123",
        "a@" + "0" * 65,
        "a@" + "G" * 12,
        "a" * 65,
        "a\n",
        "ä",
    ):
        with pytest.raises(InputError, match="names no environment"):
            WantedEnvironment.parse(text)


def no_network(*_: object) -> None:
    raise AssertionError("a listing was read with the help of the network")


# mlcroissant's RDF library still calls a class of its own that it has deprecated.
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    "listing",
    [
        LISTING,
        replace(LISTING, format=TableFormat.parquet, algorithms=(), responsible=Responsible(), modified=None),
        replace(LISTING, personal_data=True, responsible=Responsible(sensitive=("age",)), keywords=()),
        replace(
            LISTING,
            name="Radiateur ✓",
            columns=tuple(Column(f"col {kind} /%#ü", kind) for kind in ColumnKind),
            licence="https://licence.example/1",
            creator=Creator("Ada", person=True),
        ),
    ],
    ids=["full", "bare", "personal", "unicode"],
)
def test_mlcroissant_accepts_the_listing_without_fetching_anything(
    listing: Listing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with caplog.at_level(logging.WARNING):
        read = mlcroissant.Dataset(jsonld=json.loads(listing.to_bytes())).metadata
    assert not read.ctx.issues.errors
    assert not read.ctx.issues.warnings
    assert not caplog.records
    assert read.ctx.is_v1_1()
    assert read.name == listing.name
    assert read.file_objects[0].sha256 == listing.header_digest.hex()
    assert [field.name for field in read.record_sets[0].fields] == [column.name for column in listing.columns]


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_mlcroissant_refuses_a_listing_whose_fields_have_no_source() -> None:
    import mlcroissant

    changed = document()
    changed["recordSet"][0]["field"][0]["source"]["fileObject"] = {"@id": "nowhere"}
    with pytest.raises((mlcroissant.ValidationError, ValueError)):
        mlcroissant.Dataset(jsonld=changed)
