"""The listing of a dataset: a Croissant 1.1 document as one block of canonical JSON. Pure.

What it publishes of the data: the names and kinds of its columns and the number of its rows, nothing else that
was counted or measured. `distribution` describes the sealed envelope; the table is said to be inside it.
A listing is read only if it writes the same document again, so every field of it is checked.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html, RFC 8785.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from jsonschema import Draft202012Validator

from marketplace.core import schemas
from marketplace.core.canonical import MAX_DOCUMENT, JsonValue, canonical, parse_canonical, sha256
from marketplace.core.cid import Cid
from marketplace.core.environments import WantedEnvironment, named
from marketplace.core.exact import brief, require_exact
from marketplace.core.ids import Did, Kind, kind_of
from marketplace.core.listing_parts import (
    MAX_COLUMNS,
    Column,
    ColumnKind,
    Creator,
    Environment,
    ListedAlgorithm,
    Responsible,
    TableFormat,
    check_environments,
    environment_digest,
    environments_json,
    read_environments,
    read_ipfs,
)
from marketplace.core.text import check_line, check_slug, check_text, check_url
from marketplace.errors import InputError, RefusedError

__all__ = [
    "MAX_COLUMNS",
    "Column",
    "ColumnKind",
    "Creator",
    "Environment",
    "ListedAlgorithm",
    "Listing",
    "Responsible",
    "TableFormat",
    "environment_digest",
]

CROISSANT = "http://mlcommons.org/croissant/1.1"
CROISSANT_RAI = "http://mlcommons.org/croissant/RAI/1.0"
LISTING = "urn:steelyard:ns:listing-1"
ENVELOPE_TYPE = "application/vnd.steelyard.envelope+json"
SPDX = "https://spdx.org/licenses/"
_SPDX_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
_VERSION = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}")
_MEDIA_TYPES = {TableFormat.csv: "text/csv", TableFormat.parquet: "application/x-parquet"}
_MAX_DESCRIPTION = 8_000


@dataclass(frozen=True)
class Listing:
    """What the market is told about one dataset.

    licence: an SPDX id (as CC-BY-4.0; its form is checked, not that it exists) or a URL. version: as 1.0.0.
    environments: what the node offered to algorithms when this was listed, at least one.
    header: the block of the sealed envelope's header. terms: the block of the ODRL terms. rows: at least 1.
    personal_data: whether anyone can be identified; if so, `responsible.sensitive` says by what.
    Raises InputError naming the field that does not fit.
    """

    did: Did
    slug: str
    name: str
    description: str
    licence: str
    creator: Creator
    version: str
    published: date
    header: Cid
    terms: Cid
    format: TableFormat
    rows: int
    columns: tuple[Column, ...]
    environments: tuple[Environment, ...]
    personal_data: bool
    algorithms: tuple[ListedAlgorithm, ...] = ()
    keywords: tuple[str, ...] = ()
    modified: date | None = None
    responsible: Responsible = field(default_factory=Responsible)

    def __post_init__(self) -> None:
        if kind_of(self.did.token) is not Kind.dataset:
            raise InputError("a listing describes a dataset", got=self.did, expected="the id of a dataset")
        check_slug(self.slug, "the slug")
        check_line(self.name, "the name")
        check_text(self.description, "the description", most=_MAX_DESCRIPTION)
        _check_licence(self.licence)
        _check_version(self.version)
        _check_keywords(self.keywords)
        _check_blocks(header=self.header, terms=self.terms)
        _check_table(self.rows, self.columns)
        _check_algorithms(self.algorithms)
        check_environments(self.environments)
        _check_personal(self.personal_data, self.responsible)

    @property
    def header_digest(self) -> bytes:
        """SHA-256 of the sealed envelope's header: `inputRoot` of a receipt."""
        return self.header.digest

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def require_environment(self, wanted: WantedEnvironment) -> None:
        """Raises RefusedError where the node offers no such environment."""
        if not any(map(wanted.fits, self.environments)):
            raise RefusedError(
                "the dataset's node does not offer the environment that the algorithm needs",
                got=wanted,
                expected=named(self.environments),
                do="Name one of these in algorithm.toml, or ask the provider for it.",
            )

    @property
    def digest(self) -> bytes:
        """SHA-256 of the block: the asset's metadata on chain."""
        return sha256(self.to_bytes())

    @property
    def cid(self) -> Cid:
        """The block's name in the shared store."""
        return Cid.raw(self.digest)

    def to_document(self) -> dict[str, JsonValue]:
        """The listing as Croissant JSON-LD."""
        responsible = self.responsible.to_json()
        document: dict[str, JsonValue] = {
            "@context": schemas.load("croissant.context"),
            "@type": "sc:Dataset",
            "conformsTo": [CROISSANT, *([CROISSANT_RAI] if responsible else []), LISTING],
            "identifier": str(self.did),
            "url": str(self.did),
            "alternateName": self.slug,
            "name": self.name,
            "description": self.description,
            "license": self.licence if "/" in self.licence else SPDX + self.licence,
            "creator": self.creator.to_json(),
            "version": self.version,
            "datePublished": self.published.isoformat(),
            "citeAs": f"{self.creator.name} ({self.published.year}). {self.name}, {self.version}. {self.did}",
            "usageInfo": self._usage_info(),
            "distribution": [self._sealed(), self._table()],
            "recordSet": [self._record_set()],
            "steelyard:algorithm": [algorithm.to_json() for algorithm in self.algorithms],
            "steelyard:environment": environments_json(self.environments),
            "steelyard:personalData": self.personal_data,
            **responsible,
        }
        if self.keywords:
            document["keywords"] = list(self.keywords)
        if self.modified is not None:
            document["dateModified"] = self.modified.isoformat()
        return document

    def to_bytes(self) -> bytes:
        """One block of canonical JSON. Raises InputError if it would be longer than 256 KiB."""
        block = canonical(self.to_document())
        if len(block) > MAX_DOCUMENT:
            raise InputError(
                "the listing does not fit into one block",
                got=f"{len(block)} bytes",
                expected=f"at most {MAX_DOCUMENT}",
                do="Shorten the names of columns, or list fewer columns, packages or texts.",
            )
        return block

    @classmethod
    def parse(cls, data: bytes) -> Listing:
        """The listing in a block. Raises InputError naming the JSON path of what does not fit."""
        document = parse_canonical(data, what="the listing")
        _check_schema(document)
        listing = _read(document)
        require_exact(document, listing.to_document(), what="the listing")
        return listing

    def _usage_info(self) -> JsonValue:
        return {
            "@type": ["sc:CreativeWork", "odrl:Offer"],
            "@id": f"ipfs://{self.terms}",
            "name": "Terms of use",
            "encodingFormat": "application/ld+json",
            "sha256": self.terms.digest.hex(),
        }

    def _sealed(self) -> JsonValue:
        return {
            "@type": "cr:FileObject",
            "@id": "sealed",
            "name": "sealed",
            "contentUrl": f"ipfs://{self.header}",
            "encodingFormat": ENVELOPE_TYPE,
            "sha256": self.header.digest.hex(),
        }

    def _table(self) -> JsonValue:
        return {
            "@type": "cr:FileObject",
            "@id": "table",
            "name": f"table.{self.format}",
            "contentUrl": f"table.{self.format}",
            "containedIn": {"@id": "sealed"},
            "encodingFormat": _MEDIA_TYPES[self.format],
        }

    def _record_set(self) -> JsonValue:
        return {
            "@type": "cr:RecordSet",
            "@id": "records",
            "name": "records",
            "steelyard:rows": self.rows,
            "field": [column.to_json(index) for index, column in enumerate(self.columns)],
        }


