"""`python -m perdure.export PATH OUT`: a checkpoint as one plain file, for programs that know nothing of Perdure.

PATH is a checkpoint, or a directory of them, of which the newest whole one is taken. It is verified first.

OUT.pth or OUT.pt       what people save by hand: `{name}_state_dict` for each object, `step`, `epoch`, `values`;
                        of a checkpoint that perdure.save made, the file itself
OUT.safetensors         the tensors of one object alone, `--only NAME`; if not said, of `model`, or of all by name

Ends with 0, with 1 if the checkpoint is not whole, with 2 for a call that cannot be meant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from perdure.codec import Decoder, Encoder, Place
from perdure.errors import CannotRestore, Misuse, NoValidCheckpoint, PerdureError
from perdure.files import replace_by_link, replace_file
from perdure.safetensors_file import TensorFile, format_file
from perdure.saver import SERIES
from perdure.state import TENSORS, load_tree
from perdured.contract.checkpoint import Manifest, choose_checkpoint, verify_checkpoint
from perdured.contract.exits import BAD_USAGE

_PICKLED = (".pth", ".pt")
_MODEL_KEYS = ("model", "model_state_dict", "state_dict")


def export(path: Path, out: Path, only: str | None = None) -> None:
    """Errors: NoValidCheckpoint, CannotRestore, Misuse; OSError."""
    if out.suffix not in (*_PICKLED, ".safetensors"):
        raise Misuse(f"{out.name} is not understood", "its ending says the format", "Use .pth, .pt or .safetensors.")
    path, manifest = _find(path)
    if manifest.facts.series == SERIES:
        _export_run(path, out, only)
    elif out.suffix in _PICKLED:
        replace_by_link(out, path / manifest.files[0].name)
    else:
        from perdure import pickles

        _write_tensors(_choose(pickles.load_payload(path / manifest.files[0].name, "cpu"), only), out)


def _find(path: Path) -> tuple[Path, Manifest]:
    verdict = verify_checkpoint(path)
    if verdict.manifest is not None and verdict.is_valid:
        return path, verdict.manifest
    choice = choose_checkpoint(path)
    if choice.chosen is not None and choice.manifest is not None:
        return choice.chosen.path, choice.manifest
    problems = "; ".join(f"{problem.file}: {problem.what}" for problem in verdict.problems[:3])
    raise NoValidCheckpoint(f"{path} is no whole checkpoint", problems, "`perdure verify` says what is wrong with it.")


def _export_run(path: Path, out: Path, only: str | None) -> None:
    tree = load_tree(path)
    with closing(TensorFile(path / TENSORS)) as file:
        decoder = Decoder(file)
        objects = {name: decoder.decode(node) for name, node in tree["objects"].items()}
        values = decoder.decode(tree["values"])
    if out.suffix not in _PICKLED:
        _write_tensors(_choose(objects, only), out)
        return
    from perdure import streamed

    states = {f"{name}_state_dict": state for name, state in objects.items() if only in (None, name)}
    told = {"step": tree["step"], "epoch": tree["epoch"], "values": values}
    replace_file(out, streamed.stream_saved(states | told))


def _choose(objects: Any, only: str | None) -> Any:
    """The tree whose tensors are meant."""
    if not isinstance(objects, Mapping):
        return objects
    names = [only] if only else [name for name in _MODEL_KEYS if name in objects]
    if only and only not in objects:
        raise CannotRestore(f"there is no {only} in it", f"it has {', '.join(map(str, objects))}", "Name one of those.")
    return objects[names[0]] if names else objects


def _write_tensors(tree: Any, out: Path) -> None:
    """Every tensor under its own name; one that has two names is written twice, as most readers expect."""
    encoder = Encoder(shares=False)
    encoder.encode(tree, Place("the state", ""))
    replace_file(out, format_file(encoder.blocks))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m perdure.export", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, help="a checkpoint, or a directory of checkpoints")
    parser.add_argument("out", type=Path, help="a file to write: .pth, .pt or .safetensors")
    parser.add_argument("--only", metavar="NAME", help="this object alone")
    args = parser.parse_args(arguments)
    try:
        export(args.path, args.out, args.only)
    except Misuse as error:
        sys.stderr.write(f"{error}\n")
        return BAD_USAGE
    except (PerdureError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
