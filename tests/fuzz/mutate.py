"""Malformed inputs from good ones: bytes changed anywhere, and each format broken in its own grammar.

Pure: the same `random` gives the same input. An input is at most MAX_INPUT bytes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from marketplace.core.canonical import canonical
from marketplace.errors import InputError

Grammar = Callable[[Random, bytes], bytes]
"""Breaks a good document in its own grammar, so that lengths and checksums may still fit."""

MAX_INPUT = 262_144 + 64
_EDGES = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**53, 2**63, 2**64 - 1,
)  # fmt: skip
_ODD_TEXTS = (
    "", " ", "\0", "\ud800", "\u202e", "\U0010ffff", "é" * 50, "../../etc/passwd", "-1", "0x", "0x" + "zz" * 32,
    "1e400", "NaN", "did:steelyard:1", "http://[", "a" * 300, "\u0661", "%s{0}{__class__}", "a==1" * 20, "2026-02-30",
    "9" * 5000,
)  # fmt: skip
_ODD_NUMBERS = (
    0, -1, 1, 2**31, 2**48, 2**53 - 1, 2**53, 2**63, 2**64, 2**256, -(2**63), 10**400, 0.1, -0.0, 1e308, 5e-324,
)  # fmt: skip
_JSON_PIECES = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\u0000", b"\\ud800", b"NaN", b"Infinity", b"-", b"1e999",
    b"\xef\xbb\xbf", b"null", b"true", b"\x00", b"1" * 400, b"\\", b"\n",
)  # fmt: skip


def malformed(random: Random, seeds: Sequence[bytes], grammar: Grammar | None) -> bytes:
    """One input: noise, a seed with bytes changed, or a seed broken in its grammar."""
    choice = random.random()
    seed = random.choice(seeds)
    if choice < 0.08:
        found = random.randbytes(random.choice((0, 1, 2, 8, 32, 80, 200, 1000)))
    elif grammar is None or choice < 0.45:
        found = change_bytes(random, seed, seeds)
    else:
        found = grammar(random, seed)
    return found[:MAX_INPUT]


def change_bytes(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to six changes that know nothing of the format."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        _change(random, found, others)
    return bytes(found)


def _change(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    start = random.randrange(len(data) + 1)
    length = min(random.choice((1, 1, 2, 4, 8, 64, 512)), len(data) - start)
    kind = random.randrange(9)
    if kind == 0 and start < len(data):
        data[start] ^= 1 << random.randrange(8)
    elif kind == 1 and start < len(data):
        data[start] = random.choice((0, 9, 10, 13, 32, 34, 39, 44, 45, 48, 57, 92, 127, 128, 255))
    elif kind == 2:
        del data[start : start + length]
    elif kind == 3:
        data[start:start] = data[start : start + length] * random.choice((1, 1, 2, 30))
    elif kind == 4:
        data[start:start] = random.randbytes(random.choice((1, 2, 4, 16)))
    elif kind == 5:
        del data[start:]
    elif kind == 6:
        other = random.choice(others)
        data[start:] = other[random.randrange(len(other) + 1) :]
    elif kind == 7:
        data[start : start + 8] = _edge(random)
    elif random.random() < 0.1:  # long ones are rare: they take most of the time
        data[start : start + length] = bytes(data[start : start + length] or b"x") * random.choice(
            (1_000, 20_000)
        )
        del data[MAX_INPUT:]


def _edge(random: Random) -> bytes:
    width = random.choice((1, 2, 4, 8))
    value = random.choice(_EDGES) & ((1 << 8 * width) - 1)
    return value.to_bytes(width, random.choice(("little", "big")))


def json_grammar(random: Random, data: bytes) -> bytes:
    """A JSON document with values, keys or the writing itself changed."""
    try:
        value = json.loads(data)
    except ValueError:
        return change_bytes(random, data, (data,))
    for _ in range(random.choice((1, 1, 2, 3))):
        value = odd_value(random, value)
    return _written(random, value)


def _written(random: Random, value: Any) -> bytes:
    choice = random.random()
    try:
        text = canonical(value) if choice < 0.75 else json.dumps(value, indent=choice > 0.97 or None).encode()
    except (InputError, ValueError, OverflowError, RecursionError):
        text = _dumped(value)
    if choice > 0.85:
        place = random.randrange(len(text) + 1)
        text = text[:place] + random.choice(_JSON_PIECES) + text[place:]
    if choice > 0.995:
        depth = random.choice((40, 2_000, 100_000))
        text = b"[" * depth + text + b"]" * depth
    return text


def _dumped(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return b"[" * 50_000


def odd_value(random: Random, value: Any) -> Any:
    """A JSON value with one place in it changed."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        return _odd_object(random, dict(value))
    if isinstance(value, list) and value and random.random() < 0.85:
        items = list(value)
        place = random.randrange(len(items))
        kind = random.randrange(5)
        if kind == 0:
            del items[place]
        elif kind == 1:
            items.insert(place, items[random.randrange(len(items))])
        elif kind == 2:
            items *= random.choice((2, 300))
        else:
            items[place] = odd_value(random, items[place])
        return items
    return _replacement(random, value)


def _odd_object(random: Random, value: dict[str, Any]) -> dict[str, Any]:
    name = random.choice(list(value))
    kind = random.randrange(6)
    if kind == 0:
        del value[name]
    elif kind == 1:
        value[random.choice(_ODD_TEXTS)] = value[name]
    elif kind == 2:
        value[name] = value[random.choice(list(value))]
    else:
        value[name] = odd_value(random, value[name])
    return value


