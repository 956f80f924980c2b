"""The Dockerfile is right by reading: signals arrive, nothing runs as root, and nothing comes along by accident."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from support.dockerfile import read_last, read_stages
from support.sources import ROOT


def test_the_entry_point_is_process_1() -> None:
    """The exec form: a shell as process 1 would not pass SIGTERM on."""
    assert json.loads(read_last("ENTRYPOINT")) == ["perdure", "run"]
    assert isinstance(json.loads(read_last("CMD")), list)


def test_the_stop_signal_is_the_one_that_jobs_save_on() -> None:
    assert read_last("STOPSIGNAL") == "SIGTERM"


def test_nothing_runs_as_root() -> None:
    user, group = read_last("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_user_is_set_after_the_last_installation() -> None:
    words = [instruction.word for instruction in read_stages()[-1]]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word == "RUN")


def test_checkpoints_outlive_the_container() -> None:
    assert read_last("VOLUME") == read_last("WORKDIR") == "/data"


@pytest.mark.parametrize("stage", [1, 2])
def test_a_base_is_a_version_and_never_the_latest(stage: int) -> None:
    base = read_stages()[stage][0].rest.split()[0]
    bases = [i.rest.partition("=")[2] for i in read_stages()[0] if i.word == "ARG"] if base.startswith("$") else [base]
    assert bases
    assert all(re.search(r":\d", base) for base in bases)


def test_what_is_copied_exists_and_is_let_in() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [
        shlex.split(i.rest) for stage in read_stages() for i in stage if i.word == "COPY" and "--from" not in i.rest
    ]
    sources = {source for copy in copies for source in copy[:-1]}
    assert sources == let_in
    assert all((ROOT / source).exists() for source in sources)
