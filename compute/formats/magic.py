"""What opaque bytes seem to be, in words for people; and whether a text is a pickle too."""

from __future__ import annotations

import pickletools
import re
import warnings
from itertools import islice

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
_CALLING = frozenset({"REDUCE", "OBJ", "INST", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_TELLING = _CALLING | {"GLOBAL", "STACK_GLOBAL", "PUT", "MEMOIZE"}
_NEEDS_MARK = frozenset(
    {"TUPLE", "LIST", "DICT", "APPENDS", "SETITEMS", "ADDITEMS", "FROZENSET", "POP_MARK", "OBJ"}
)
_IMPORTABLE = re.compile(r"[^\W\d][\w.]* [^\W\d][\w.]*")
_MANY_STEPS = 10_000


def identify(data: bytes) -> str:
    """A few words: "a Python pickle", "a torch .pt archive (pickle inside)", ...; "of no known format" otherwise."""
    if data.startswith(b"PK\x03\x04"):
        return "a torch .pt archive (pickle inside)" if b"data.pkl" in data else "a zip archive"
    if _PICKLE.match(data):
        return "a torch .pt file (pickle)" if _OLD_TORCH in data[:64] else "a Python pickle"
    if is_text_pickle(data):
        return "a Python pickle"
    for beginning, name in _BEGINNINGS:
        if data.startswith(beginning):
            return name
    return "of no known format"


def is_text_pickle(data: bytes) -> bool:
    """Whether `pickle.load` would make more than a bare value of these bytes, or call code on the way to an error.

    The first versions of pickle are lines of text, so a file can be one and a table at once. Nothing is executed.
    """
    names: set[str] = set()
    steps = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that pickle reads and Python deprecates
            for operation, argument, _ in islice(pickletools.genops(data), _MANY_STEPS):
                if "MARK" not in names and _stops_without_mark(operation.name, argument):
                    return bool(names & _CALLING)
                names.add(operation.name)
                steps += 1
    except (ValueError, OverflowError, IndexError, KeyError, EOFError):
        return bool(names & _CALLING)
    return steps == _MANY_STEPS or bool(names & _TELLING)


def _stops_without_mark(operation: str, argument: object) -> bool:
    """Whether pickle ends here for want of a mark, having done nothing; tables whose header begins `id,` or `time` do.

    INST looks its class up first in pickle's Python version: there it counts unless nothing could have that name.
    """
    if operation == "INST":
        return not _IMPORTABLE.fullmatch(str(argument))
    return operation in _NEEDS_MARK
