"""The Dockerfile is right by reading: signals arrive, nothing runs as root, and nothing comes along by accident."""

from __future__ import annotations

import json
import re
import shlex
from typing import NamedTuple

import pytest

from support.sources import ROOT


class Instruction(NamedTuple):
    word: str
    rest: str


def _stages() -> list[list[Instruction]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    stages: list[list[Instruction]] = [[]]
    for word, _, rest in (line.partition(" ") for line in lines if line.strip()):
        if word == "FROM":
            stages.append([])
        stages[-1].append(Instruction(word, rest))
    return stages


def _last(word: str) -> str:
    """What the final stage says last with `word`."""
    return [instruction.rest for instruction in _stages()[-1] if instruction.word == word][-1]


def test_the_entry_point_is_process_1() -> None:
    """The exec form: a shell as process 1 would not pass SIGTERM on."""
    assert json.loads(_last("ENTRYPOINT")) == ["perdure", "run"]
    assert isinstance(json.loads(_last("CMD")), list)


def test_the_stop_signal_is_the_one_that_jobs_save_on() -> None:
    assert _last("STOPSIGNAL") == "SIGTERM"


def test_nothing_runs_as_root() -> None:
    user, group = _last("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_user_is_set_after_the_last_installation() -> None:
    words = [instruction.word for instruction in _stages()[-1]]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word == "RUN")


def test_checkpoints_outlive_the_container() -> None:
    assert _last("VOLUME") == _last("WORKDIR") == "/data"


@pytest.mark.parametrize("stage", [1, 2])
def test_a_base_is_a_version_and_never_the_latest(stage: int) -> None:
    base = _stages()[stage][0].rest.split()[0]
    bases = [i.rest.partition("=")[2] for i in _stages()[0] if i.word == "ARG"] if base.startswith("$") else [base]
    assert bases
    assert all(re.search(r":\d", base) for base in bases)


def test_what_is_copied_exists_and_is_let_in() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [shlex.split(i.rest) for stage in _stages() for i in stage if i.word == "COPY" and "--from" not in i.rest]
    sources = {source for copy in copies for source in copy[:-1]}
    assert sources == let_in
    assert all((ROOT / source).exists() for source in sources)
