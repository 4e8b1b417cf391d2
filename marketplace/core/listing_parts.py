"""The parts of a listing: columns, creator, algorithms, environment, and what responsible use needs. Pure.

Each checks itself, so that nothing unfit is ever written, and says how it stands in the Croissant document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from marketplace.core.canonical import JsonValue, sha256
from marketplace.core.cid import Cid
from marketplace.core.environments import MAX_ENVIRONMENTS
from marketplace.core.exact import brief
from marketplace.core.text import check_line, check_slug, check_text, check_texts, check_url
from marketplace.errors import InputError

MAX_COLUMNS = 1_000
_PACKAGE = re.compile(r"[A-Za-z0-9._-]{1,100}==[A-Za-z0-9._+!-]{1,90}")


class ColumnKind(StrEnum):
    """What the values of a column are; `date` covers days and moments."""

    integer = "integer"
    number = "number"
    boolean = "boolean"
    text = "text"
    date = "date"


DATA_TYPES: Mapping[ColumnKind, str] = {
    ColumnKind.integer: "sc:Integer",
    ColumnKind.number: "sc:Float",
    ColumnKind.boolean: "sc:Boolean",
    ColumnKind.text: "sc:Text",
    ColumnKind.date: "sc:Date",
}
_KINDS = {data_type: kind for kind, data_type in DATA_TYPES.items()}


class TableFormat(StrEnum):
    """The format of the file inside the envelope."""

    csv = "csv"
    parquet = "parquet"


@dataclass(frozen=True)
class Column:
    """One column, as it is published: its name and kind, and nothing counted."""

    name: str
    kind: ColumnKind

    def __post_init__(self) -> None:
        check_line(self.name, "a column's name")

    def to_json(self, index: int) -> dict[str, JsonValue]:
        return {
            "@type": "cr:Field",
            "@id": f"records/{index}",
            "name": self.name,
            "dataType": DATA_TYPES[self.kind],
            "source": {"fileObject": {"@id": "table"}, "extract": {"column": self.name}},
        }

    @classmethod
    def of_json(cls, value: Any) -> Column:
        """From a field that fits the schema."""
        return cls(value["name"], _KINDS[value["dataType"]])


@dataclass(frozen=True)
class Creator:
    """Who made the data. url: a page about them, http or https."""

    name: str
    person: bool = False
    url: str | None = None

    def __post_init__(self) -> None:
        check_line(self.name, "the creator's name")
        if self.url is not None:
            check_url(self.url, "the creator's page")

    def to_json(self) -> dict[str, JsonValue]:
        value: dict[str, JsonValue] = {
            "@type": "sc:Person" if self.person else "sc:Organization",
            "name": self.name,
        }
        return value if self.url is None else {**value, "url": self.url}

    @classmethod
    def of_json(cls, value: Any) -> Creator:
        """From a creator that fits the schema."""
        return cls(value["name"], value["@type"] == "sc:Person", value.get("url"))


@dataclass(frozen=True)
class ListedAlgorithm:
    """A ready-made algorithm that the provider allows.

    digest: SHA-256 of the canonical plaintext bundle, 32 bytes. cid: where the unsealed bundle lies.
    """

    name: str
    digest: bytes
    cid: Cid

    def __post_init__(self) -> None:
        check_slug(self.name, "an algorithm's name")
        if len(self.digest) != 32:
            raise InputError("an algorithm's digest has the wrong size", expected="32 bytes")

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "@type": "steelyard:Algorithm",
            "name": self.name,
            "sha256": self.digest.hex(),
            "contentUrl": f"ipfs://{self.cid}",
        }

    @classmethod
    def of_json(cls, value: Any) -> ListedAlgorithm:
        """From an algorithm that fits the schema."""
        return cls(value["name"], bytes.fromhex(value["sha256"]), read_ipfs(value["contentUrl"]))


@dataclass(frozen=True)
class Environment:
    """What algorithms find in the provider's sandbox. packages: `name==version` each, kept sorted."""

    name: str
    packages: tuple[str, ...]

    def __post_init__(self) -> None:
        check_slug(self.name, "the environment's name")
        object.__setattr__(self, "packages", tuple(sorted(set(self.packages))))
        for package in self.packages:
            if not _PACKAGE.fullmatch(package):
                raise InputError("a package is not pinned", got=brief(package), expected="name==version")

    @property
    def digest(self) -> bytes:
        """SHA-256 of the packages, sorted, one a line: `environmentDigest` of a receipt."""
        return environment_digest(self.packages)

    def to_json(self) -> dict[str, JsonValue]:
        return {
            "@type": "steelyard:Environment",
            "name": self.name,
            "sha256": self.digest.hex(),
            "steelyard:package": list(self.packages),
        }

    @classmethod
    def of_json(cls, value: Any) -> Environment:
        """From an environment that fits the schema."""
        return cls(value["name"], tuple(value["steelyard:package"]))


