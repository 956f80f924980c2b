"""A tree comes back as it was, to the last bit, or is refused with its place."""

from __future__ import annotations

import enum
import json
import math
import re
import struct
import tempfile
import warnings
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from perdure.codec import _DECODERS, Encoder, format_json
from perdure.errors import CannotSave
from support.trees import ROOT, bytes_of, freeze, read_tree, round_trip, write_tree

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")]

DTYPES = sorted((d for d in vars(torch).values() if isinstance(d, torch.dtype)), key=str)
PLAIN_DTYPES = [d for d in dict.fromkeys(DTYPES) if not str(d).startswith(("torch.q", "torch.bits", "torch.float4"))
                and not any(str(d) == f"torch.{kind}{n}" for kind in ("int", "uint") for n in range(1, 8))]  # fmt: skip

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.complex_numbers(allow_nan=True, allow_infinity=True)
    | st.text()
    | st.binary(max_size=8)
)
keys = st.integers() | st.text(max_size=4) | st.booleans() | st.none() | st.tuples(st.integers(), st.text(max_size=2))


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    dtype = draw(st.sampled_from(PLAIN_DTYPES))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    size = math.prod(shape) * torch.empty((), dtype=dtype).element_size()
    data = bytearray(draw(st.binary(min_size=size, max_size=size)))
    if dtype is torch.bool:
        data = bytearray(byte & 1 for byte in data)
    if not size:
        return torch.empty(shape, dtype=dtype)
    tensor = torch.frombuffer(data, dtype=torch.uint8).view(dtype).reshape(shape)
    return tensor.transpose(0, -1) if tensor.dim() > 1 and draw(st.booleans()) else tensor


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=3).map(deque)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "$", "items", ""]), inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
        | st.dictionaries(keys, inner, max_size=3).map(lambda d: defaultdict(list, d))
        | st.sets(st.integers() | st.text(max_size=3), max_size=3)
        | st.frozensets(st.integers(), max_size=3)
    )


trees = st.recursive(scalars | tensors(), containers, max_leaves=12)


@given(trees)
def test_every_tree_comes_back_as_it_was(tree: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert freeze(round_trip(tree, Path(folder))) == freeze(tree)


@given(trees)
def test_what_is_written_is_strict_json_and_stock_safetensors(tree: Any) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    with tempfile.TemporaryDirectory() as folder:
        write_tree({"t": tree}, Path(folder))
        json.loads((Path(folder) / "state.json").read_bytes(), parse_constant=refuse)
        load_file(Path(folder) / "tensors.safetensors")


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        struct.unpack(">d", bytes.fromhex("fff8000000000123"))[0],
        math.inf,
        -math.inf,
        -0.0,
        5e-324,
        2**63,
        -(2**64),
        10**5000,
        True,
        "\ud800 lone",
        "nul \0 and ☃",
        b"\x00\xff",
        bytearray(b"ab"),
        complex(-0.0, math.nan),
        (),
        [[]],
        {},
        {1: {"$": 2}},
        {"$": "tuple", "items": []},
        {(1, ("a", None)): 1, None: 2, True: 3},
        OrderedDict([("b", 1), ("a", 2)]),
        defaultdict(int, {"z": 1, "a": 2}),
        defaultdict(None, {"a": 2}),
        Counter("hello"),
        deque([1, 2], maxlen=5),
        torch.float8_e4m3fn,
        torch.device("cuda", 1),
        torch.Size([2, 3]),
        np.float64(0.1),
        np.bool_(True),
        np.str_("text"),
        np.datetime64("2026-01-02"),
        np.complex64(1 + 2j),
        np.float16("nan"),
        np.dtype("<i4"),
        np.arange(6).reshape(2, 3).T,
        np.array(3.5),
        np.zeros((0, 3), np.float32),
        np.array(["a", "bcd"]),
        np.arange(3, dtype=">i4"),
        np.array([True, False]),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_a_difficult_value_comes_back_as_it_was(value: Any, tmp_path: Path) -> None:
    assert freeze(round_trip({"it": value}, tmp_path)) == freeze({"it": value})


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=str)
def test_every_dtype_of_torch_keeps_its_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    size = torch.empty((), dtype=dtype).element_size()
    data = bytearray((0, 1)[i % 2] if dtype is torch.bool else (i * 37) % 256 for i in range(6 * size))
    tensor = torch.frombuffer(data, dtype=torch.uint8).view(dtype).reshape(2, 3)
    back = round_trip([tensor, tensor[0, 1], tensor[:, 1]], tmp_path)
    assert freeze(back) == freeze([tensor, tensor[0, 1], tensor[:, 1]])


def test_there_are_dtypes_to_test() -> None:
    assert {torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.complex64, torch.bool} <= set(PLAIN_DTYPES)


def test_lazy_views_are_written_as_what_they_show(tmp_path: Path) -> None:
    value = torch.tensor([1 + 2j, 3 - 4j])
    back = round_trip([value, value.conj(), value.conj().imag], tmp_path)
    assert [each.tolist() for each in back] == [each.tolist() for each in (value, value.conj(), value.conj().imag)]


