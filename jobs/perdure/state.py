"""The state tree: what a run's checkpoint holds, taken from the user's objects; `restore` puts it back.

    format, step, epoch
    objects     for each keyword of Run its state_dict(): model (buffers included), optimizer, scheduler, …
    values      the user's own
    rng         the global random streams
    position    where the run is in its epochs and its data

It is written as `state.json`, with the bytes of its tensors in `tensors.safetensors` (see `codec`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from perdure.codec import KIND, Encoder, Json, Place, format_json
from perdure.errors import CannotSave, Misuse
from perdure.rng import Snapshot, Tree, snapshot_to_tree
from perdure.safetensors_file import Block, format_file
from perdured.contract.checkpoint import Files, Steady

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

    def files(self) -> Files:
        """To be written while nothing else touches the tensors."""
        return {TENSORS: Steady(format_file(self.blocks)), STATE: [format_json(self.tree)]}

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
