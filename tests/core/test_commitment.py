"""The commitment to data in place: fixed for ever, changed by every change, and proved chunk by chunk."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core.canonical import canonical
from marketplace.core.commitment import CHUNK, Commitment, CommittedFile, commit, prove
from marketplace.errors import InputError, IntegrityError

ID = "did:steelyard:31337:0x1111111111111111111111111111111111111111:1"
SECRET = bytes(range(32))
unhurried = settings(deadline=None, max_examples=40)
contents = st.lists(st.integers(0, 4 * CHUNK + 1), min_size=1, max_size=9)


def data_of(number: int, size: int) -> bytes:
    return bytes([number + 1]) * size


def chunks_of(data: bytes) -> list[bytes]:
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def files_of(sizes: Sequence[int]) -> list[CommittedFile]:
    return [
        CommittedFile(f"{number}.bin", size, chunks_of(data_of(number, size)))
        for number, size in enumerate(sizes)
    ]


def committed(files: Sequence[CommittedFile], secret: bytes = SECRET) -> Commitment:
    return commit(files, id=ID, secret=secret)


@pytest.mark.parametrize(
    ("sizes", "root"),
    [
        ([0], "22332955a49e02a6ee232c33cae84af5a3b7186b207da431b97d7c0e1aec7657"),
        ([3], "abf06f4dea499d6b9964d02288ea50d09d9f8bbfbf99098521c2ba3db9364404"),
        ([CHUNK, CHUNK + 1, 0], "e31bf99a672728eb0319605191fe04ee69812dea4672c24dbba7c2357f18d09a"),
        ([5 * CHUNK, 1, 1, 1, 1], "6380ae381079cfdc50dd6cd904f26b04d6fa3a6eeb34e211328eb1027501514e"),
    ],
)
def test_a_commitment_is_what_it_was_when_the_format_was_fixed(sizes: list[int], root: str) -> None:
    assert committed(files_of(sizes)).root.hex() == root


def test_the_smallest_commitment_is_built_as_the_format_says() -> None:
    def salt(domain: bytes) -> bytes:
        return hmac.digest(SECRET, domain + bytes(16), "sha256")

    chunk = hashlib.sha256(b"\0" + salt(b"\0") + bytes(16) + b"abc").digest()
    file = hashlib.sha256(b"\2" + salt(b"\2") + bytes(8) + (3).to_bytes(8) + chunk + "é".encode()).digest()
    found = committed([CommittedFile("é", 3, [b"abc"])])
    assert (found.files, found.size, found.root) == (1, 3, file)


@unhurried
@given(contents, st.data())
def test_every_chunk_is_proved_by_its_path_and_no_other_is(sizes: list[int], data: st.DataObject) -> None:
    files = files_of(sizes)
    whole = committed(files)
    file = data.draw(st.integers(0, len(sizes) - 1))
    pieces = chunks_of(data_of(file, sizes[file])) or [b""]
    chunk = data.draw(st.integers(0, len(pieces) - 1))
    proof = prove(files, file, chunk, secret=SECRET)
    proof.check(whole, pieces[chunk])
    for other in (pieces[chunk] + b"\0", pieces[chunk][:-1], b"\xff" * len(pieces[chunk])):
        if other != pieces[chunk]:
            with pytest.raises(IntegrityError):
                proof.check(whole, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda proof: replace(proof, file=1),
        lambda proof: replace(proof, file=-1),
        lambda proof: replace(proof, file=1 << 70),
        lambda proof: replace(proof, chunk=1),
        lambda proof: replace(proof, chunk=-1),
        lambda proof: replace(proof, name="other.bin"),
        lambda proof: replace(proof, size=proof.size + 1),
        lambda proof: replace(proof, size=-1),
        lambda proof: replace(proof, file_salt=bytes(32)),
        lambda proof: replace(proof, chunk_salt=bytes(32)),
        lambda proof: replace(proof, chunk_path=proof.chunk_path[:-1]),
        lambda proof: replace(proof, chunk_path=(*proof.chunk_path, bytes(32))),
        lambda proof: replace(proof, file_path=(bytes(32), *proof.file_path[1:])),
        lambda proof: replace(proof, file_path=(b"short", *proof.file_path[1:])),
        lambda proof: replace(proof, file_path=()),
    ],
)
def test_a_proof_with_any_part_changed_is_refused(change: Callable[..., object]) -> None:
    files = files_of([3 * CHUNK, 5, 7])
    proof = prove(files, 0, 2, secret=SECRET)
    proof.check(committed(files), chunks_of(data_of(0, 3 * CHUNK))[2])
    with pytest.raises(IntegrityError, match="does not hold"):
        change(proof).check(committed(files), chunks_of(data_of(0, 3 * CHUNK))[2])  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "files",
    [
        [CommittedFile("0.bin", 3, [b"abd"])],
        [CommittedFile("0.bin", 4, [b"abcd"])],
        [CommittedFile("1.bin", 3, [b"abc"])],
        [CommittedFile("0.bin", 3, [b"abc"]), CommittedFile("1.bin", 0, [])],
    ],
    ids=["a byte", "the size", "the name", "a file more"],
)
def test_any_change_gives_another_root_and_so_does_another_secret(files: list[CommittedFile]) -> None:
    before = [CommittedFile("0.bin", 3, [b"abc"])]
    assert committed(files).root != committed(before).root != committed(before, bytes(32)).root


def test_nothing_that_is_published_is_a_digest_of_the_data() -> None:
    whole = committed([CommittedFile("0.bin", 3, [b"abc"])])
    for name in ("sha256", "sha512", "blake2b", "md5"):
        assert hashlib.new(name, b"abc").hexdigest()[:64] not in whole.to_bytes().decode()
    assert committed([CommittedFile("0.bin", 3, [b"abc"])], b"\7" * 32).root != whole.root


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "nothing to commit"),
        ([CommittedFile("../x", 0, [])], "name cannot be used"),
        ([CommittedFile("b", 0, []), CommittedFile("a", 0, [])], "not sorted"),
        ([CommittedFile("a", 0, []), CommittedFile("a", 0, [])], "not sorted"),
        ([CommittedFile("a", 4, [b"abc"])], "changed its size"),
        ([CommittedFile("a", 2, [b"a", b"b"])], "wrong size"),
        ([CommittedFile("a", CHUNK + 1, [bytes(CHUNK + 1)])], "wrong size"),
    ],
)
def test_files_that_do_not_fit_are_refused(files: list[CommittedFile], words: str) -> None:
    with pytest.raises(InputError, match=words):
        committed(files)
    with pytest.raises(InputError, match="secret"):
        committed([CommittedFile("a", 0, [])], b"short")


def test_a_header_comes_back_from_its_block_and_no_other_is_read() -> None:
    whole = committed(files_of([3, 4]))
    assert Commitment.parse(whole.to_bytes()) == whole
    fields = {"version": 1, "id": ID, "files": 2, "size": 7, "root": whole.root.hex()}
    for change in (
        {"version": 2}, {"id": ""}, {"files": 0}, {"files": 100_001}, {"size": -1}, {"root": "00"}, {"more": 1},
        {"root": whole.root.hex().upper()}, {"files": True},
    ):  # fmt: skip
        with pytest.raises(InputError):
            Commitment.parse(canonical(fields | change))
