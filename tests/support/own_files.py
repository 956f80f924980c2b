"""A program that knows nothing of Perdure: writes its own files, one a step, and finds its newest by itself.

    own_files.py KIND STEPS [--resume PATH]

Where it went on is a line of `starts.txt`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser()
parser.add_argument("kind")
parser.add_argument("steps", type=int)
parser.add_argument("--resume", type=Path)
options = parser.parse_args()


def save_zip(path: Path, step: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/step", str(step))


def load_zip(path: Path) -> int:
    with zipfile.ZipFile(path) as archive:
        return int(archive.read("archive/step"))


def save_lightning(path: Path, step: int) -> None:
    import torch

    torch.save({"pytorch-lightning_version": "2.5.0", "global_step": step, "state_dict": {}}, path)


def load_lightning(path: Path) -> int:
    import torch

    return int(torch.load(path, weights_only=True)["global_step"])


def save_hugging_face(path: Path, step: int) -> None:
    path.mkdir()
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<f", step))
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))


def load_hugging_face(path: Path) -> int:
    (step,) = struct.unpack("<f", (path / "model.safetensors").read_bytes()[-4:])
    return int(step)


def save_dcp(path: Path, step: int) -> None:
    import torch
    from torch.distributed.checkpoint.state_dict_saver import save

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save({"step": torch.tensor(step)}, checkpoint_id=path)


def load_dcp(path: Path) -> int:
    import torch
    from torch.distributed.checkpoint.state_dict_loader import load

    state = {"step": torch.tensor(0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load(state, checkpoint_id=path)
    return int(state["step"])


KINDS: dict[str, tuple[str, Callable[[Path, int], Any], Callable[[Path], int]]] = {
    "file": ("out/ckpt-{}.pt", save_zip, load_zip),
    "fixed": ("ckpt.pt", save_zip, load_zip),
    "lightning": ("out/epoch=0-step={}.ckpt", save_lightning, load_lightning),
    "hugging_face": ("out/checkpoint-{}", save_hugging_face, load_hugging_face),
    "dcp": ("out/dcp-{}", save_dcp, load_dcp),
}
name, save, load = KINDS[options.kind]
pattern = name.format("*")


def find_newest() -> Path | None:
    """By the highest number, as such programs do."""
    found = [path for path in Path().glob(pattern) if "quarantine" not in str(path)]
    return max(found, key=lambda path: int((re.findall(r"\d+", path.stem) or ["0"])[-1]), default=None)


newest = options.resume or find_newest()
first = load(newest) if newest is not None else 0
with Path("starts.txt").open("a") as log:
    print(first, file=log)
Path("out").mkdir(exist_ok=True)
for step in range(first + 1, options.steps + 1):
    target = Path(name.format(step))
    temporary = Path("making")
    save(temporary, step)
    if target.is_dir():
        shutil.rmtree(target)
    temporary.rename(target)
