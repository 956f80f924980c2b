"""The Dockerfile, read as far as the tests need it."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from .sources import ROOT


class Instruction(NamedTuple):
    word: str
    rest: str


def read_stages() -> list[list[Instruction]]:
    """The instructions of each stage; the first list is what stands before the first stage."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    stages: list[list[Instruction]] = [[]]
    for word, _, rest in (line.partition(" ") for line in lines if line.strip()):
        if word == "FROM":
            stages.append([])
        stages[-1].append(Instruction(word, rest))
    return stages


def read_all(word: str) -> list[str]:
    """What the final stage says with `word`."""
    return [instruction.rest for instruction in read_stages()[-1] if instruction.word == word]


def read_last(word: str) -> str:
    return read_all(word)[-1]


def read_env() -> dict[str, str]:
    words = [word for line in read_all("ENV") for word in shlex.split(line)]
    return {name: value for name, _, value in (word.partition("=") for word in words)}