def _check_licence(licence: str) -> None:
    if licence.startswith(SPDX):
        raise InputError("a licence of SPDX is named by its id", got=brief(licence), do=f"Leave out {SPDX}.")
    if not _SPDX_ID.fullmatch(licence):
        check_url(licence, "the licence is no SPDX id (as CC-BY-4.0) and")


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise InputError("the version does not parse", got=brief(version), expected="three numbers, as 1.0.0")


def _check_keywords(keywords: tuple[str, ...]) -> None:
    if len(keywords) > 32 or len(set(keywords)) != len(keywords):
        raise InputError("the keywords do not fit", got=len(keywords), expected="at most 32, each once")
    for keyword in keywords:
        check_line(keyword, "a keyword")


def _check_blocks(**blocks: Cid) -> None:
    for name, cid in blocks.items():
        if cid.codec != "raw":
            raise InputError(f"the {name} is one raw block", got=cid, expected="bafkrei...")


def _check_table(rows: int, columns: tuple[Column, ...]) -> None:
    if not 1 <= rows < 2**53:
        raise InputError("a listed table has rows", got=rows, expected="at least 1")
    if not 1 <= len(columns) <= MAX_COLUMNS:
        raise InputError("the number of columns", got=len(columns), expected=f"1 to {MAX_COLUMNS}")
    if len({column.name for column in columns}) != len(columns):
        raise InputError("two columns have the same name", do="Rename one of them.")


