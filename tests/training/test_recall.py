"""Going on from the memory that the former attempt left: what is on the disk decides, memory only makes it faster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perdure.codec import format_json
from perdure.directory import find_newest
from perdure.recall import measure_memory
from perdure.restore import Damaged, Restored, restore_state
from perdure.rng import take_snapshot
from perdure.safetensors_file import copy_file, plan_file
from perdure.state import STATE, TENSORS, Capture, Moment, capture_state
from perdured.contract import environment
from perdured.contract.checkpoint import Facts, commit_checkpoint
from perdured.contract.checkpoint.arena import Arena, Part, Snapshot, create_arena
from perdured.contract.checkpoint.gather import round_up

STEP = 3


class Weights:
    def __init__(self, seed: int) -> None:
        self.values = np.random.default_rng(seed).normal(size=(700, 1000))

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values = state["values"]


class Left:
    """A checkpoint, and the arena that it was committed from."""

    def __init__(self, root: Path, *, step: int = STEP) -> None:
        self.root = root
        self.weights = Weights(1)
        capture = capture_state({"weights": self.weights}, Moment(STEP, 0, {}, take_snapshot(), {"epoch": 0}))
        self.path = commit_checkpoint(root, STEP, capture.files(), Facts(None, None, "run")).path
        self.arena = self._fill(capture, step)

    def _fill(self, capture: Capture, step: int) -> Arena:
        """In the second slot; the first one is empty."""
        layout, tree = plan_file(capture.blocks), format_json(capture.tree)
        begin = round_up(layout.length)
        arena = create_arena(begin + round_up(len(tree)))
        arena.begin(1)
        memory = arena.slot(1)
        copy_file(layout, capture.blocks, memory)
        memory[begin : begin + len(tree)] = tree
        parts = (Part(TENSORS, 0, layout.length), Part(STATE, begin, len(tree)))
        arena.finish(1, Snapshot(1, step, parts, Facts(None, None, "run")))
        return arena

    def flip_on_disk(self, name: str, at: int) -> None:
        with (self.path / name).open("r+b") as file:
            file.seek(at)
            (byte,) = file.read(1)
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def flip_in_memory(self, at: int) -> None:
        self.arena.slot(1)[at] ^= 1

    def go_on(self) -> tuple[Weights, Restored]:
        found = find_newest(self.root, "run", "", hashes=False)
        assert found is not None
        weights = Weights(2)
        return weights, restore_state(found, {"weights": weights})

    def check(self, *, is_from_memory: bool) -> None:
        weights, restored = self.go_on()
        assert restored.is_from_memory is is_from_memory
        assert restored.moment.step == STEP
        assert (weights.values == self.weights.values).all()


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Left]:
    left = Left(tmp_path / "root")
    monkeypatch.setenv(environment.MEMORY, f"/proc/{os.getpid()}/fd/{left.arena.descriptor}")
    yield left
    left.arena.close()


def test_what_is_in_memory_is_not_read_from_the_disk(left: Left) -> None:
    """Proven by a disk that has other bytes."""
    left.flip_on_disk(TENSORS, 5_000_000)
    left.check(is_from_memory=True)


def test_without_a_word_of_memory_the_disk_is_read(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(environment.MEMORY)
    left.check(is_from_memory=False)
    assert measure_memory() == 0


@pytest.mark.parametrize("at", [0, 9, 100, 3_000_000, 5_599_999])
def test_a_byte_in_memory_that_is_not_what_was_committed_is_seen_and_the_disk_is_read(left: Left, at: int) -> None:
    """In the length of the header, in the header, in the first and the last chunk."""
    left.flip_in_memory(at)
    left.check(is_from_memory=False)


def test_a_header_on_the_disk_that_is_not_the_memorys_is_not_believed(left: Left) -> None:
    """It says what lies where: memory that was proven would be put into the wrong place."""
    text = (left.path / TENSORS).read_bytes()[:200]
    left.flip_on_disk(TENSORS, text.index(b'"format":"pt"') + 11)
    with pytest.raises(Damaged, match=TENSORS):
        left.go_on()


def test_with_both_wrong_it_is_damaged(left: Left) -> None:
    left.flip_in_memory(3_000_000)
    left.flip_on_disk(TENSORS, 3_000_000)
    with pytest.raises(Damaged, match=TENSORS):
        left.go_on()


def test_the_tree_is_always_the_disks(left: Left) -> None:
    left.flip_on_disk(STATE, 20)
    with pytest.raises(Damaged, match=STATE):
        left.go_on()


def test_a_snapshot_of_another_step_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = Left(tmp_path / "root", step=STEP + 1)
    monkeypatch.setenv(environment.MEMORY, f"/proc/self/fd/{left.arena.descriptor}")
    left.check(is_from_memory=False)
    left.arena.close()


def test_a_slot_that_is_not_complete_is_passed_over(left: Left) -> None:
    left.arena.begin(1)
    left.check(is_from_memory=False)


@pytest.mark.parametrize("kind", ["gone", "pipe", "file", "memory", "short"])
def test_what_is_no_arena_is_passed_over_and_nothing_waits_for_it(
    kind: str, left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of a descriptor may be anything's by now."""
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    reader, writer = os.pipe()
    memory, short = os.memfd_create("x", os.MFD_ALLOW_SEALING), os.memfd_create("y")
    os.ftruncate(memory, 1 << 20)
    descriptors = {"gone": 99999, "pipe": reader, "memory": memory, "short": short}
    descriptors["file"] = os.open(tmp_path / "file", os.O_RDONLY)
    monkeypatch.setenv(environment.MEMORY, f"/proc/self/fd/{descriptors[kind]}")
    before = len(os.listdir("/proc/self/fd"))
    left.check(is_from_memory=False)
    assert len(os.listdir("/proc/self/fd")) == before
    for descriptor in (writer, *(each for name, each in descriptors.items() if name != "gone")):
        os.close(descriptor)


def test_nothing_is_held_after_the_load(left: Left) -> None:
    before = len(os.listdir("/proc/self/fd"))
    left.check(is_from_memory=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_memory_that_will_be_given_back_counts_as_free(left: Left) -> None:
    assert measure_memory() == os.fstat(left.arena.descriptor).st_size
