"""What opaque bytes seem to be, for messages to people; decides nothing."""

from __future__ import annotations

import re

_BEGINNINGS = (
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x89HDF\r\n", "an HDF5 file"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\x7fELF", "an executable program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PAR1", "a Parquet file"),
    (b"GGUF", "a GGUF model"),
)
_OLD_TORCH = (
    b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number of torch.save before 1.6, as a pickle holds it
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_TEXT_PICKLE = re.compile(rb"(\(dp\d+\n|\(lp\d+\n|c[A-Za-z_.]+\n[A-Za-z_.]+\n)")


def identify(data: bytes) -> str:
    """A few words: "a Python pickle", "a torch .pt archive (pickle inside)", ...; "of no known format" otherwise."""
    if data.startswith(b"PK\x03\x04"):
        return "a torch .pt archive (pickle inside)" if b"data.pkl" in data else "a zip archive"
    if _PICKLE.match(data):
        return "a torch .pt file (pickle)" if _OLD_TORCH in data[:64] else "a Python pickle"
    if _TEXT_PICKLE.match(data) and data.endswith(b"."):
        return "a Python pickle"
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return name
    return "of no known format"
