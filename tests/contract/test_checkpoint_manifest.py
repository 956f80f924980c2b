"""The manifest is text from somebody else: read strictly, or refused with a reason."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.contract.checkpoint.layout import CHUNK_SIZE
from perdured.contract.checkpoint.manifest import (
    MAX_BYTES,
    MAX_FILES,
    Facts,
    FileEntry,
    Manifest,
    NewerFormat,
    check_names,
    format_manifest,
    parse_manifest,
)
from support.seeds import make_random

FACTS = Facts(job="gpt", attempt=3, series="run", healthy=False, position={"epoch": 2, "batch": 7}, created_at=1.5)
FILES = (FileEntry("a.bin", CHUNK_SIZE + 1, ("00000000", "0123abcd")), FileEntry("sub/b.bin", 0, ()))
MANIFEST = Manifest(1200, 7, FACTS, FILES)
Fields = dict[str, object]

facts = st.builds(
    Facts,
    job=st.none() | st.text(),
    attempt=st.none() | st.integers(0, 2**63 - 1),
    series=st.text(min_size=1).filter(str.isprintable),
    healthy=st.booleans(),
    position=st.none() | st.dictionaries(st.text(), st.integers(0, 2**63 - 1), max_size=4),
    created_at=st.floats(allow_nan=False, allow_infinity=False),
)


def _is_unicode(text: str | None) -> bool:
    return text is None or max(text, default="") < "\ud800" or text.isprintable()


@given(facts.filter(lambda f: all(map(_is_unicode, [f.job, *(f.position or {})]))))
def test_a_manifest_is_read_as_it_was_written(facts: Facts) -> None:
    manifest = replace(MANIFEST, facts=facts)
    assert parse_manifest(format_manifest(manifest)) == manifest


def _with(**changes: object) -> bytes:
    return json.dumps(json.loads(format_manifest(MANIFEST)) | changes).encode()


def _without(key: str) -> bytes:
    return json.dumps({k: v for k, v in json.loads(format_manifest(MANIFEST)).items() if k != key}).encode()


def _with_file(**changes: object) -> bytes:
    return _with(files=[{"name": "a", "length": 0, "checksums": []} | changes])


@pytest.mark.parametrize("key", ["format", "step", "seq", "series", "healthy", "algorithm", "chunk_size", "files"])
def test_no_field_may_be_missing(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key} is missing"):
        parse_manifest(_without(key))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not of type dict"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"a": 1, "a": 2}', "a key appears twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e400}', "a number is too large"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "a number is too long"),
        (b"[" * 300_000 + b"]" * 300_000, "nested too deep"),
        (b"[" + b"[]," * 500_000 + b"[]]", "too many objects and arrays"),
        (b" " * (MAX_BYTES + 1), "larger than"),
        (_with(format=0), "format is out of range"),
        (_with(format="1"), "format is not of type int"),
        (_with(format=True), "format is not of type int"),
        (_with(step=-1), "step is out of range"),
        (_with(step=1.0), "step is not of type int"),
        (_with(seq=2**63), "seq is out of range"),
        (_with(series=""), "series is not a printable name"),
        (_with(series="a\x1b[2J"), "series is not a printable name"),
        (_with(job=5), "job is not of type str"),
        (_with(attempt=True), "attempt is not of type int"),
        (_with(healthy=1), "healthy is not of type bool"),
        (_with(healthy=None), "healthy is not of type bool"),
        (_with(position=[1]), "position is not of type dict"),
        (_with(position={"epoch": "2"}), "epoch is not of type int"),
        (_with(created_at="now"), "created_at is not of type float"),
        (_with(chunk_size=0), "chunk_size is out of range"),
        (_with(files={}), "files is not of type list"),
        (_with(files=[]), "there are no files"),
        (_with(files=[5]), "an entry of files is not of type dict"),
        (_with_file(length=-1), "length is out of range"),
        (_with_file(length=2**63), "length is out of range"),
        (_with_file(length=1), "0 checksums for 1 bytes"),
        (_with_file(checksums=["00000000"]), "1 checksums for 0 bytes"),
        (_with_file(length=1, checksums=["0000000G"]), "not crc32"),
        (_with_file(length=1, checksums=["ABCDEF01"]), "not crc32"),
        (_with_file(length=1, checksums=[0]), "not crc32"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_a_manifest_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        parse_manifest(data)
    assert not isinstance(raised.value, NewerFormat)


@pytest.mark.parametrize("data", [_with(format=2), _with(format=2, files="other"), _with(algorithm="blake3")])
def test_what_a_newer_perdure_wrote_is_said_to_be_so(data: bytes) -> None:
    """Whatever else is in it, which an old reader cannot know."""
    with pytest.raises(NewerFormat):
        parse_manifest(data)


def test_a_key_that_is_not_known_is_passed_over() -> None:
    """So that fields can be added without a new format."""
    assert parse_manifest(_with(shards=[1, 2])) == MANIFEST


BAD_NAMES = [
    "", ".", "..", "/", "/etc/passwd", "../x", "a/../b", "a/..", "./a", "a//b", "a/", "/a", "a\x00b", "a\nb",
    "a\x1b[2J", "a\\b", "..\\x", "a\u202eb", "a\u2028b", "\ud800", "a/\udcff", "COMMIT", "commit", "MANIFEST.json",
    "manifest.JSON", "x" * 256, "ä" * 128, "/".join("a" * 17),
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_name_that_is_not_a_plain_relative_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w \w"):
        check_names([name])
    with pytest.raises(ValueError, match=r"\w \w"):
        parse_manifest(_with_file(name=name))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "a"], "twice"),
        (["a", "a/b"], "both a file and a directory"),
        (["a/b/c", "a/b"], "both a file and a directory"),
        ([], "no files"),
        ([str(number) for number in range(MAX_FILES + 1)], "more than"),
    ],
    ids=["twice", "above", "below", "none", "many"],
)
def test_names_that_cannot_be_together_are_refused(names: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_names(names)


@pytest.mark.parametrize(
    "name", ["a", ".metadata", "a.b-c_d e", "é/日本.bin", "sub/COMMIT", "...", "x" * 255, "~", "$HOME"]
)
def test_ordinary_names_are_taken(name: str) -> None:
    check_names([name])


def test_an_error_never_repeats_what_could_drive_a_terminal() -> None:
    for name in BAD_NAMES:
        with pytest.raises(ValueError, match=r"\w \w") as raised:
            check_names([name])
        assert str(raised.value).isprintable(), ascii(name)


def test_a_manifest_that_would_not_be_read_is_not_written() -> None:
    with pytest.raises(ValueError, match="plain relative path"):
        format_manifest(replace(MANIFEST, files=(FileEntry("../x", 0, ()),)))


def test_a_text_costs_memory_in_proportion_to_its_bytes() -> None:
    """The JSON that takes most room, short arrays and floats: bounded, as there are 8 MiB at most."""
    data = b"[" + b"[]," * 100_000 + b"1.5," * 300_000 + b"0]"
    tracemalloc.start()
    with pytest.raises(ValueError, match="not of type dict"):
        parse_manifest(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(data)


# Random damage ---------------------------------------------------------------------------------------------------


def _flip(data: bytearray, draw: random.Random) -> None:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def _drop(data: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(data))
    del data[start : start + draw.randrange(1, 20)]


def _repeat(data: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(data))
    data[start:start] = data[start : start + draw.randrange(1, 40)]


def _insert(data: bytearray, draw: random.Random) -> None:
    tokens = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"null",
        b"-1",
        b"1e999",
        b"NaN",
        b"\x00",
        b"\xff",
        b"../",
        b"\\u0000",
    ]
    start = draw.randrange(len(data))
    data[start:start] = draw.choice(tokens)


DAMAGES: list[Callable[[bytearray, random.Random], None]] = [_flip, _flip, _cut, _drop, _repeat, _insert]


def _parse_or_none(data: bytes) -> Manifest | None:
    try:
        return parse_manifest(data)
    except ValueError:
        return None


def test_ten_thousand_damaged_manifests_are_refused_or_read_whole() -> None:
    """ValueError and nothing else; and what is taken in spite of the damage is a manifest that can be written."""
    draw = make_random()
    original, taken = format_manifest(MANIFEST), 0
    for _ in range(10_000):
        data = bytearray(original)
        for _ in range(draw.randrange(1, 4)):
            if data:
                draw.choice(DAMAGES)(data, draw)
        manifest = _parse_or_none(bytes(data))
        if manifest is not None:
            taken += 1
            assert parse_manifest(format_manifest(manifest)) == manifest
    assert 0 < taken < 5000


ODD: list[object] = [None, True, -1, 2**63, 1.5, "", "../x", "x" * 10_000, [], {}, [[]], {"": None}, "\x1b", "0" * 8]


def _replace_somewhere(value: object, draw: random.Random) -> object:
    """The same value with one thing in it exchanged for an odd one."""
    if isinstance(value, dict) and value and draw.random() < 0.9:
        key = draw.choice(sorted(value))
        return value | {key: _replace_somewhere(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.9:
        index = draw.randrange(len(value))
        return [*value[:index], _replace_somewhere(value[index], draw), *value[index + 1 :]]
    return draw.choice(ODD)


def test_every_odd_value_in_every_place_is_refused_or_harmless() -> None:
    """Strict JSON of the wrong shape: whatever is taken keeps the rules of names and numbers."""
    draw = make_random()
    original = json.loads(format_manifest(MANIFEST))
    for _ in range(3_000):
        manifest = _parse_or_none(json.dumps(_replace_somewhere(original, draw)).encode())
        if manifest is None:
            continue
        check_names(file.name for file in manifest.files)
        assert all(type(number) is int and number >= 0 for number in (manifest.step, manifest.seq, manifest.chunk_size))