def check_environments(environments: tuple[Environment, ...]) -> None:
    """Raises InputError unless there are 1 to 16, none twice."""
    names = {(one.name, one.digest) for one in environments}
    if not 1 <= len(environments) <= MAX_ENVIRONMENTS or len(names) != len(environments):
        raise InputError(
            "the environments do not fit",
            got=len(environments),
            expected=f"1 to {MAX_ENVIRONMENTS}, each once",
        )


def environments_json(environments: tuple[Environment, ...]) -> JsonValue:
    """One stands alone, several in a list: to readers of JSON-LD both are the same."""
    found: list[JsonValue] = [one.to_json() for one in environments]
    return found[0] if len(found) == 1 else found


def read_environments(value: Any) -> tuple[Environment, ...]:
    """From what fits the schema."""
    return tuple(map(Environment.of_json, value if isinstance(value, list) else [value]))


def environment_digest(packages: Iterable[str]) -> bytes:
    """SHA-256 of the sorted, distinct `name==version` lines, joined by newlines."""
    return sha256("\n".join(sorted(set(packages))).encode())


@dataclass(frozen=True)
class Responsible:
    """What a careful user of the data should know (Croissant's responsible-AI fields); all optional.

    sensitive: the kinds of personal or sensitive information in the data.
    """

    collection: str | None = None
    maintenance: str | None = None
    social_impact: str | None = None
    annotation: tuple[str, ...] = ()
    biases: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    preprocessing: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    use_cases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, key in RESPONSIBLE_ONE.items():
            value = getattr(self, field)
            if value is not None:
                check_text(value, key)
        for field, key in RESPONSIBLE_MANY.items():
            check_texts(getattr(self, field), key)

    def to_json(self) -> dict[str, JsonValue]:
        ones = {key: getattr(self, field) for field, key in RESPONSIBLE_ONE.items()}
        many = {key: list(getattr(self, field)) for field, key in RESPONSIBLE_MANY.items()}
        return {key: value for key, value in {**ones, **many}.items() if value}

    @classmethod
    def of_json(cls, document: Any) -> Responsible:
        """From a whole listing that fits the schema."""
        values: dict[str, Any] = {name: document.get(key) for name, key in RESPONSIBLE_ONE.items()}
        values |= {name: tuple(document.get(key, ())) for name, key in RESPONSIBLE_MANY.items()}
        return cls(**values)


RESPONSIBLE_ONE: Mapping[str, str] = {
    "collection": "rai:dataCollection",
    "maintenance": "rai:dataReleaseMaintenancePlan",
    "social_impact": "rai:dataSocialImpact",
}
RESPONSIBLE_MANY: Mapping[str, str] = {
    "annotation": "rai:dataAnnotationProtocol",
    "biases": "rai:dataBiases",
    "limitations": "rai:dataLimitations",
    "preprocessing": "rai:dataPreprocessingProtocol",
    "sensitive": "rai:personalSensitiveInformation",
    "use_cases": "rai:dataUseCases",
}


def read_ipfs(url: str) -> Cid:
    """The block or file that `ipfs://<cid>` names. Raises InputError for any other CID."""
    return Cid.parse(url.removeprefix("ipfs://"))
