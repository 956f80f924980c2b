"""The state tree: what a run's checkpoint holds, taken from the user's objects and put back into them.

    format, step, epoch
    objects     for each keyword of Run its state_dict(): model (buffers included), optimizer, scheduler, …
    values      the user's own
    rng         the global random streams
    position    where the run is in its epochs and its data

It is written as `state.json`, with the bytes of its tensors in `tensors.safetensors` (see `codec`).

Putting back is all or nothing as far as can be seen beforehand: every object is compared with what was saved, and
only if all of them fit is the first one changed. Gradients are cleared before, so that none from before the load
reaches the first update after it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from perdure.codec import KIND, Decoder, Encoder, Json, Place, format_json
from perdure.errors import CannotRestore, CannotSave, Misuse
from perdure.rng import Snapshot, Tree, snapshot_from_tree, snapshot_to_tree
from perdure.safetensors_file import Block, TensorFile, format_file
from perdured.contract.durable import Buffer

TENSORS = "tensors.safetensors"
STATE = "state.json"
FORMAT_VERSION = 1


class Stateful(Protocol):
    def state_dict(self) -> Any: ...

    def load_state_dict(self, state_dict: Any, /) -> Any: ...


Objects = Mapping[str, Stateful]


class Moment(NamedTuple):
    """All of a run's state but the objects'."""

    step: int
    epoch: int
    values: dict[str, Any]
    rng: Snapshot
    position: Tree


class Capture(NamedTuple):
    """A state, ready to be written. Values are copied, tensors are not: see `is_unchanged`."""

    tree: dict[str, Json]
    blocks: Mapping[str, Block]

    def files(self) -> dict[str, Iterable[Buffer]]:
        return {TENSORS: format_file(self.blocks), STATE: [format_json(self.tree)]}

    def section(self, name: str) -> dict[str, Json]:
        section = self.tree[name]
        assert isinstance(section, dict)
        return section

    def is_unchanged(self) -> bool:
        """Whether every tensor still is what it was when the capture was made."""
        return all(block.is_unchanged() for block in self.blocks.values())


def check_objects(objects: Mapping[str, object]) -> None:
    """Errors: Misuse, for what has no state to save."""
    for name, value in objects.items():
        if not (callable(getattr(value, "state_dict", None)) and callable(getattr(value, "load_state_dict", None))):
            raise Misuse(
                f"perdure.Run cannot save {name}",
                f"a {type(value).__name__} has no state_dict() and load_state_dict()",
                f"Give it both, or put plain data into values={{{name!r}: …}}.",
            )


def capture_state(objects: Objects, moment: Moment) -> Capture:
    """Errors: CannotSave, with the place of what cannot be saved."""
    encoder = Encoder()
    encoded: dict[str, Json] = {
        name: encoder.encode(value.state_dict(), Place(f"the state of {name}: state_dict()", name))
        for name, value in objects.items()
    }
    tree: dict[str, Json] = {
        "format": FORMAT_VERSION,
        "step": moment.step,
        "epoch": moment.epoch,
        "objects": encoded,
        "values": {
            _check_name(name): encoder.encode(value, Place(f"values[{name!r}]", f"values.{name}"))
            for name, value in moment.values.items()
        },
        "rng": encoder.encode(snapshot_to_tree(moment.rng), Place("rng", "rng")),
        "position": encoder.encode(moment.position, Place("position", "position")),
    }
    return Capture(tree, encoder.blocks)


def _check_name(name: object) -> str:
    if type(name) is not str or name == KIND:
        todo = "Use texts as keys; a value may be a dict with any keys."
        raise CannotSave(f"values[{name!r}] cannot be saved in a checkpoint", "its name is no plain text", todo)
    return name


# Back ------------------------------------------------------------------------------------------------------------


def restore_state(path: Path, objects: Objects) -> Moment:
    """Load a verified checkpoint into the objects; the rest of its state is returned.

    Errors: CannotRestore, and nothing was loaded; OSError.
    """
    with closing(_open_tensors(path)) as file:
        tree = load_tree(path)
        _check_fit(tree["objects"], objects, file)
        for name, value in objects.items():
            _load_object(value, tree["objects"][name], file)
        return _load_moment(tree, file)


def restore_changed(path: Path, objects: Objects, values: dict[str, Any], before: Capture, now: Capture) -> None:
    """Load again, from the checkpoint that `before` came from, those objects and values that differ `now`."""
    with closing(_open_tensors(path)) as file:
        tree = load_tree(path)
        for name in _changed("objects", before, now):
            _load_object(objects[name], tree["objects"][name], file)
        saved = Decoder(file, keep_device=True).decode(tree["values"])
        for name in _changed("values", before, now):
            if name in saved:
                values[name] = saved[name]
            else:
                values.pop(name, None)


def _changed(section: str, before: Capture, now: Capture) -> list[str]:
    old, new = before.section(section), now.section(section)
    names = dict.fromkeys([*old, *new])
    return [
        name
        for name in names
        if old.get(name) != new.get(name)
        or not all(before.blocks[block].is_unchanged() for block in _find_blocks(old[name]))
    ]


def _find_blocks(node: Json) -> Iterator[str]:
    if isinstance(node, dict) and "block" in node and KIND in node:
        yield str(node["block"])
    elif isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from _find_blocks(item)


def _open_tensors(path: Path) -> TensorFile:
    try:
        return TensorFile(path / TENSORS)
    except (ValueError, FileNotFoundError) as error:
        raise _unreadable(path, str(error)) from error


def load_tree(path: Path) -> dict[str, Any]:
    """What `state.json` says, in a verified checkpoint. Errors: CannotRestore."""
    # Its hash was verified and its writer was one of us, so the limits of `strictjson` have no place here.
    try:
        tree = json.loads((path / STATE).read_bytes())
        version = tree["format"]
    except (ValueError, TypeError, KeyError, FileNotFoundError) as error:
        raise _unreadable(path, f"{STATE}: {error}") from error
    if version != FORMAT_VERSION:
        why = f"its state has format {version}, and this one reads {FORMAT_VERSION}"
        raise CannotRestore(f"{path} was written by another Perdure", why, "Resume with the Perdure that wrote it.")
    assert isinstance(tree, dict)
    return tree


def _unreadable(path: Path, why: str) -> CannotRestore:
    todo = "It is whole, but no state of perdure.Run. Look at it with `perdure verify`, or use another directory."
    return CannotRestore(f"{path} cannot be read", why, todo)


def _load_moment(tree: dict[str, Any], file: TensorFile) -> Moment:
    def decode(name: str, *, keep_device: bool = False) -> Any:
        return Decoder(file, keep_device=keep_device).decode(tree[name])

    rng = snapshot_from_tree(decode("rng"))
    return Moment(tree["step"], tree["epoch"], decode("values", keep_device=True), rng, decode("position"))


def _load_object(value: Stateful, node: Json, file: TensorFile) -> None:
    # Modules and optimizers copy to their own device; what others do is unknown, so they get what they gave.
    decoder = Decoder(file, keep_device=not _copies_to_its_device(value))
    state = decoder.decode(node)
    if _copies_to_its_device(value):
        value.zero_grad(set_to_none=True)  # type: ignore[attr-defined]  # modules and optimizers have it
    value.load_state_dict(state)


def _copies_to_its_device(value: object) -> bool:
    return _is_module(value) or _is_optimizer(value)


def _is_module(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _is_optimizer(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.optim.Optimizer)


# Does it fit? ----------------------------------------------------------------------------------------------------

_MOST = 5


def _check_fit(saved: Mapping[str, Json], objects: Objects, file: TensorFile) -> None:
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
    if _is_module(value):
        yield from _compare_tensors(value.state_dict(), state)
    elif _is_optimizer(value):
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
