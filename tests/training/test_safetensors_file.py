"""The file layout: what the safetensors package reads, and nothing that is not it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import save

from perdure.safetensors_file import TensorFile, format_file

np = pytest.importorskip("numpy")


class Bytes:
    def __init__(self, dtype: str, shape: tuple[int, ...], data: bytes) -> None:
        self.dtype, self.shape, self._data = dtype, shape, data

    def pieces(self) -> Iterator[bytes]:
        yield self._data

    def copy_into(self, target: memoryview) -> None:
        target[:] = self._data

    def is_unchanged(self) -> bool:
        return True


BLOCKS = {
    "bytes": Bytes("U8", (3,), b"abc"),
    "wide": Bytes("F64", (2,), np.arange(2.0).tobytes()),
    "one": Bytes("I32", (), np.int32(7).tobytes()),
    "none": Bytes("F32", (0, 5), b""),
    "☃": Bytes("I16", (2, 1), np.arange(2, dtype=np.int16).tobytes()),
}


def test_the_package_reads_what_we_write(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"".join(format_file(BLOCKS)))
    with safe_open(path, "numpy") as file:
        assert set(file.keys()) == set(BLOCKS)
        assert {name: file.get_tensor(name).shape for name in BLOCKS} == {n: b.shape for n, b in BLOCKS.items()}
        assert {n: file.get_tensor(n).tobytes() for n in BLOCKS} == {n: next(b.pieces()) for n, b in BLOCKS.items()}


def test_we_read_what_the_package_writes(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(3, dtype=np.int64)}
    path = tmp_path / "x.safetensors"
    path.write_bytes(save(arrays, {"by": "the package"}))
    with closing(TensorFile(path)) as file:
        for name, array in arrays.items():
            assert file.entries[name].shape == array.shape
            target = bytearray(array.nbytes)
            file.read_into(name, memoryview(target))
            assert target == array.tobytes()


def test_every_tensor_lies_at_a_multiple_of_its_element() -> None:
    data = b"".join(format_file(BLOCKS))
    start = 8 + int.from_bytes(data[:8], "little")
    assert start % 64 == 0
    header = json.loads(data[8:start])
    widths = {"F64": 8, "F32": 4, "I32": 4, "I16": 2, "U8": 1}
    assert all(
        (start + entry["data_offsets"][0]) % widths[entry["dtype"]] == 0
        for name, entry in header.items()
        if name != "__metadata__"
    )


def _with_header(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        (100).to_bytes(8, "little") + b"{}",
        _with_header([]),
        _with_header({"a": 1}),
        _with_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
        _with_header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
        _with_header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        _with_header({"a": {"dtype": "U8", "shape": [-4], "data_offsets": [0, -4]}}, b"1234"),
        _with_header({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, b"12"),
        _with_header({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"12"),
        _with_header({n: {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]} for n in "ab"}, b"12"),
    ],
)
def test_what_is_not_this_layout_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        TensorFile(path)


def test_a_wrong_size_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"".join(format_file(BLOCKS)))
    with closing(TensorFile(path)) as file, pytest.raises(ValueError, match="3 bytes where 4"):
        file.read_into("bytes", memoryview(bytearray(4)))
