"""Where a document that was read differs from the one that its meaning writes. Pure.

A document is understood only if writing its meaning down again gives the same document: then nothing in it,
however deep, was overlooked. This finds the first place where that fails, to name it.
"""

from __future__ import annotations

from marketplace.core.canonical import JsonValue
from marketplace.errors import InputError

_ABSENT = "nothing there"


def require_exact(got: JsonValue, want: JsonValue, *, what: str) -> None:
    """Raises InputError naming the first JSON path where `got` is not `want`.

    what: names the document, as "the terms". Keys are compared in sorted order, lists by position;
    1, 1.0 and true are three different values.
    """
    found = _difference(got, want, "$")
    if found:
        path, there, expected = found
        raise InputError(f"{what}: not understood at {path}", got=there, expected=expected)


def _difference(got: JsonValue, want: JsonValue, path: str) -> tuple[str, str, str] | None:
    if isinstance(got, dict) and isinstance(want, dict):
        return _first_in_object(got, want, path)
    if isinstance(got, list) and isinstance(want, list):
        return _first_in_list(got, want, path)
    if type(got) is type(want) and got == want:
        return None
    return path, brief(got), brief(want)


def _first_in_object(
    got: dict[str, JsonValue], want: dict[str, JsonValue], path: str
) -> tuple[str, str, str] | None:
    for key in sorted(got.keys() | want.keys()):
        at = f"{path}.{key[:80]}"
        if key not in want:
            return at, brief(got[key]), _ABSENT
        if key not in got:
            return at, _ABSENT, brief(want[key])
        found = _difference(got[key], want[key], at)
        if found:
            return found
    return None


def _first_in_list(got: list[JsonValue], want: list[JsonValue], path: str) -> tuple[str, str, str] | None:
    for index, (mine, theirs) in enumerate(zip(got, want, strict=False)):
        found = _difference(mine, theirs, f"{path}[{index}]")
        if found:
            return found
    if len(got) > len(want):
        return f"{path}[{len(want)}]", brief(got[len(want)]), _ABSENT
    if len(got) < len(want):
        return f"{path}[{len(got)}]", _ABSENT, brief(want[len(got)])
    return None


def brief(value: object) -> str:
    """`value` in at most 120 characters, for an error."""
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
