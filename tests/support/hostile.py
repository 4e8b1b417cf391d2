"""Archives and files that no honest program writes."""

from __future__ import annotations

import io
import tarfile

from marketplace.core import bundle
from marketplace.core.cid import Cid
from marketplace.core.dagpb import Link, encode_node, node_total
from marketplace.core.unixfs import LEAF, WIDTH
from marketplace.storage import ContentStore, put_file
from tests.support.works import COUNT_ROWS, algorithm

_GOOD = bundle.unpack(algorithm("count", COUNT_ROWS))


def hostile_tar(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> bytes:
    """An archive with one odd entry beside a good manifest and entrypoint."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for good, data in _GOOD.items():
            entry = tarfile.TarInfo(good)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        odd = tarfile.TarInfo(name)
        odd.type, odd.linkname = kind, target
        archive.addfile(odd)
    return buffer.getvalue()


def many_files(count: int) -> bytes:
    """An archive as `pack` would write it, if it wrote so many files."""
    names = [f"zz/{number:05d}.py" for number in range(count)]
    packed = [bundle.pack({name: b""})[:512] for name in names]
    head = bundle.pack(_GOOD)[: -2 * 512]
    return head + b"".join(packed) + bytes(2 * 512)


def endless_file(store: ContentStore) -> Cid:
    """A file of 41 petabytes: each node of its tree names one child 174 times, so that six blocks claim it."""
    cid, size, total = put_file(io.BytesIO(bytes(LEAF)), store).cid, LEAF, LEAF
    for _ in range(5):
        links = [Link(cid, size, total)] * WIDTH
        block = encode_node(links)
        cid = Cid.of("dag-pb", block)
        store.put(cid, block)
        size, total = size * WIDTH, node_total(block, links)
    return cid
