"""`python -m perdure.export PATH OUT`: a checkpoint as one plain file, for programs that know nothing of Perdure.

PATH is a checkpoint, or a directory of them, of which the newest whole and healthy one is taken; or a file of
perdure.save or torch.save. It is verified first, unless `--verified` says that it was a moment ago: `perdure export`,
which needs no torch for that, has read it whole when it runs this.

OUT.pth or OUT.pt       what people save by hand: `{name}_state_dict` for each object, `step`, `epoch`, `values`;
                        of a checkpoint that perdure.save made, the file itself
OUT.safetensors         the tensors of the model under their own names, as `model.load_state_dict` takes them; with
                        `--only NAME` those of another object; with `--all` all that the checkpoint holds, each under
                        its place in it, such as `model.0.weight`

Ends with 0, with 1 if the checkpoint is not whole, with 2 for a call that cannot be meant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from perdure.codec import Decoder, Encoder, Place
from perdure.errors import CannotRestore, Misuse, NoValidCheckpoint, PerdureError, tell
from perdure.files import read_blocks, replace_file
from perdure.restore import load_tree
from perdure.safetensors_file import TensorFile, format_file
from perdure.saver import SERIES
from perdure.state import TENSORS
from perdured.contract.checkpoint import Manifest, choose_checkpoint, verify_checkpoint
from perdured.contract.exits import BAD_USAGE

_PICKLED = (".pth", ".pt")
_MODEL_KEYS = ("model", "model_state_dict", "state_dict")


class Part(NamedTuple):
    """What of a checkpoint is wanted: the model, one object, or everything."""

    only: str | None = None
    everything: bool = False
    is_verified: bool = False
    """Who asks has read every byte of it."""


def export(path: Path, out: Path, part: Part) -> None:
    """Errors: NoValidCheckpoint, CannotRestore, Misuse; OSError."""
    if out.suffix not in (*_PICKLED, ".safetensors"):
        raise Misuse(f"{out.name} is not understood", "its ending says the format", "Use .pth, .pt or .safetensors.")
    if not out.parent.is_dir():
        raise Misuse(
            f"{out} cannot be written", f"the directory {out.parent} does not exist", "Make it, or use another."
        )
    if path.is_file():
        from perdure import pickles

        if not part.is_verified:
            pickles.check_file(path)
        _export_file(path, out, part)
        return
    path, manifest = _find(path, hashes=not part.is_verified)
    if manifest.facts.series == SERIES:
        _export_run(path, out, part)
    else:
        _export_file(path / manifest.files[0].name, out, part)


def _find(path: Path, *, hashes: bool) -> tuple[Path, Manifest]:
    verdict = verify_checkpoint(path, hashes=hashes)
    if verdict.manifest is not None and verdict.is_valid:
        if not verdict.manifest.facts.healthy:
            tell(f"{path} is unhealthy", "it was saved with a loss that was not finite")
        return path, verdict.manifest
    choice = choose_checkpoint(path)
    if choice.chosen is not None and choice.manifest is not None:
        return choice.chosen.path, choice.manifest
    if choice.existed and not (choice.rejected or choice.stopped_by or choice.lost):
        todo = "Name the one to export; `perdure verify` lists them."
        raise NoValidCheckpoint(f"{path} holds no healthy checkpoint", "the loss of each was not finite", todo)
    todo = "`perdure verify` says what is wrong with it."
    raise NoValidCheckpoint(f"{path} is no whole checkpoint", verdict.summarize(), todo)


def _export_file(file: Path, out: Path, part: Part) -> None:
    """One that torch.save or perdure.save wrote."""
    if out.suffix not in _PICKLED:
        from perdure import pickles

        _write_tensors(_choose(pickles.load_payload(file, "cpu"), part), out)
    elif part.only is not None:
        todo = "Leave out --only, or write a .safetensors."
        raise Misuse("--only is not understood here", f"{file.name} is a .pth already, and goes out as it is", todo)
    else:
        replace_file(out, read_blocks(file))


def _export_run(path: Path, out: Path, part: Part) -> None:
    if part.everything and out.suffix not in _PICKLED:
        replace_file(out, read_blocks(path / TENSORS))
        return
    tree = load_tree(path)
    with closing(TensorFile(path / TENSORS)) as file:
        decoder = Decoder(file)
        objects = {name: decoder.decode(node) for name, node in tree["objects"].items()}
        values = decoder.decode(tree["values"])
    if out.suffix not in _PICKLED:
        _write_tensors(_choose(objects, part), out)
        return
    from perdure import streamed

    states = {f"{name}_state_dict": state for name, state in objects.items() if part.only in (None, name)}
    told = {"step": tree["step"], "epoch": tree["epoch"], "values": values}
    replace_file(out, streamed.stream_saved(states | told))


def _choose(objects: Any, part: Part) -> Any:
    """The tree whose tensors are meant. What is a model's state itself stands for the model."""
    if part.everything or not isinstance(objects, Mapping):
        return objects
    names = _MODEL_KEYS if part.only is None else (part.only,)
    for name in names:
        if name in objects:
            return objects[name]
    if part.only is None and objects and all(hasattr(value, "shape") for value in objects.values()):
        return objects
    raise CannotRestore(
        f"there is no {names[0]} in it",
        f"it has {', '.join(map(str, objects))}",
        "Name one of those with --only, or take everything with --all.",
    )


def _write_tensors(tree: Any, out: Path) -> None:
    """Every tensor under its own name; one that has two names is written twice, as most readers expect."""
    encoder = Encoder(shares=False)
    encoder.encode(tree, Place("the state", ""))
    replace_file(out, format_file(encoder.blocks))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m perdure.export", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, help="a checkpoint, a directory of checkpoints, or a .pth")
    parser.add_argument("out", type=Path, help="a file to write: .pth, .pt or .safetensors")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", metavar="NAME", help="this object alone, in place of the model")
    which.add_argument("--all", action="store_true", help="every tensor, under its place in the checkpoint")
    parser.add_argument("--verified", action="store_true", help="every byte of it was read a moment ago")
    args = parser.parse_args(arguments)
    try:
        export(args.path, args.out, Part(args.only, args.all, args.verified))
    except PerdureError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_USAGE if isinstance(error, Misuse) else 1
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        sys.stderr.write(f"{args.out} could not be written\n{why}\nMend that, or choose another place.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
