"""Opening what another process holds: an arena, and nothing else that may have come to that number."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perdured.contract.checkpoint.arena import create_arena
from perdured.keeper.talk import MemoryPlace
from perdured.processes import open_arena


def test_an_arena_is_opened_and_is_the_same_memory() -> None:
    arena = create_arena(4096)
    descriptor = open_arena(MemoryPlace(os.getpid(), arena.descriptor))
    assert descriptor is not None
    assert os.path.sameopenfile(descriptor, arena.descriptor)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    arena.close()


@pytest.mark.parametrize("kind", ["nothing", "pipe", "file", "unsealed"])
def test_what_else_has_that_number_is_closed_again(kind: str, tmp_path: Path) -> None:
    """Also what would wait for somebody to write, and what could be cut while it is read."""
    reader, writer = os.pipe()
    made = {"pipe": reader, "unsealed": os.memfd_create("x"), "nothing": 99999}
    made["file"] = os.open(tmp_path, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    assert open_arena(MemoryPlace(os.getpid(), made[kind])) is None
    assert len(os.listdir("/proc/self/fd")) == before
    for descriptor in (reader, writer, made["unsealed"], made["file"]):
        os.close(descriptor)
