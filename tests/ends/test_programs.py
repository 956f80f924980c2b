"""Programs that really fail, each run by a keeper as a job is, and the class that its end must get.

A program says in its first lines how it `ends`, which words the reason must hold (`says`), and what it `needs`. Those
about GPUs and several machines print what torch, CUDA and NCCL print there; all others do what they say.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from perdured.core.ends.cause import Cause
from perdured.core.ends.classify import classify_end
from perdured.core.ends.end import End
from perdured.processes import KernelLog, observe_attempt, start_keeper
from perdured.supervise.evidence import add_evidence
from support.processes import make_order, run, tidy, wait_for_end

PROGRAMS = Path(__file__).parent / "programs"
MEMORY_CGROUP = "/sys/fs/cgroup/memory"
_UNSTARTED = {Cause.NOT_STARTED, Cause.REFUSED, Cause.IN_USE, Cause.REMOTE, Cause.NO_UNIT}
COVERED_ELSEWHERE = {Cause.STOPPED, Cause.REBOOTED, Cause.HANG, Cause.UNKNOWN} | _UNSTARTED
"""Ends that no program makes by itself: see `tests/core/test_classify.py`."""


def read_labels(program: Path) -> dict[str, str]:
    lines = (line[2:].partition(": ") for line in program.read_text().splitlines() if line.startswith("# "))
    return {key: value for key, _, value in lines}


LABELS = {path.stem: read_labels(path) for path in sorted(PROGRAMS.glob("*.py"))}


def find_lack(needs: str | None) -> str | None:
    """Why a program cannot run here."""
    if needs == "memory cgroup" and not os.access(f"{MEMORY_CGROUP}/cgroup.procs", os.W_OK):
        return "needs a memory cgroup that it may use"
    return "needs Python 3.11" if needs == "3.11" and sys.version_info < (3, 11) else None


def classify(name: str, tmp_path: Path) -> End:
    directory = tmp_path / "attempts" / "1"
    directory.mkdir(parents=True)
    order = make_order(directory, sys.executable, "-u", "-B", str(PROGRAMS / f"{name}.py"))
    kernel_log = KernelLog()
    try:
        run(start_keeper(order))
        wait_for_end(directory)
        seen = add_evidence(observe_attempt(directory), directory, time.time(), kernel_log.read_telling_lines)
        return classify_end(seen)
    finally:
        kernel_log.close()
        tidy(directory)


def _as_case(name: str) -> object:
    marks = [pytest.mark.torch, pytest.mark.slow] if LABELS[name].get("needs") == "torch" else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [_as_case(name) for name in LABELS])
def test_a_failing_program_gets_its_class(name: str, tmp_path: Path) -> None:
    labels = LABELS[name]
    if lack := find_lack(labels.get("needs")):
        pytest.skip(lack)
    end = classify(name, tmp_path)
    assert end.cause == labels["ends"], end
    assert labels.get("says", "") in end.why, end
    assert end.is_transient is ("transient" in labels)


def test_there_are_programs_for_every_class_that_a_program_can_end_in() -> None:
    assert len(LABELS) >= 40
    assert {Cause(labels["ends"]) for labels in LABELS.values()} == set(Cause) - COVERED_ELSEWHERE


@pytest.mark.parametrize("name", ["value_error", "segfault_with_faulthandler", "usage", "syntax_error", "memory_error"])
def test_the_same_failure_again_has_the_same_fingerprint(name: str, tmp_path: Path) -> None:
    first, second = classify(name, tmp_path / "a"), classify(name, tmp_path / "b")
    assert first.fingerprint is not None
    assert first.fingerprint == second.fingerprint