def _check_algorithms(algorithms: tuple[ListedAlgorithm, ...]) -> None:
    names = {algorithm.name for algorithm in algorithms}
    if len(algorithms) > 256 or len(names) != len(algorithms):
        raise InputError(
            "the algorithms do not fit", got=len(algorithms), expected="at most 256, each name once"
        )


def _check_personal(personal_data: bool, responsible: Responsible) -> None:
    if personal_data and not responsible.sensitive:
        raise InputError(
            "the data is personal, but nothing says how",
            do="List in `sensitive` what identifies or describes people, as: age, postcode, diagnosis.",
        )
    if not personal_data and responsible.sensitive:
        raise InputError(
            "the data is declared not personal, but sensitive information is listed",
            do="Declare personal_data = true, or remove `sensitive`.",
        )


def _check_schema(document: JsonValue) -> None:
    errors = Draft202012Validator(schemas.load("listing.schema")).iter_errors(document)
    error = next(errors, None)
    if error is None:
        return
    shape = error.validator in {"required", "additionalProperties"}
    raise InputError(
        f"the listing does not fit at {error.json_path[:200]}",
        got=brief(error.message) if shape else brief(error.instance),
        expected=f"{error.validator} {brief(error.validator_value)}",
    )


def _read(document: Any) -> Listing:
    """The listing that a document seems to be; it fits the schema already."""
    sealed, table = document["distribution"]
    record_set = document["recordSet"][0]
    return Listing(
        did=Did.parse(document["identifier"]),
        slug=document["alternateName"],
        name=document["name"],
        description=document["description"],
        licence=document["license"].removeprefix(SPDX),
        creator=Creator.of_json(document["creator"]),
        version=document["version"],
        published=_read_date(document["datePublished"]),
        header=read_ipfs(sealed["contentUrl"]),
        terms=read_ipfs(document["usageInfo"]["@id"]),
        format=TableFormat(table["name"].removeprefix("table.")),
        rows=int(record_set["steelyard:rows"]),
        columns=tuple(Column.of_json(one) for one in record_set["field"]),
        environments=read_environments(document["steelyard:environment"]),
        personal_data=document["steelyard:personalData"],
        algorithms=tuple(ListedAlgorithm.of_json(one) for one in document["steelyard:algorithm"]),
        keywords=tuple(document.get("keywords", ())),
        modified=_read_date(document["dateModified"]) if "dateModified" in document else None,
        responsible=Responsible.of_json(document),
    )


def _read_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(
            "a date of the listing does not exist", got=brief(text), expected="as 2027-01-31"
        ) from None
