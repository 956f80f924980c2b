"""A tree of Python values <-> JSON and blocks of bytes, exactly; and nothing is ever executed on the way back.

What JSON can say is written as it is: None, bool, int, finite float, str, list, and dict with str keys. The rest is an
object with the key `$`, which names the kind:

    {"$": "tuple", "items": [1, 2]}                   {"$": "dict", "items": [[0, "a"], …]}    keys that are no str
    {"$": "float", "bits": "7ff8000000000000"}        nan, inf: IEEE 754, big-endian
    {"$": "torch.Tensor", "block": "model.0.weight"}  its bytes are in tensors.safetensors

A dict that has `$` as a key is written in the second form. Tensors and arrays that are one object, or one piece of
memory, are written once and come back as one. Everything else comes back as a new object, of exactly its type.

Refused, with the place in the tree: what would need code to come back (functions, arbitrary objects, subclasses of the
types above, enums), what holds itself, and the tensors and arrays that `tensors` and `arrays` refuse.

Not kept: strides (a tensor comes back contiguous), `requires_grad`, and which lists and dicts were one object.
"""

from __future__ import annotations

import base64
import json
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from perdure.errors import CannotSave
from perdure.safetensors_file import METADATA, Block, TensorSource

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
KIND = "$"

_FACTORIES: dict[str, Callable[[], object]] = {
    kind.__name__: kind for kind in (bool, bytes, dict, float, int, list, set, str, tuple)
}


class Place(NamedTuple):
    """Where in the tree: as Python would write it, and as the name of a block."""

    shown: str
    dotted: str

    def at(self, key: object) -> Place:
        dotted = f"{self.dotted}.{key}" if self.dotted else str(key)
        return Place(f"{self.shown}[{key!r}]", dotted)


def format_json(tree: Json) -> bytes:
    return json.dumps(tree, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


def cannot_save(place: Place, why: str, todo: str) -> CannotSave:
    return CannotSave(f"{place.shown} cannot be saved in a checkpoint", why, todo)


# To JSON ---------------------------------------------------------------------------------------------------------


class Encoder:
    """Encodes any number of trees; their blocks are in `blocks`, by name. Without `shares`, a block for each place."""

    def __init__(self, *, shares: bool = True) -> None:
        self._shares = shares
        self.blocks: dict[str, Block] = {}
        self._names: dict[Hashable, str] = {}
        self._kept: list[object] = []
        self._inside: set[int] = set()

    def encode(self, value: object, place: Place) -> Json:
        """Errors: CannotSave, with the place."""
        encode = _ENCODERS.get(type(value))
        if encode is None:
            return _encode_foreign(self, value, place)
        if type(value) in _LEAVES:
            return encode(self, value, place)
        if id(value) in self._inside:
            raise cannot_save(place, "it holds itself", "Leave it out, or break the circle before saving.")
        self._inside.add(id(value))
        try:
            return encode(self, value, place)
        except RecursionError:
            raise cannot_save(place, "it is nested too deep", "Flatten it before saving.") from None
        finally:
            self._inside.discard(id(value))

    def add_block(self, block: Block, place: Place, identity: Hashable, owner: object) -> str:
        """The name under which the block is written; the former one's, if that has the same identity.

        `owner` is kept alive, so that no other object can get its address, and with it its identity.
        """
        if self._shares and identity in self._names:
            return self._names[identity]
        self._kept.append(owner)
        wanted = place.dotted.encode("utf-8", "replace").decode("utf-8") or "value"
        name, number = wanted, 1
        while name in self.blocks or name == METADATA:
            number += 1
            name = f"{wanted}#{number}"
        self.blocks[name] = block
        self._names[identity] = name
        return name

    def items(self, values: Iterable[object], place: Place) -> list[Json]:
        return [self.encode(value, place.at(index)) for index, value in enumerate(values)]

    def pairs(self, mapping: dict[Any, Any], place: Place) -> list[Json]:
        return [[self.encode(key, place.at(key)), self.encode(mapping[key], place.at(key))] for key in mapping]


def _encode_foreign(encoder: Encoder, value: object, place: Place) -> Json:
    """What torch and NumPy define; they are loaded, or the value could not exist."""
    package = type(value).__module__.partition(".")[0]
    if package == "torch" or isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ())):
        from perdure import tensors

        return tensors.encode(encoder, value, place)
    if package == "numpy" or isinstance(value, getattr(sys.modules.get("numpy"), "ndarray", ())):
        from perdure import arrays

        return arrays.encode(encoder, value, place)
    raise unknown_type(value, place)


def unknown_type(value: object, place: Place) -> CannotSave:
    name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    why = f"a {name} would need code to come back, and checkpoints hold only data"
    return cannot_save(place, why, "Save plain values in its place: numbers, texts, lists, dicts, tensors.")


def format_float(value: float) -> str:
    return struct.pack(">d", value).hex()


def _encode_int(_: Encoder, value: int, __: Place) -> Json:
    # Python itself refuses to read decimals of more than 4300 digits.
    return value if -(1 << 63) <= value < 1 << 64 else {KIND: "int", "hex": hex(value)}


def _encode_float(_: Encoder, value: float, __: Place) -> Json:
    is_finite = value - value == 0
    return value if is_finite else {KIND: "float", "bits": format_float(value)}


def _encode_complex(_: Encoder, value: complex, __: Place) -> Json:
    return {KIND: "complex", "bits": [format_float(value.real), format_float(value.imag)]}


def _encode_bytes(_: Encoder, value: bytes | bytearray, __: Place) -> Json:
    return {KIND: type(value).__name__, "base64": base64.b64encode(value).decode("ascii")}


