"""A requirements file that is a list and nothing else: `name==version`, with hashes where wanted.

pip itself would follow more: URLs, options, other files, other indexes. None of that is a list of packages, so none
is accepted; pip is given what was parsed here, not the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from marketplace.errors import InputError

_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9._+!-]{1,90})"
    r"(?P<hashes>(?:\s+--hash=sha256:[0-9a-f]{64}){0,100})"
)
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_BYTES = 4 << 20
_MAX_PACKAGES = 999
"""With the interpreter, a listing's thousand."""


@dataclass(frozen=True)
class Pin:
    """One package. hashes: as `sha256:...`, of the files that pip may take; none: any of that version."""

    name: str
    version: str
    hashes: tuple[str, ...]

    def line(self) -> str:
        """As pip reads it."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash={one}" for one in self.hashes)])


def read_pins(file: Path) -> list[Pin]:
    """The packages of a file, sorted by name. Raises InputError that names the line."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise InputError("the requirements file cannot be read", got=f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError("the requirements file is not UTF-8", got=file) from None
    if len(text) > _MAX_BYTES:
        raise InputError("the requirements file is too large", expected=f"<= {_MAX_BYTES} bytes")
    return parse_pins(text)


def parse_pins(text: str) -> list[Pin]:
    """As `read_pins`. A line that ends in a backslash goes on in the next."""
    pins: dict[str, Pin] = {}
    for number, line in _lines(text):
        pin = _parse(line, number)
        if pin.name in pins:
            raise InputError(f"line {number} names a package again", got=pin.name, expected="each once")
        pins[pin.name] = pin
    if not 1 <= len(pins) <= _MAX_PACKAGES:
        raise InputError("the number of packages", got=len(pins), expected=f"1 to {_MAX_PACKAGES}")
    found = [pins[name] for name in sorted(pins)]
    if len({bool(pin.hashes) for pin in found}) > 1:
        bare = next(pin.name for pin in found if not pin.hashes)
        raise InputError("some packages have hashes and some none", got=bare, do="Give all of them, or none.")
    return found


def _lines(text: str) -> list[tuple[int, str]]:
    """(number, content) of each line that says something."""
    found: list[tuple[int, str]] = []
    held, begun = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        begun = begun if held else number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        content = re.sub(r"(^|\s)#.*", "", held + line).strip()
        held = ""
        if content:
            found.append((begun, content))
    if held:
        raise InputError("the last line does not end", got=held[:100], do="Remove its backslash.")
    return found


def _parse(line: str, number: int) -> Pin:
    found = _LINE.fullmatch(line)
    if found is None:
        raise InputError(
            f"line {number} is no pinned package",
            got=line[:200],
            expected="name==version, and --hash=sha256:... where wanted",
            do="Write one line for each package: no URLs, options, ranges or markers.",
        )
    return Pin(canonicalize_name(found["name"]), found["version"], tuple(_HASH.findall(found["hashes"])))
