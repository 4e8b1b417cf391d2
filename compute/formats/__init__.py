"""Strict parsers of what may travel: each reads one format whole or refuses it, and writes it back its own way.

`rewrite(format, data)` gives the bytes that leave: the same content, written by this package, so that nothing hides
in spaces, spellings, order of keys, compression, comments or after the end.

Every refusal is an InputError whose `what` is a fixed sentence about the format. Only `got` may quote content.

Covered: bytes outside the format's own content, executable formats (pickle), sizes that explode when read, values
that are not finite.
Not covered: what the content itself says. Numbers, pixels and texts can spell anything, a dataset too.
"""

from __future__ import annotations

from compute.formats.csv import rewrite_csv
from compute.formats.magic import identify
from compute.formats.png import rewrite_png
from compute.formats.safetensors import Tensor, Weights, parse_weights, write_weights
from marketplace.core.canonical import canonical, parse_json
from marketplace.core.manifest import Format
from marketplace.errors import InputError

__all__ = ["Tensor", "Weights", "identify", "parse_weights", "rewrite", "write_weights"]

MAX_JSON_BYTES = 4 * 1024 * 1024
"""JSON takes up to thirty times its length in memory while it is read."""


def rewrite(declared: Format, data: bytes) -> bytes:
    """The content of `data`, written anew in its declared format; opaque bytes stay as they are.

    Raises InputError where `data` is not of that format; its `what` says so without quoting `data`.
    """
    if declared is Format.SAFETENSORS:
        return write_weights(parse_weights(data))
    if declared is Format.PNG:
        return rewrite_png(data)
    if declared is Format.CSV:
        return rewrite_csv(data)
    if declared is Format.JSON:
        return _rewrite_json(data)
    return data


def _rewrite_json(data: bytes) -> bytes:
    try:
        return canonical(parse_json(data, what="the document", limit=MAX_JSON_BYTES))
    except InputError as error:
        raise InputError(
            "it is not strict JSON of at most 4 MiB",
            got=error,
            expected="UTF-8, no duplicate keys, finite numbers, integers to 2**53 - 1",
        ) from None
