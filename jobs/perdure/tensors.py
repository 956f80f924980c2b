"""What torch adds to a tree: tensors, dtypes, devices, sizes. One of the few modules that import torch.

A tensor's bytes are written as they lie in memory, without a copy if it is contiguous and on the CPU. A dtype that
safetensors has no name for is written as another one of the same bytes, and its true one stands in the tree: complex
as pairs of floats, the rest as bytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from perdure.codec import KIND, Decoder, Encoder, Json, Place, cannot_save, unknown_type
from perdured.contract.durable import Buffer

_NATIVE = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8", torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip
_PAIRS = {torch.complex64: "F32", torch.complex128: "F64"}
_MEMORY_FORMS = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)


class TensorBlock:
    """A tensor to be written. Holds the tensor itself, so what it becomes until then is written."""

    def __init__(self, tensor: Tensor) -> None:
        self.dtype, self.shape = _written_as(tensor)
        self._tensor = tensor
        self._version = _count_changes(tensor)

    def pieces(self) -> Iterator[Buffer]:
        on_cpu = self._tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        if on_cpu.numel():
            yield _memory(on_cpu)

    def copy_into(self, target: memoryview) -> None:
        """By torch itself, which knows every layout and device; where it knows no such memory, byte by byte."""
        tensor = self._tensor.detach()
        if tensor.dtype in _NATIVE or tensor.dtype in _PAIRS:
            torch.frombuffer(target, dtype=tensor.dtype).view(tensor.shape).copy_(tensor)
        else:
            for piece in self.pieces():
                target[:] = piece

    def is_unchanged(self) -> bool:
        """Sees every operation in place but those through `.data`, which torch does not count."""
        return _count_changes(self._tensor) == self._version


def _count_changes(tensor: Tensor) -> int:
    # A tensor made in inference mode is not counted, and can hardly be changed.
    return 0 if tensor.is_inference() else tensor._version  # noqa: SLF001  documented in torch's notes on autograd


def _written_as(tensor: Tensor) -> tuple[str, tuple[int, ...]]:
    if tensor.dtype in _PAIRS:
        return _PAIRS[tensor.dtype], (*tensor.shape, 2)
    if tensor.dtype in _NATIVE:
        return _NATIVE[tensor.dtype], tuple(tensor.shape)
    return "U8", (tensor.numel() * tensor.element_size(),)


def _memory(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, not copied. The view keeps the tensor alive."""
    length = tensor.numel() * tensor.element_size()
    memory = (ctypes.c_ubyte * length).from_address(tensor.data_ptr())
    memory.owner = tensor  # type: ignore[attr-defined]  # it is the view's `obj`, and lives as long as that
    return memoryview(memory).cast("B")


def encode(encoder: Encoder, value: object, place: Place) -> Json:
    """Errors: CannotSave."""
    if isinstance(value, torch.dtype):
        return {KIND: "torch.dtype", "name": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {KIND: "torch.device", "name": str(value)}
    if type(value) is torch.Size:
        return {KIND: "torch.Size", "items": list(value)}
    if isinstance(value, Tensor):
        return _encode_tensor(encoder, value, place)
    raise unknown_type(value, place)


def _encode_tensor(encoder: Encoder, tensor: Tensor, place: Place) -> Json:
    if why := _find_obstacle(tensor):
        raise cannot_save(place, why, "Save a plain, dense tensor instead.")
    name = encoder.add_block(TensorBlock(tensor), place, _identity(tensor), tensor)
    node: dict[str, Json] = {KIND: "torch.Tensor", "block": name}
    if tensor.dtype not in _NATIVE:
        node["dtype"] = str(tensor.dtype).removeprefix("torch.")
        node["shape"] = list(tensor.shape)
    if tensor.device.type != "cpu":
        node["device"] = str(tensor.device)
    return node


def _find_obstacle(tensor: Tensor) -> str | None:
    if type(tensor) not in _MEMORY_FORMS:
        return f"it is a {type(tensor).__qualname__}, a kind of tensor of its own"
    if tensor.layout is not torch.strided:
        return f"it is sparse ({tensor.layout})"
    if tensor.is_quantized:
        return "it is quantized"
    if tensor.is_meta:
        return "it has no data (it is on the meta device)"
    return None


def _identity(tensor: Tensor) -> tuple[object, ...]:
    """Equal for two tensors that are the same bytes, read in the same way."""
    if not tensor.numel():
        return (id(tensor),)
    views = (tensor.is_conj(), tensor.is_neg())
    return (tensor.data_ptr(), tensor.device, tensor.dtype, tuple(tensor.shape), tensor.stride(), views)


def decode(decoder: Decoder, node: dict[str, Any]) -> object:
    kind = node[KIND]
    if kind == "torch.Tensor":
        return _decode_tensor(decoder, node)
    if kind == "torch.Size":
        return torch.Size(node["items"])
    if kind == "torch.device":
        return torch.device(node["name"])
    if kind == "torch.dtype":
        return _parse_dtype(node["name"])
    raise ValueError(f"unknown kind {kind}")


def _decode_tensor(decoder: Decoder, node: dict[str, Any]) -> Tensor:
    name = node["block"]
    if name not in decoder.cache:
        decoder.cache[name] = _load_tensor(decoder, node)
    tensor = decoder.cache[name]
    assert isinstance(tensor, Tensor)
    return tensor


def _load_tensor(decoder: Decoder, node: dict[str, Any]) -> Tensor:
    entry = decoder.file.entries[node["block"]]
    dtype = _parse_dtype(node["dtype"]) if "dtype" in node else _BY_NAME[entry.dtype]
    shape = node.get("shape", entry.shape)
    if decoder.only_shapes:
        return torch.empty(shape, dtype=dtype, device="meta")
    place = decoder.places.get(node["block"])
    tensor: Tensor = torch.empty(shape, dtype=dtype) if place is None else place
    decoder.file.read_into(node["block"], _memory(tensor) if tensor.numel() else memoryview(b""))
    if not (decoder.keep_device and "device" in node):
        return tensor
    moved = _make_like(tensor, node["device"])
    if moved is not tensor:
        decoder.file.when_read(lambda: moved.copy_(tensor))
    return moved


def _make_like(tensor: Tensor, device: str) -> Tensor:
    try:
        return torch.empty_like(tensor, device=device)
    except (RuntimeError, AssertionError):  # this machine has no such device: torch says it in both ways
        return tensor


def find_places(pairs: Iterable[tuple[Any, object]]) -> dict[str, Tensor]:
    """Of what was saved and the tensor that is to become it: by block, the tensors that its bytes can be read into.

    Never two with the same memory: they would be written at once, and in no order.
    """
    places: dict[str, Tensor] = {}
    storages: set[int] = set()
    for node, tensor in pairs:
        if not (isinstance(node, dict) and node.get(KIND) == "torch.Tensor" and isinstance(tensor, Tensor)):
            continue
        if _is_plain(tensor) and node["block"] not in places:
            storage = tensor.untyped_storage().data_ptr()
            if storage not in storages:
                places[node["block"]] = tensor
            storages.add(storage)
    return places


def _is_plain(tensor: Tensor) -> bool:
    """Its bytes lie in memory as they lie in a file."""
    if _find_obstacle(tensor) is not None or tensor.device.type != "cpu" or not tensor.numel():
        return False
    return tensor.is_contiguous() and not (tensor.is_conj() or tensor.is_neg())


def _parse_dtype(name: str) -> torch.dtype:
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"this torch has no dtype {name}")
    return dtype


_BY_NAME = {name: dtype for dtype, name in _NATIVE.items()}
