"""Can what was saved go into these objects? Asked before the first of them is changed; reads no tensor."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perdure.codec import Decoder, Json
from perdure.errors import CannotRestore
from perdure.safetensors_file import TensorFile
from perdure.state import Objects, Stateful

_MOST = 5


def check_fit(saved: Mapping[str, Json], objects: Objects, file: TensorFile) -> None:
    """CannotRestore if what was saved cannot go into these objects. Reads no tensor."""
    missing, unexpected = objects.keys() - saved.keys(), saved.keys() - objects.keys()
    if missing or unexpected:
        raise CannotRestore(
            "the checkpoint is of other objects than those given to perdure.Run",
            "; ".join([*_listed("it has no", missing), *_listed("it also has", unexpected)]),
            "Give Run the same keywords as before, or begin again in another directory.",
        )
    for name, value in objects.items():
        state = Decoder(file, only_shapes=True).decode(saved[name])
        faults = list(_find_misfits(value, state))
        if faults:
            more = [f"and {len(faults) - _MOST} more"] if len(faults) > _MOST else []
            raise CannotRestore(
                f"the checkpoint does not fit {name}; nothing was loaded",
                "; ".join(faults[:_MOST] + more),
                f"Build {name} as it was when it was saved, or begin again in another directory.",
            )


def _find_misfits(value: Stateful, state: Any) -> Iterator[str]:
    if is_module(value):
        yield from _compare_tensors(value.state_dict(), state)
    elif is_optimizer(value):
        yield from _compare_groups(value.state_dict()["param_groups"], state["param_groups"])


def _compare_tensors(now: Mapping[str, Any], saved: Mapping[str, Any]) -> Iterator[str]:
    yield from _listed("it has no", now.keys() - saved.keys())
    yield from _listed("it also has", saved.keys() - now.keys())
    for key in sorted(now.keys() & saved.keys()):
        old, new = saved[key], now[key]
        if not (hasattr(old, "shape") and hasattr(new, "shape")):
            continue  # a module's extra state, which may be anything
        if old.shape != new.shape:
            yield f"{key} has shape {tuple(old.shape)} there and {tuple(new.shape)} here"
        elif old.dtype != new.dtype:
            yield f"{key} is {old.dtype} there and {new.dtype} here"


def _compare_groups(now: list[dict[str, Any]], saved: list[dict[str, Any]]) -> Iterator[str]:
    sizes_now, sizes_saved = ([len(group["params"]) for group in groups] for groups in (now, saved))
    if sizes_now != sizes_saved:
        yield f"its groups have {sizes_saved} parameters there and {sizes_now} here"


def _listed(what: str, names: Iterable[str]) -> list[str]:
    shown = sorted(map(str, names))
    more = f" and {len(shown) - _MOST} more" if len(shown) > _MOST else ""
    return [f"{what} {', '.join(shown[:_MOST])}{more}"] if shown else []


def copies_to_its_device(value: object) -> bool:
    return is_module(value) or is_optimizer(value)


def is_module(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def is_optimizer(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.optim.Optimizer)
