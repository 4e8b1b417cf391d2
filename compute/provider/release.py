"""What may leave the sandbox: the declared outputs, each parsed as its format and written anew.

Covered: outputs that the manifest does not declare, or not of the declared size; links, folders, devices and FIFOs;
opaque formats (pickles) without terms that allow them; files that are not what they claim; bytes hidden beside the
content of weights, JSON, pictures and tables. What leaves was written by this process, never by the algorithm.
Not covered: the content itself. Weights, numbers, cells and pixels of code that nobody reviewed can spell out the data,
and sizes and endings can whisper bits of it: that is why custom code waits for the owner's review of its output.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compute.formats import identify, rewrite
from marketplace.core.manifest import MAX_OUTPUT_BYTES, Format, Manifest, Output
from marketplace.errors import InputError, RefusedError, UnavailableError

Fault = Literal["policy", "algorithm"]


@dataclass(frozen=True)
class Released:
    """The bytes that may leave, by the declared names; `core.bundle.pack` makes them one archive."""

    files: dict[str, bytes]


class ReleaseRefused(RefusedError):  # noqa: N818 - the name of what happened; the tree's names end in Error
    """An output may not leave.

    fault: `policy` where the output is not one that the manifest and terms allow, `algorithm` where it is missing or
    broken. reason: for the buyer; only declared names and fixed words, for names and bytes that the algorithm chose
    could carry data out. detail: for the provider's own eyes.
    """

    def __init__(self, fault: Fault, reason: str, detail: str | None = None) -> None:
        self.fault = fault
        self.reason = reason
        self.detail = detail or reason
        super().__init__(reason)


def review(outputs: Path, manifest: Manifest, *, opaque_allowed: bool) -> Released:
    """What may leave of a folder of outputs that no process writes to any more.

    opaque_allowed: the terms say that opaque formats may leave after a person's review.
    Raises ReleaseRefused; UnavailableError where the folder cannot be read.
    """
    declared = {output.name: output for output in manifest.outputs}
    try:
        folder = os.open(outputs, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise UnavailableError("the folder of outputs cannot be read", got=error) from None
    try:
        _check_names(folder, declared)
        _check_opaque(declared, opaque_allowed)
        contents = {name: _read(folder, output) for name, output in declared.items()}
    finally:
        os.close(folder)
    present = {name: content for name, content in contents.items() if content is not None}
    _check_total(present)
    for name in declared:
        if name not in present:
            raise ReleaseRefused("algorithm", f"the declared output `{name}` is missing")
    released = {name: _rewrite(declared[name], content) for name, content in present.items()}
    _check_total(released)
    return Released(released)


def _check_names(folder: int, declared: Mapping[str, Output]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name not in declared:
                raise ReleaseRefused(
                    "policy",
                    "there is an output that the manifest does not declare",
                    f"undeclared: {entry.name!r}",
                )


def _check_opaque(declared: Mapping[str, Output], opaque_allowed: bool) -> None:
    for name, output in declared.items():
        if output.format is Format.OPAQUE and not opaque_allowed:
            raise ReleaseRefused(
                "policy", f"the output `{name}` is opaque, and the terms allow no opaque output"
            )


def _read(folder: int, output: Output) -> bytes | None:
    """The content of one declared output, None where it is missing; never more than its limit is read."""
    try:
        # Without waiting: opening a FIFO would wait for a writer.
        file = os.open(output.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _not_a_file(output, error) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise _not_a_file(output, "a folder, FIFO or device")
    with os.fdopen(file, "rb") as reader:
        content = reader.read(output.max_bytes + 1)
    if len(content) > output.max_bytes:
        raise ReleaseRefused(
            "policy",
            f"the output `{output.name}` is larger than the {output.max_bytes} bytes that it declares",
        )
    return content


def _not_a_file(output: Output, detail: object) -> ReleaseRefused:
    reason = f"the output `{output.name}` is not a readable plain file"
    return ReleaseRefused("policy", reason, f"{reason}: {detail}")


def _check_total(contents: Mapping[str, bytes]) -> None:
    if sum(map(len, contents.values())) > MAX_OUTPUT_BYTES:
        raise ReleaseRefused("policy", f"the outputs are larger than {MAX_OUTPUT_BYTES} bytes together")


def _rewrite(output: Output, content: bytes) -> bytes:
    try:
        return rewrite(output.format, content)
    except InputError as error:
        reason = f"the output `{output.name}` does not parse as {output.format}: {error.what}"
        if "pickle" in (seen := identify(content)):
            reason += f"; it is {seen}, an opaque format"
        raise ReleaseRefused("algorithm", reason, f"{reason}; {error}; it is {seen}") from None