def _encode_items(encoder: Encoder, value: Iterable[object], place: Place) -> Json:
    return {KIND: type(value).__name__, "items": encoder.items(value, place)}


def _encode_deque(encoder: Encoder, value: deque[object], place: Place) -> Json:
    return {KIND: "deque", "items": encoder.items(value, place), "maxlen": value.maxlen}


def _encode_dict(encoder: Encoder, value: dict[Any, Any], place: Place) -> Json:
    if all(type(key) is str for key in value) and KIND not in value:
        return {key: encoder.encode(item, place.at(key)) for key, item in value.items()}
    return {KIND: "dict", "items": encoder.pairs(value, place)}


def _encode_counter(encoder: Encoder, value: Counter[Any], place: Place) -> Json:
    return {KIND: "Counter", "items": encoder.pairs(value, place)}


def _encode_ordered(encoder: Encoder, value: OrderedDict[Any, Any], place: Place) -> Json:
    node: dict[str, Json] = {KIND: "OrderedDict", "items": encoder.pairs(value, place)}
    # A module's state_dict carries the versions of its layers in an attribute; load_state_dict looks at them.
    metadata = getattr(value, "_metadata", None)
    if metadata is not None:
        node["metadata"] = encoder.encode(metadata, place.at("_metadata"))
    return node


def _encode_defaultdict(encoder: Encoder, value: defaultdict[Any, Any], place: Place) -> Json:
    factory = value.default_factory
    name = next((name for name, known in _FACTORIES.items() if known is factory), None)
    if factory is not None and name is None:
        todo = f"Use one of {', '.join(_FACTORIES)} as its default_factory, or make it a dict."
        raise cannot_save(place, "its default_factory is a function of yours", todo)
    return {KIND: "defaultdict", "items": encoder.pairs(value, place), "factory": name}


_ENCODERS: dict[type, Callable[[Encoder, Any, Place], Json]] = {
    type(None): lambda _, value, __: value,
    bool: lambda _, value, __: value,
    str: lambda _, value, __: value,
    int: _encode_int,
    float: _encode_float,
    complex: _encode_complex,
    bytes: _encode_bytes,
    bytearray: _encode_bytes,
    list: Encoder.items,
    tuple: _encode_items,
    set: _encode_items,
    frozenset: _encode_items,
    deque: _encode_deque,
    dict: _encode_dict,
    Counter: _encode_counter,
    OrderedDict: _encode_ordered,
    defaultdict: _encode_defaultdict,
}
_LEAVES = {type(None), bool, str, int, float, complex, bytes, bytearray}


# From JSON -------------------------------------------------------------------------------------------------------


class Decoder:
    """Decodes trees whose blocks are in `file`.

    With `only_shapes` tensors come back without their data, on torch's meta device, and nothing is read. Tensors are
    put on the device that they were saved from if `keep_device`, and if this machine has it; else on the CPU. A block
    that has a tensor in `places` is read into that.
    """

    def __init__(
        self,
        file: TensorSource,
        *,
        only_shapes: bool = False,
        keep_device: bool = False,
        places: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.file = file
        self.only_shapes = only_shapes
        self.keep_device = keep_device
        self.places = places
        self.cache: dict[Hashable, Any] = {}

    def decode(self, node: Json) -> Any:
        """Errors: OSError; ValueError, KeyError or TypeError for what no Encoder wrote."""
        if isinstance(node, list):
            return [self.decode(item) for item in node]
        if not isinstance(node, dict):
            return node
        if KIND not in node:
            return {key: self.decode(item) for key, item in node.items()}
        kind = str(node[KIND])
        if kind.startswith("torch."):
            from perdure import tensors

            return tensors.decode(self, node)
        if kind.startswith("numpy."):
            from perdure import arrays

            return arrays.decode(self, node)
        return _DECODERS[kind](self, node)

    def pairs(self, node: dict[str, Any]) -> list[tuple[Any, Any]]:
        return [(self.decode(key), self.decode(item)) for key, item in node["items"]]


def parse_float(bits: str) -> float:
    value: float = struct.unpack(">d", bytes.fromhex(bits))[0]
    return value


def _decode_ordered(decoder: Decoder, node: dict[str, Any]) -> OrderedDict[Any, Any]:
    value = OrderedDict(decoder.pairs(node))
    if "metadata" in node:
        value._metadata = decoder.decode(node["metadata"])  # type: ignore[attr-defined]  # noqa: SLF001  see above
    return value


def _decode_defaultdict(decoder: Decoder, node: dict[str, Any]) -> defaultdict[Any, Any]:
    factory = None if node["factory"] is None else _FACTORIES[node["factory"]]
    return defaultdict(factory, decoder.pairs(node))


_DECODERS: dict[str, Callable[[Decoder, dict[str, Any]], object]] = {
    "int": lambda _, node: int(node["hex"], 16),
    "float": lambda _, node: parse_float(node["bits"]),
    "complex": lambda _, node: complex(*map(parse_float, node["bits"])),
    "bytes": lambda _, node: base64.b64decode(node["base64"], validate=True),
    "bytearray": lambda _, node: bytearray(base64.b64decode(node["base64"], validate=True)),
    "tuple": lambda decoder, node: tuple(decoder.decode(node["items"])),
    "set": lambda decoder, node: set(decoder.decode(node["items"])),
    "frozenset": lambda decoder, node: frozenset(decoder.decode(node["items"])),
    "deque": lambda decoder, node: deque(decoder.decode(node["items"]), node["maxlen"]),
    "dict": lambda decoder, node: dict(decoder.pairs(node)),
    "Counter": lambda decoder, node: Counter(dict(decoder.pairs(node))),
    "OrderedDict": _decode_ordered,
    "defaultdict": _decode_defaultdict,
}
