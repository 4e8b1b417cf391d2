"""PNG pictures: every chunk walked and checked, the pixels unpacked and packed anew, all else dropped.

Source: W3C PNG specification, second edition. Interlaced pictures are refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from marketplace.errors import InputError

MAX_SIDE = 16_384
MAX_RAW_BYTES = 64 * 1024 * 1024
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by colour type
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_FILTERS = 5


@dataclass(frozen=True)
class _Shape:
    """The fields of IHDR that decide how many bytes the pixels take."""

    width: int
    height: int
    depth: int
    colour: int

    @property
    def line(self) -> int:
        """Bytes of one row of pixels, its filter byte included."""
        return 1 + (self.width * self.depth * _SAMPLES[self.colour] + 7) // 8


def rewrite_png(data: bytes) -> bytes:
    """The same picture from IHDR, PLTE, tRNS, IDAT and IEND alone. Raises InputError."""
    if not data.startswith(_SIGNATURE):
        raise InputError("it is not PNG", expected="the signature of PNG")
    chunks = _gather(data)
    shape = _shape(chunks[b"IHDR"])
    _check_palette(shape, chunks.get(b"PLTE"), chunks.get(b"tRNS"))
    pixels = zlib.compress(_unpack(chunks[b"IDAT"], shape), 9)
    kept = [(b"IHDR", chunks[b"IHDR"])]
    kept += [(kind, chunks[kind]) for kind in (b"PLTE", b"tRNS") if kind in chunks]
    kept += [(b"IDAT", pixels), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(kind, body) for kind, body in kept)


def _gather(data: bytes) -> dict[bytes, bytes]:
    """The chunks that make the picture, in their order; IDAT joined."""
    order: list[bytes] = []
    parts: dict[bytes, list[bytes]] = {}
    for kind, body in _chunks(data):
        if kind not in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            if not kind[0] & 0x20:
                raise InputError("it has a critical chunk of an unknown kind", got=kind)
            kind = b"other"
        if kind in parts and kind != b"other" and not (kind == b"IDAT" == order[-1]):
            raise InputError("it has a chunk twice or out of order", got=kind)
        order.append(kind)
        parts.setdefault(kind, []).append(body)
    ranks = [(b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND").index(kind) for kind in order if kind != b"other"]
    if ranks != sorted(ranks) or order[:1] != [b"IHDR"] or order[-1] != b"IEND" or b"IDAT" not in parts:
        raise InputError("its chunks are missing or out of order", expected="IHDR, PLTE, tRNS, IDAT, IEND")
    if parts[b"IEND"] != [b""]:
        raise InputError("its end holds bytes")
    return {kind: b"".join(bodies) for kind, bodies in parts.items()}


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = len(_SIGNATURE)
    while offset < len(data):
        if len(data) - offset < 12:
            raise InputError("it ends inside a chunk, or bytes follow its end")
        (length,) = struct.unpack_from(">I", data, offset)
        kind, body = data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]
        end = offset + 12 + length
        if length > 2**31 - 1 or end > len(data) or not (kind.isalpha() and kind.isascii()):
            raise InputError("a chunk has a wrong length or kind")
        if data[end - 4 : end] != struct.pack(">I", zlib.crc32(kind + body)):
            raise InputError("the checksum of a chunk is wrong")
        yield kind, body
        offset = end
        if kind == b"IEND" and offset < len(data):
            raise InputError("bytes follow its end", got=f"{len(data) - offset} bytes")


def _shape(header: bytes) -> _Shape:
    if len(header) != 13:
        raise InputError("its header has a wrong length")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if depth not in _DEPTHS.get(colour, ()):
        raise InputError("its colours are of an unknown kind", got=f"depth {depth}, type {colour}")
    if compression or filtering or interlace:
        raise InputError("it is interlaced or packed in an unknown way")
    shape = _Shape(width, height, depth, colour)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE) or shape.line * height > MAX_RAW_BYTES:
        raise InputError(
            "it has too many pixels or none", got=f"{width} x {height}", expected=f"sides <= {MAX_SIDE}"
        )
    return shape


def _check_palette(shape: _Shape, palette: bytes | None, alpha: bytes | None) -> None:
    colours = len(palette or b"") // 3
    fits = palette is None or (len(palette) % 3 == 0 and 1 <= colours <= min(256, 2**shape.depth))
    if not fits or (palette is None) == (shape.colour == 3):
        raise InputError("its palette does not fit", expected="1 to 256 colours, for indexed pictures only")
    longest = {0: 2, 2: 6, 3: colours}.get(shape.colour, 0)
    if alpha is not None and not (len(alpha) == longest or (shape.colour == 3 and 0 < len(alpha) <= longest)):
        raise InputError("its transparency does not fit")


def _unpack(packed: bytes, shape: _Shape) -> bytes:
    """The rows of pixels, each after its filter byte: exactly as many bytes as the header says."""
    size = shape.line * shape.height
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(packed, size + 1)
    except zlib.error as error:
        raise InputError("its pixels do not unpack", got=error) from None
    if len(raw) != size or not reader.eof or reader.unused_data:
        raise InputError(
            "its pixels are too few or too many", expected=f"{size} bytes and nothing after them"
        )
    if any(kind >= _FILTERS for kind in raw[:: shape.line]):
        raise InputError("a row of its pixels has an unknown filter")
    return raw


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
