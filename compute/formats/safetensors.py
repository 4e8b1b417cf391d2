"""Weights as safetensors, read without trusting a byte of them.

The file: 8 bytes little-endian length of the header, the header (JSON), the tensors' bytes one after the other.
Source: the safetensors format, huggingface/safetensors, README "Format".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from marketplace.core.canonical import JsonValue, canonical, parse_json
from marketplace.errors import InputError

MAX_HEADER_BYTES = 65_536
MAX_RANK = 8
MAX_NAME = 256
_FRAMEWORKS = ("pt", "np", "tf", "flax", "mlx")
_SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
    "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """dtype: as safetensors names it, F32. data: little-endian, row after row."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True)
class Weights:
    """tensors: by name, in the order of their bytes. framework: `format` of the metadata, where it is given."""

    tensors: Mapping[str, Tensor]
    framework: str | None


def parse_weights(data: bytes) -> Weights:
    """The tensors of a safetensors file. Raises InputError.

    The header is strict JSON of at most 64 KiB; tensors follow each other without gap, overlap or rest; numbers
    are finite and truth values 0 or 1; the metadata names at most a framework.
    """
    header, body = _header(data)
    metadata = header.pop("__metadata__", None)
    if metadata is not None and not _is_framework(metadata):
        raise InputError(
            "its metadata holds more than a framework", got=metadata, expected=f"format: {_FRAMEWORKS}"
        )
    spans = sorted(
        (_span(name, entry) for name, entry in header.items()), key=lambda span: (span[2], span[3])
    )
    tensors: dict[str, Tensor] = {}
    end = 0
    for name, (dtype, shape), start, stop in spans:
        if start != end or stop > len(body):
            raise InputError("its tensors leave a gap, overlap, or end outside the file", got=name)
        tensors[name] = Tensor(dtype, shape, bytes(body[start:stop]))
        _check_values(name, tensors[name])
        end = stop
    if end != len(body):
        raise InputError("bytes follow its last tensor", got=f"{len(body) - end} bytes")
    return Weights(tensors, str(metadata["format"]) if isinstance(metadata, dict) and metadata else None)


def write_weights(weights: Weights) -> bytes:
    """The file with a canonical header: the same tensors in the same order, always the same bytes."""
    header: dict[str, JsonValue] = {}
    offset = 0
    for name, tensor in weights.tensors.items():
        end = offset + len(tensor.data)
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    if weights.framework:
        header["__metadata__"] = {"format": weights.framework}
    text = canonical(header)
    text += b" " * (-len(text) % 8)
    return (
        len(text).to_bytes(8, "little") + text + b"".join(tensor.data for tensor in weights.tensors.values())
    )


def _header(data: bytes) -> tuple[dict[str, JsonValue], memoryview]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 10 or length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise InputError(
            "its header is missing, cut short or too long", expected=f"<= {MAX_HEADER_BYTES} bytes"
        )
    try:
        header = parse_json(data[8 : 8 + length], what="the header", limit=MAX_HEADER_BYTES)
    except InputError as error:
        raise InputError("its header is not strict JSON", got=error) from None
    if not isinstance(header, dict):
        raise InputError("its header is not an object")
    return header, memoryview(data)[8 + length :]


def _is_framework(metadata: JsonValue) -> bool:
    return metadata == {} or (
        isinstance(metadata, dict) and list(metadata) == ["format"] and metadata["format"] in _FRAMEWORKS
    )


def _span(name: str, entry: JsonValue) -> tuple[str, tuple[str, tuple[int, ...]], int, int]:
    """Name, type and shape, and the bytes from start to stop."""
    if not 1 <= len(name) <= MAX_NAME or not (name.isascii() and name.isprintable()):
        raise InputError("a tensor's name is not 1 to 256 printable ASCII characters", got=name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputError("a tensor is not described by dtype, shape and data_offsets alone", got=entry)
    dtype, shape, offsets = entry["dtype"], _naturals(entry["shape"]), _naturals(entry["data_offsets"])
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise InputError("a tensor is of an unknown type", got=dtype, expected=", ".join(_SIZES))
    if len(shape) > MAX_RANK or len(offsets) != 2:
        raise InputError("a tensor has too many dimensions or wrong offsets", got=entry)
    if offsets[1] - offsets[0] != math.prod(shape) * _SIZES[dtype]:
        raise InputError("a tensor's offsets do not fit its shape", got=entry)
    return name, (dtype, shape), offsets[0], offsets[1]


def _naturals(value: JsonValue) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [None]
    naturals = [number for number in numbers if type(number) is int and number >= 0]
    if len(naturals) < len(numbers):
        raise InputError("a tensor's shape or offsets are not whole numbers", got=value)
    return tuple(naturals)


def _check_values(name: str, tensor: Tensor) -> None:
    if tensor.dtype in ("F64", "F32", "F16"):
        fits = bool(np.isfinite(np.frombuffer(tensor.data, dtype=f"<f{_SIZES[tensor.dtype]}")).all())
    elif tensor.dtype == "BF16":
        exponents = np.frombuffer(tensor.data, dtype="<u2") & 0x7F80
        fits = not (exponents == 0x7F80).any()
    else:
        fits = tensor.dtype != "BOOL" or not (np.frombuffer(tensor.data, dtype=np.uint8) > 1).any()
    if not fits:
        raise InputError(
            "a tensor holds values that are not finite, or truth values other than 0 and 1", got=name
        )