def test_tied_tensors_are_written_once_and_come_back_tied(tmp_path: Path) -> None:
    shared = torch.arange(1000.0)
    other = torch.arange(1000.0)
    back = round_trip({"a": shared, "b": [shared.detach()], "c": other, "half": shared[:500]}, tmp_path)
    assert back["a"] is back["b"][0]
    assert back["a"] is not back["c"]
    assert bytes_of(back["half"]) == bytes_of(shared[:500])
    assert (tmp_path / "tensors.safetensors").stat().st_size < 2500 * 4 + 1000


def test_an_array_that_is_in_two_places_comes_back_as_one(tmp_path: Path) -> None:
    array = np.arange(5)
    back = round_trip([array, array, array.copy()], tmp_path)
    assert back[0] is back[1]
    assert back[0] is not back[2]


def test_a_restored_array_can_be_written_to(tmp_path: Path) -> None:
    back = round_trip({"a": np.arange(3)}, tmp_path)
    back["a"][0] = 7
    assert back["a"].tolist() == [7, 1, 2]


def test_the_versions_of_a_modules_layers_are_kept(tmp_path: Path) -> None:
    state = nn.BatchNorm1d(3).state_dict()
    assert round_trip(state, tmp_path)._metadata == state._metadata  # type: ignore[attr-defined]


def test_names_of_blocks_say_where_the_tensor_was_and_never_clash(tmp_path: Path) -> None:
    tree = {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1), "__metadata__": torch.ones(2), 0: torch.ones(3)}
    assert freeze(round_trip(tree, tmp_path)) == freeze(tree)
    assert set(load_file(tmp_path / "tensors.safetensors")) == {"tree.a.b", "tree.a.b#2", "tree.__metadata__", "tree.0"}


class Colour(enum.IntEnum):
    RED = 1


class MyDict(dict):  # type: ignore[type-arg]
    pass


Pair = namedtuple("Pair", "a b")  # noqa: PYI024  what people have


class MyTensor(torch.Tensor):
    pass


def quantized() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to drop them
        return torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "object"),
        (len, "builtin_function_or_method"),
        (lambda: 0, "function"),
        (Colour.RED, "Colour"),
        (MyDict(a=1), "MyDict"),
        (Pair(1, 2), "Pair"),
        (defaultdict(lambda: 0), "default_factory"),
        (torch.ones(2).to_sparse(), "sparse"),
        (quantized(), "quantized"),
        (torch.empty(2, device="meta"), "no data"),
        (torch.ones(2).as_subclass(MyTensor), "MyTensor"),
        (torch.Generator(), "Generator"),
        (np.array([object()]), "dtype is object"),
        (np.zeros(2, [("a", "f4")]), "dtype is"),
        (np.ma.masked_array([1], [False]), "MaskedArray"),
        (np.random.default_rng(), "Generator"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_what_cannot_come_back_is_refused_with_its_place(value: Any, why: str) -> None:
    with pytest.raises(CannotSave) as refused:
        Encoder().encode({"best": [1, {"x": value}]}, ROOT)
    assert "tree['best'][1]['x']" in refused.value.what
    assert why in refused.value.why
    assert refused.value.todo


def test_a_circle_is_refused() -> None:
    circle: list[Any] = []
    circle.append({"again": circle})
    with pytest.raises(CannotSave, match="holds itself"):
        Encoder().encode(circle, ROOT)


def test_bottomless_nesting_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(CannotSave, match="nested too deep"):
        Encoder().encode(deep, ROOT)


def test_the_same_list_twice_is_no_circle(tmp_path: Path) -> None:
    inner = [1]
    assert round_trip([inner, inner], tmp_path) == [[1], [1]]


def test_a_capture_sees_that_a_tensor_was_changed_since() -> None:
    encoder, tensor = Encoder(), nn.Parameter(torch.zeros(2))
    encoder.encode([tensor.detach(), np.zeros(2), torch.zeros(1)], ROOT)
    assert all(block.is_unchanged() for block in encoder.blocks.values())
    with torch.no_grad():
        tensor.add_(1)
    assert not all(block.is_unchanged() for block in encoder.blocks.values())


@pytest.mark.parametrize("node", [{"$": "os.system"}, {"$": "torch.load", "name": "x"}, {"$": "numpy.load"}])
def test_an_unknown_kind_is_an_error_and_nothing_is_run(node: Any, tmp_path: Path) -> None:
    write_tree({}, tmp_path)
    (tmp_path / "state.json").write_bytes(format_json(node))
    with pytest.raises((KeyError, ValueError)):
        read_tree(tmp_path)


def test_the_page_names_every_kind() -> None:
    """Those that are encoded and decoded are those of `docs/checkpoint-format.md`."""
    page = (Path(__file__).parents[2] / "docs" / "checkpoint-format.md").read_text(encoding="utf-8")
    table = page.partition("| `$` |")[2].partition("\n\n")[0]
    named = {kind for row in table.splitlines()[2:] for kind in re.findall(r"`([\w.]+)`", row.split("|")[1])}
    of_others = {"torch.Tensor", "torch.Size", "torch.device", "torch.dtype"}
    of_others |= {"numpy.ndarray", "numpy.generic", "numpy.dtype"}
    assert named == set(_DECODERS) | of_others
