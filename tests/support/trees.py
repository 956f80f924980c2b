"""Trees of values: to and from a checkpoint's two files, and compared to the last bit."""

from __future__ import annotations

import json
import struct
from collections import OrderedDict, defaultdict, deque
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perdure.codec import Decoder, Encoder, Place, format_json
from perdure.safetensors_file import TensorFile, format_file

ROOT = Place("tree", "tree")


def write_tree(tree: object, folder: Path, place: Place = ROOT) -> None:
    encoder = Encoder()
    node = encoder.encode(tree, place)
    (folder / "state.json").write_bytes(format_json(node))
    (folder / "tensors.safetensors").write_bytes(b"".join(format_file(encoder.blocks)))


def read_tree(folder: Path) -> Any:
    with closing(TensorFile(folder / "tensors.safetensors")) as file:
        return Decoder(file).decode(json.loads((folder / "state.json").read_bytes()))


def round_trip(tree: object, folder: Path, place: Place = ROOT) -> Any:
    write_tree(tree, folder, place)
    return read_tree(folder)


def bytes_of(tensor: torch.Tensor) -> bytes:
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""


def freeze(value: Any) -> object:
    """A value that equals another one's only if both are of the same types, in the same order, to the last bit."""
    name = type(value).__qualname__
    if isinstance(value, torch.Tensor):
        return (name, value.dtype, tuple(value.shape), str(value.device), bytes_of(value))
    if isinstance(value, np.ndarray | np.generic):
        return (name, value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, float):
        return (name, struct.pack(">d", value))
    if isinstance(value, complex):
        return (name, struct.pack(">dd", value.real, value.imag))
    if isinstance(value, set | frozenset):
        return (name, frozenset(map(freeze, value)))
    if isinstance(value, dict):
        more = value.default_factory if isinstance(value, defaultdict) else None
        metadata = freeze(value._metadata) if isinstance(value, OrderedDict) and hasattr(value, "_metadata") else None
        return (name, more, metadata, tuple((freeze(key), freeze(item)) for key, item in value.items()))
    if isinstance(value, list | tuple | deque):
        return (name, getattr(value, "maxlen", None), tuple(map(freeze, value)))
    return (name, value)
