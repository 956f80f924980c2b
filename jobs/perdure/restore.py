"""Puts a checkpoint back into a run's objects, in one pass over the disk and without a second copy of the state.

1. Every object is compared with what was saved, and only if all of them fit is the first one touched.
2. All tensors are read in one pass, which verifies each chunk: those of a module on the CPU straight into the module,
   the rest into memory that an optimizer then keeps as its own. What was verified is what is loaded.
3. Only when every byte was found right is anybody's `load_state_dict` called. Gradients are cleared before, so that
   none from before the load reaches the first update after it.

A checkpoint that is found broken in the second step has left garbage in some modules (`Damaged`): the caller loads
another one, which overwrites all of it, or ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from perdure import recall
from perdure.codec import KIND, Decoder, Json
from perdure.directory import Found
from perdure.errors import CannotRestore
from perdure.fit import check_fit, copies_to_its_device, is_module
from perdure.rng import snapshot_from_tree
from perdure.safetensors_file import OnePass, TensorFile, TensorSource
from perdure.state import FORMAT_VERSION, STATE, TENSORS, Capture, Moment, Objects, Stateful
from perdured.contract.checkpoint import FileEntry, Target, Verdict, read_file, verify_checkpoint


class Damaged(Exception):
    """Not whole after all, or not to be judged: see `verdict`."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.summarize())
        self.verdict = verdict


class Restored(NamedTuple):
    moment: Moment
    """The rest of the state."""
    is_from_memory: bool


def restore_state(found: Found, objects: Objects) -> Restored:
    """Verify a checkpoint and load it into the objects, from the memory that the former attempt left if it is there.

    Errors: Damaged; CannotRestore, and nothing was loaded; OSError.
    """
    try:
        with recall.open_memory() as memory:
            states, restored = _load(found, objects, memory)
    except (CannotRestore, LookupError, TypeError, ValueError):
        # What it complains of may be a byte that is not what was written: that is said first.
        verdict = verify_checkpoint(found.path)
        if not verdict.is_valid:
            raise Damaged(verdict) from None
        raise
    for name, value in objects.items():
        _put(value, states[name])
    return restored


def _load(found: Found, objects: Objects, memory: recall.Memory) -> tuple[dict[str, Any], Restored]:
    _read(found, _find_file(found, STATE), ())
    tree = load_tree(found.path)
    with closing(_open_tensors(found.path)) as opened:
        check_fit(tree["objects"], objects, opened)
        once = OnePass(opened)
        states = {name: _decode_object(once, objects[name], tree["objects"][name]) for name in objects}
        rng, position = Decoder(once).decode(tree["rng"]), Decoder(once).decode(tree["position"])
        values = Decoder(once, keep_device=True).decode(tree["values"])
        file, targets = _find_file(found, TENSORS), once.targets()
        is_from_memory = memory.read(found.manifest, file, targets) and once.has_same_head()
        if not is_from_memory:
            _read(found, file, targets)
    once.finish()
    moment = Moment(tree["step"], tree["epoch"], values, snapshot_from_tree(rng), position)
    return states, Restored(moment, is_from_memory)


def _find_file(found: Found, name: str) -> FileEntry:
    file = next((file for file in found.manifest.files if file.name == name), None)
    if file is None:
        raise _unreadable(found.path, f"it has no {name}")
    return file


def _read(found: Found, file: FileEntry, targets: tuple[Target, ...]) -> None:
    verdict = read_file(found.path, found.manifest, file, targets)
    if not verdict.is_valid:
        raise Damaged(verdict)


def restore_changed(path: Path, objects: Objects, values: dict[str, Any], before: Capture, now: Capture) -> None:
    """Load again, from the checkpoint that `before` came from, those objects and values that differ `now`."""
    with closing(_open_tensors(path)) as file:
        tree = load_tree(path)
        for name in _changed("objects", before, now):
            _put(objects[name], _decode_object(file, objects[name], tree["objects"][name]))
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


# One object ------------------------------------------------------------------------------------------------------


def _decode_object(file: TensorSource, value: Stateful, node: Json) -> Any:
    # Modules and optimizers copy to their own device; what others do is unknown, so they get what they gave.
    decoder = Decoder(file, keep_device=not copies_to_its_device(value), places=_find_places(value, node))
    return decoder.decode(node)


def _find_places(value: Stateful, node: Json) -> Mapping[str, Any]:
    """Where a module's tensors can be read to: themselves. Its `load_state_dict` then copies each to itself."""
    if not is_module(value) or not isinstance(node, dict):
        return {}
    from perdure import tensors

    saved = dict(_pairs(node))
    return tensors.find_places((saved.get(key), tensor) for key, tensor in value.state_dict().items())


def _pairs(node: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    items = node["items"] if KIND in node else list(node.items())
    for key, item in items if isinstance(items, list) else ():  # type: ignore[misc,str-unpack]  # a list of pairs
        if isinstance(key, str):
            yield key, item


def _put(value: Stateful, state: Any) -> None:
    if copies_to_its_device(value):
        value.zero_grad(set_to_none=True)  # type: ignore[attr-defined]  # modules and optimizers have it
    value.load_state_dict(state)


# Files -----------------------------------------------------------------------------------------------------------


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