def _replacement(random: Random, value: Any) -> Any:
    kind = random.randrange(8)
    if kind == 0 and isinstance(value, str):
        return _odd_text(random, value)
    if kind == 1 and isinstance(value, int):
        return value + random.choice((-1, 1, 1 << 40))
    if kind == 2:
        return [value] * random.choice((0, 1, 2))
    if kind == 3:
        return {random.choice(_ODD_TEXTS): value}
    if kind == 4:
        return random.choice((None, True, False, [], {}))
    return random.choice(_ODD_TEXTS if kind < 7 else _ODD_NUMBERS)


def _odd_text(random: Random, text: str) -> str:
    place = random.randrange(len(text) + 1)
    return random.choice(
        (
            text[:place],
            text[:place] + random.choice(_ODD_TEXTS) + text[place:],
            text.upper(),
            text * 2,
            text + "\n",
        )
    )


def text_grammar(random: Random, data: bytes) -> bytes:
    """A document of lines (TOML, CSV): lines lost, doubled, swapped; values replaced."""
    lines = data.split(b"\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        place, other = random.randrange(len(lines)), random.randrange(len(lines))
        kind = random.randrange(5)
        if kind == 0 and len(lines) > 1:
            del lines[place]
        elif kind == 1:
            lines.insert(place, lines[other])
        elif kind == 2:
            lines[place], lines[other] = lines[other], lines[place]
        else:
            lines[place] = _odd_line(random, lines[place])
    return b"\n".join(lines)


def _odd_line(random: Random, line: bytes) -> bytes:
    odd = random.choice(
        (
            *(json.dumps(text).encode() for text in _ODD_TEXTS[:8]),
            *(str(number).encode() for number in _ODD_NUMBERS),
            b"nan", b"1979-05-27T07:32:00Z", b"[[[]]]", b"{a = {b = 1}}", b'"""', b"\xff", b"1_000", b"0o7", b"=", b'"',
        )
    )  # fmt: skip
    name, sign, _ = line.partition(b"=")
    if sign and random.random() < 0.7:
        return name + b"= " + odd
    cells = line.split(b",")
    cells[random.randrange(len(cells))] = odd
    return b",".join(cells)


def tar_grammar(random: Random, data: bytes) -> bytes:
    """An archive with a field of one header changed and the checksum right again."""
    found = bytearray(data)
    heads = [
        start for start in range(0, len(found) - 511, 512) if found[start + 257 : start + 262] == b"ustar"
    ]
    head = random.choice(heads or [0])
    kind = random.randrange(4)
    if kind == 0:
        start, length = random.choice(
            ((0, 100), (124, 12), (156, 1), (157, 100), (100, 8), (345, 155), (257, 8))
        )
        words = (
            b"../x",
            b"/etc/passwd",
            b"a\0b",
            b"77777777777",
            b"\x80\xff\xff\xff",
            b"2",
            b"L",
            b"x",
            b"\xff",
            b"",
        )
        found[head + start : head + start + length] = random.choice(words)[:length].ljust(length, b"\0")
    elif kind == 1:
        found[head + random.randrange(500)] = random.randrange(256)
    elif kind == 2:
        found[head:head] = found[head : head + 1024]
    else:
        del found[head : head + 512 * random.choice((1, 2, 3))]
    for start in heads:
        _sum_header(found, start)
    return bytes(found)


def _sum_header(data: bytearray, start: int) -> None:
    if len(data) >= start + 512:
        data[start + 148 : start + 156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])


def png_grammar(random: Random, data: bytes) -> bytes:
    """A picture with chunks changed and their checksums right again; now and then a bomb."""
    chunks, offset = [], 8
    while offset + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, offset)
        chunks.append((data[offset + 4 : offset + 8], data[offset + 8 : offset + 8 + length]))
        offset += 12 + length
    place = random.randrange(len(chunks))
    kind, body = chunks[place]
    choice = random.randrange(7)
    if choice == 0:
        del chunks[place]
    elif choice == 1:
        chunks.insert(place, random.choice(chunks))
    elif choice == 2:
        chunks[place] = (random.choice((b"tRNS", b"PLTE", b"IDAT", b"iTXt", b"ABCD", b"IEND", b"IHDR")), body)
    elif choice == 3 and random.random() < 0.02:
        side = random.choice((64, 2_000, 8_000))
        chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        chunks[-2] = (b"IDAT", zlib.compress(bytes(side * (side + 1) + random.choice((0, -1, 1)))))
    else:
        chunks[place] = (kind, change_bytes(random, body, (body, data)))
    packed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return data[:8] + b"".join(packed)


def safetensors_grammar(random: Random, data: bytes) -> bytes:
    """Weights whose header is changed as JSON, with a length that fits."""
    length = int.from_bytes(data[:8], "little")
    header = json_grammar(random, data[8 : 8 + length])
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def words_grammar(random: Random, data: bytes) -> bytes:
    """ABI data: words of 32 bytes changed to edges, lost or doubled."""
    words = [data[start : start + 32] for start in range(0, len(data), 32)]
    place = random.randrange(len(words))
    kind = random.randrange(4)
    if kind == 0:
        words[place] = random.choice(_EDGES).to_bytes(32)
    elif kind == 1:
        del words[place]
    elif kind == 2:
        words.insert(place, random.choice(words))
    else:
        words[place] = b"\xff" * 32
    return b"".join(words)
