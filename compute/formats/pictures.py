"""What a picture's header claims, read in bounded memory: its format and sides. Pixels are not unpacked.

Covered: pictures whose name says one format and whose bytes another, headers that claim more pixels than one should
unpack (image bombs), files cut short, endless runs of markers.
Not covered: pixels that do not unpack, or thumbnails and other content beside them: what an algorithm makes of it is
its own affair, within its limits.
Source: W3C PNG specification, second edition; ITU-T T.81 (JPEG), annex B.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from marketplace.errors import InputError

MAX_SIDE = 30_000
MAX_PIXELS = 1 << 27
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\0\0\0\0IEND\xaeB\x60\x82"
_JPEG = b"\xff\xd8"
_MAX_SEGMENTS = 4_096
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Start-of-frame markers: they hold the sides. The other three are tables and an extension."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""


@dataclass(frozen=True)
class Picture:
    """format: png or jpeg. width, height: pixels."""

    format: str
    width: int
    height: int


def read_header(file: BinaryIO) -> Picture:
    """What the picture claims to be. Raises InputError where it is none, or more than one should unpack."""
    start = file.read(33)
    if start.startswith(_PNG):
        picture = _png(file, start)
    elif start.startswith(_JPEG):
        picture = _jpeg(file)
    else:
        raise InputError("it is no picture", expected="PNG or JPEG")
    sides = (picture.width, picture.height)
    if not all(1 <= side <= MAX_SIDE for side in sides) or picture.width * picture.height > MAX_PIXELS:
        raise InputError(
            "it claims too many pixels or none",
            got=f"{picture.width} x {picture.height}",
            expected=f"sides <= {MAX_SIDE}, {MAX_PIXELS} pixels at most",
        )
    return picture


def _png(file: BinaryIO, start: bytes) -> Picture:
    if len(start) < 33 or start[8:16] != b"\0\0\0\rIHDR":
        raise InputError("its header is no PNG header")
    if file.seek(0, os.SEEK_END) < 33 + len(_PNG_END):
        raise InputError("it is cut short")
    file.seek(-len(_PNG_END), os.SEEK_END)
    if file.read(len(_PNG_END)) != _PNG_END:
        raise InputError("it is cut short, or bytes follow its end")
    return Picture("png", *struct.unpack_from(">II", start, 16))


def _jpeg(file: BinaryIO) -> Picture:
    file.seek(2)
    for _ in range(_MAX_SEGMENTS):
        marker = _marker(file)
        if marker in _ALONE:
            continue
        length = int.from_bytes(file.read(2), "big")
        if length < 2 or marker in (0xD9, 0xDA):  # its end or its pixels come before any frame
            break
        if marker in _FRAMES:
            frame = file.read(5)
            if len(frame) < 5:
                break
            height, width = struct.unpack_from(">HH", frame, 1)
            return Picture("jpeg", width, height)
        file.seek(length - 2, os.SEEK_CUR)
    raise InputError("it is cut short, or has no frame")


def _marker(file: BinaryIO) -> int:
    """The next marker's second byte; 0xD9, the end, where there is none."""
    if file.read(1) != b"\xff":
        return 0xD9
    for _ in range(_MAX_SEGMENTS):  # filling
        byte = file.read(1)
        if byte != b"\xff":
            return byte[0] if byte else 0xD9
    return 0xD9
