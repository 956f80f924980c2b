"""Random generators that belong to a loader: its own, and those that its samplers hold.

A sampler may be any object, so its attributes are looked through, and those of the samplers within it. Of a dataset
nothing is looked at: the skipped samples are not loaded, so a generator in there could not be brought forward.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from typing import Any

from perdure.rng import Tree, python_from_tree, python_to_tree

_DEPTH = 4


def find_generators(*owners: object) -> list[object]:
    """Every generator among the owners and in their attributes, in a fixed order, each once."""
    found: dict[int, object] = {}
    for owner in owners:
        for generator in _search(owner, _DEPTH):
            found.setdefault(id(generator), generator)
    return list(found.values())


def _search(value: object, depth: int) -> Iterator[object]:
    if _is_generator(value):
        yield value
    elif depth and _is_sampler(value):
        for name in sorted(vars(value)):
            yield from _search(vars(value)[name], depth - 1)


def _is_sampler(value: object) -> bool:
    """Not a dataset, a list of indices or a tensor, which a sampler holds as well."""
    return hasattr(value, "__dict__") and hasattr(value, "__iter__") and not hasattr(value, "__getitem__")


def _is_generator(value: object) -> bool:
    torch, np = sys.modules.get("torch"), sys.modules.get("numpy")
    kinds: list[type] = [random.Random]
    kinds += [torch.Generator] if torch else []
    kinds += [np.random.Generator, np.random.RandomState] if np else []
    return isinstance(value, tuple(kinds))


def take_states(generators: list[object]) -> list[Any]:
    """What `restore_states` needs, as values of a checkpoint."""
    return [_take(generator) for generator in generators]


def restore_states(generators: list[object], states: list[Any]) -> None:
    for generator, state in zip(generators, states, strict=True):
        _restore(generator, state)


def _take(generator: Any) -> Tree:
    if isinstance(generator, random.Random):
        return python_to_tree(generator.getstate())
    if hasattr(generator, "bit_generator"):
        return {"state": generator.bit_generator.state}
    if hasattr(generator, "manual_seed"):
        return {"state": generator.get_state()}
    return {"state": generator.get_state(legacy=False)}


def _restore(generator: Any, tree: Tree) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(python_from_tree(tree))
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = tree["state"]
    else:
        generator.set_state(tree["state"])
