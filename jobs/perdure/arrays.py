"""What NumPy adds to a tree: arrays, scalars, dtypes. Of any dtype that is plain memory: no objects, no records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perdure.codec import KIND, Decoder, Encoder, Json, Place, cannot_save, unknown_type
from perdured.contract.durable import Buffer

_NATIVE = {
    "<f8": "F64", "<f4": "F32", "<f2": "F16", "<i8": "I64", "<i4": "I32", "<i2": "I16", "|i1": "I8",
    "<u8": "U64", "<u4": "U32", "<u2": "U16", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip


class ArrayBlock:
    """A copy of an array: unlike torch, NumPy does not count changes, so the original could not be trusted later."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._bytes = np.frombuffer(array.tobytes(), np.uint8)
        self.dtype = _NATIVE.get(array.dtype.str, "U8")
        self.shape = tuple(array.shape) if array.dtype.str in _NATIVE else (self._bytes.nbytes,)

    def pieces(self) -> Iterator[Buffer]:
        yield self._bytes.data

    def copy_into(self, target: memoryview) -> None:
        target[:] = self._bytes.data

    def is_unchanged(self) -> bool:
        return True


def encode(encoder: Encoder, value: object, place: Place) -> Json:
    """Errors: CannotSave."""
    if isinstance(value, np.generic) and type(value).__module__ == "numpy":
        _check_dtype(value.dtype, place)
        return {KIND: "numpy.generic", "dtype": value.dtype.str, "hex": value.tobytes().hex()}
    if isinstance(value, np.dtype):
        _check_dtype(value, place)
        return {KIND: "numpy.dtype", "dtype": value.str}
    if type(value) is np.ndarray:
        _check_dtype(value.dtype, place)
        name = encoder.add_block(ArrayBlock(value), place, id(value), value)
        return {KIND: "numpy.ndarray", "block": name, "dtype": value.dtype.str, "shape": list(value.shape)}
    raise unknown_type(value, place)


def _check_dtype(dtype: np.dtype[Any], place: Place) -> None:
    if dtype.hasobject or dtype.names is not None or dtype.kind == "V" or np.dtype(dtype.str) != dtype:
        raise cannot_save(place, f"its dtype is {dtype}", "Save arrays of numbers, times or texts of fixed length.")


def decode(decoder: Decoder, node: dict[str, Any]) -> object:
    kind, dtype = node[KIND], np.dtype(node["dtype"])
    if dtype.hasobject:
        raise ValueError("an array of objects")
    if kind == "numpy.dtype":
        return dtype
    if kind == "numpy.generic":
        return np.frombuffer(bytes.fromhex(node["hex"]), dtype)[0] if dtype.itemsize else dtype.type()
    if kind == "numpy.ndarray":
        return _decode_array(decoder, node["block"], dtype, tuple(node["shape"]))
    raise ValueError(f"unknown kind {kind}")


def _decode_array(decoder: Decoder, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    key = ("array", name)
    if key not in decoder.cache:
        entry = decoder.file.entries[name]
        data = bytearray(0 if decoder.only_shapes else entry.end - entry.begin)
        if not decoder.only_shapes:
            decoder.file.read_into(name, memoryview(data))
        decoder.cache[key] = np.zeros(shape, dtype) if not data else np.frombuffer(data, dtype).reshape(shape)
    array: NDArray[Any] = decoder.cache[key]
    return array
