"""Documents that parties exchange: strict, canonical, one block each. Pure."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from marketplace.core.canonical import canonical, parse_canonical, sha256
from marketplace.core.cid import Cid
from marketplace.errors import InputError, SteelyardError


def _hex32(value: str) -> str:
    if len(value) != 66 or not value.startswith("0x") or value != value.lower():
        raise ValueError("expected 0x and 64 lower-case hex digits")
    if len(bytes.fromhex(value[2:])) != 32:  # fromhex skips spaces
        raise ValueError("expected 0x and 64 lower-case hex digits")
    return value


def _cid(value: str) -> str:
    try:
        Cid.parse(value)
    except SteelyardError as error:
        raise ValueError(str(error)) from None
    return value


Hex32 = Annotated[str, AfterValidator(_hex32)]
CidText = Annotated[str, AfterValidator(_cid)]


class Document(BaseModel):
    """Base: frozen, no unknown fields, no coercion; its bytes are RFC 8785 JSON, so equal content = equal digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    WHAT: ClassVar[str] = "a document"

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json", exclude_none=True))

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the bytes, 32 bytes."""
        return sha256(self.to_bytes())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Raises InputError naming the field that does not fit, or where `data` is not what `to_bytes` writes."""
        found = cls.of(parse_canonical(data, what=cls.WHAT))
        if found.to_bytes() != data:  # a field left out that has a default, or true for 1
            raise InputError(f"{cls.WHAT} is written otherwise", expected=found.to_bytes().decode()[:300])
        return found

    @classmethod
    def of(cls, value: Any) -> Self:
        """From parsed JSON. Raises InputError naming the field that does not fit."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = "/".join(str(part) for part in first["loc"]) or "the whole"
            got = repr(first.get("input"))[:80]
            raise InputError(
                f"{cls.WHAT} does not parse at {where}", got=got, expected=first["msg"]
            ) from None
