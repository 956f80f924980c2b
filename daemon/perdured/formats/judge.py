from __future__ import annotations

import re
from pathlib import Path

from .archive import LEGACY_MAGIC, ZIP_MAGIC, judge_legacy, judge_zip
from .folders import DCP_METADATA, TRAINER_STATE, find_hugging_face_problems, find_step, judge_dcp
from .judged import Judged, Problem
from .safetensors import judge_safetensors

_OF_TORCH = (".pt", ".pth", ".ckpt")
_HUGGING_FACE = re.compile(r"checkpoint-\d+")


def judge(path: Path) -> Judged:
    """Reads all of it. Errors: OSError, FileNotFoundError among them where it vanishes meanwhile."""
    return _judge_folder(path) if path.is_dir() else _judge_file(path)


def _judge_file(path: Path) -> Judged:
    with path.open("rb") as file:
        head = file.read(len(LEGACY_MAGIC))
    if head == LEGACY_MAGIC:
        return judge_legacy(path)
    if path.suffix == ".safetensors":
        return judge_safetensors(path)
    if head.startswith(ZIP_MAGIC):
        return judge_zip(path)
    if ZIP_MAGIC.startswith(head[:2]) or (LEGACY_MAGIC.startswith(head) and path.suffix in _OF_TORCH):
        return Judged("torch.save", (Problem(path.name, "is cut short: it has hardly begun"),))
    return Judged(None)


def is_known_folder(path: Path) -> bool:
    return _is_hugging_face(path) or _is_dcp(path)


def _is_hugging_face(folder: Path) -> bool:
    """By its name alone only where it is nobody else's: Accelerate's scripts name theirs the same, without a state."""
    if (folder / TRAINER_STATE).exists():
        return True
    is_others = _is_dcp(folder) or (folder / "optimizer.bin").exists() or any(folder.glob("random_states_*.pkl"))
    return _HUGGING_FACE.fullmatch(folder.name) is not None and not is_others


def _is_dcp(folder: Path) -> bool:
    return (folder / DCP_METADATA).exists() or any(folder.glob("*.distcp"))


def _judge_folder(folder: Path) -> Judged:
    if _is_hugging_face(folder):
        problems = [*find_hugging_face_problems(folder), *_find_broken_files(folder)]
        return Judged("Hugging Face", tuple(problems), find_step(folder))
    if _is_dcp(folder):
        return judge_dcp(folder)
    return Judged(None)


def _find_broken_files(folder: Path) -> list[Problem]:
    """Of those files whose format is known. A file of NumPy or of JSON is taken as it is."""
    found: list[Problem] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (*_OF_TORCH, ".bin", ".safetensors") and not path.is_symlink():
            name = path.relative_to(folder).as_posix()
            found += [Problem(name, problem.what) for problem in _judge_file(path).problems]
    return found
