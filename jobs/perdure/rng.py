"""The streams of random numbers that a training run draws from: Python's, NumPy's, torch's, every CUDA device's.

Those that are global; generators that the user made are `generators`' matter. NumPy and torch are looked at only if
the program has loaded them.

Taking and restoring a snapshot happens at every step, so it must cost microseconds. NumPy alone needs 50 to copy its
state out and 50 to put it back. But few programs draw from its global stream, so its memory is compared first: equal
words with no normal kept in reserve are the same state, as every draw from there changes them.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import random
import sys
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

_MT19937_BYTES = 625 * 4  # 624 words and the position: NumPy documents the struct for use from C

Tree = dict[str, Any]


class Snapshot(NamedTuple):
    """The state of every global stream at one moment. None, or (), for what was not loaded."""

    python: tuple[Any, ...]
    numpy: dict[str, Any] | None
    torch: Tensor | None
    cuda: tuple[Tensor, ...]


def take_snapshot() -> Snapshot:
    torch = sys.modules.get("torch")
    return Snapshot(
        random.getstate(),
        _numpy_state(),
        torch.get_rng_state() if torch else None,
        tuple(torch.cuda.get_rng_state_all()) if torch and torch.cuda.is_initialized() else (),
    )


def restore_snapshot(snapshot: Snapshot) -> None:
    random.setstate(snapshot.python)
    if snapshot.numpy is not None and _numpy_state() is not snapshot.numpy:
        import numpy as np

        np.random.set_state(snapshot.numpy)
    if snapshot.torch is not None:
        import torch

        torch.set_rng_state(snapshot.torch)
        for device, state in enumerate(snapshot.cuda[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state, device)


_last_words = b""
_last_numpy: dict[str, Any] | None = None


def _numpy_state() -> dict[str, Any] | None:
    """The same object as last time, if it is the same state."""
    global _last_words, _last_numpy
    np = sys.modules.get("numpy")
    if np is None or not hasattr(np, "random"):
        return None
    words = _numpy_words(np)
    if words and words == _last_words and _last_numpy is not None and not _last_numpy["has_gauss"]:
        return _last_numpy
    _last_words, _last_numpy = words, np.random.get_state(legacy=False)
    return _last_numpy


def _numpy_words(np: Any) -> bytes:
    """The memory of the global generator; b"" if it is not the usual one."""
    generator: Any = getattr(np.random, "get_bit_generator", lambda: None)()
    if type(generator).__name__ != "MT19937":
        return b""
    return ctypes.string_at(generator.ctypes.state_address, _MT19937_BYTES)


# As values of a checkpoint ---------------------------------------------------------------------------------------


def snapshot_to_tree(snapshot: Snapshot) -> Tree:
    return {
        "python": python_to_tree(snapshot.python),
        "numpy": snapshot.numpy,
        "torch": snapshot.torch,
        "cuda": list(snapshot.cuda),
    }


def snapshot_from_tree(tree: Tree) -> Snapshot:
    return Snapshot(python_from_tree(tree["python"]), tree["numpy"], tree["torch"], tuple(tree["cuda"]))


def python_to_tree(state: tuple[Any, ...]) -> Tree:
    """Of `random.Random.getstate()`: 625 words, as 2500 bytes instead of a page of digits."""
    version, words, gauss = state
    return {"version": version, "words": array("I", words).tobytes(), "gauss": gauss}


def python_from_tree(tree: Tree) -> tuple[Any, ...]:
    words = array("I")
    words.frombytes(tree["words"])
    return (tree["version"], tuple(words), tree["gauss"])


# Streams of one's own --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """The global streams go on afterwards as if nothing had been drawn inside."""
    before = take_snapshot()
    try:
        yield
    finally:
        restore_snapshot(before)


def derive(seed: int, *words: object) -> int:
    """A seed of 63 bits for a purpose, as good as independent of others from the same `seed`."""
    text = repr((seed, *words)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def seed_all(seed: int) -> None:
    """Seed the global streams, but no device: 63 bits are spread differently over each."""
    random.seed(seed)
    if np := sys.modules.get("numpy"):
        np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(seed)


class Stream:
    """Random numbers apart from the training's: what is drawn inside `with stream.drawn_from():` goes on from what
    was drawn inside the last time, whatever was drawn outside meanwhile."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._state: Snapshot | None = None

    @contextlib.contextmanager
    def drawn_from(self) -> Iterator[None]:
        with kept():
            if self._state is None:
                seed_all(self._seed)
            else:
                restore_snapshot(self._state)
            yield
            self._state = take_snapshot()
