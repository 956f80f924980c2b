"""The arena: what is complete, what is not, and that there always is something."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from perdured.contract.checkpoint import commit_checkpoint, verify_checkpoint
from perdured.contract.checkpoint.arena import (
    SLOTS,
    Arena,
    NoArena,
    Part,
    Snapshot,
    create_arena,
    measure_arena,
)
from perdured.contract.checkpoint.gather import BLOCK, round_up
from support.seeds import make_random
from support.stores import facts_of

SIZE = 3 * BLOCK


def _take(arena: Arena, slot: int, generation: int, content: bytes = b"state") -> Snapshot:
    snapshot = Snapshot(generation, 10 * generation, (Part("a.bin", 0, len(content)),), facts_of())
    arena.begin(slot)
    arena.slot(slot)[: len(content)] = content
    arena.finish(slot, snapshot)
    return snapshot


@pytest.fixture
def arena() -> Arena:
    return create_arena(SIZE)


def test_new_memory_holds_nothing(arena: Arena) -> None:
    assert arena.find_newest() is None
    assert [arena.read(slot) for slot in range(SLOTS)] == [None, None]


def test_the_other_side_reads_what_was_written(arena: Arena) -> None:
    written = _take(arena, 1, 7, b"some bytes")
    other = Arena(os.dup(arena.descriptor), is_writer=False)
    assert other.find_newest() == (1, written)
    assert bytes(other.images(1, written)["a.bin"].memory[:10]) == b"some bytes"


def test_the_newest_is_the_one_with_the_higher_generation(arena: Arena) -> None:
    _take(arena, 0, 8)
    older = _take(arena, 1, 7)
    newest = arena.find_newest()
    assert newest is not None
    assert newest[1].generation == 8
    arena.begin(0)
    assert arena.find_newest() == (1, older)


@pytest.mark.parametrize("generation", [1, 255, 256, 2**32 - 1, 2**32, 2**32 + 1, 2**60])
def test_a_generation_of_any_size_is_complete(generation: int, arena: Arena) -> None:
    assert arena.read(0) is None
    assert _take(arena, 0, generation) == arena.read(0)


def test_a_record_torn_anywhere_is_no_snapshot(arena: Arena) -> None:
    """Whatever bytes of it have come: a prefix with the generation, a prefix without, or one byte that is another."""
    whole = _take(arena, 0, 3)
    memory = mmap.mmap(arena.descriptor, measure_arena(SIZE))
    record = memory[BLOCK : BLOCK + 400]
    end = len(record.rstrip(b"\0"))
    assert end > 150
    for length in range(end):
        memory[BLOCK : BLOCK + 400] = record[:length] + bytes(400 - length)
        assert arena.read(0) is None
        memory[BLOCK : BLOCK + 400] = record[:length] + bytes([record[length] ^ 1]) + record[length + 1 :]
        assert arena.read(0) is None
    memory[BLOCK : BLOCK + 400] = record
    assert arena.read(0) == whole


def test_a_snapshot_is_committed_from_where_it_lies(arena: Arena, tmp_path: Path) -> None:
    parts = (Part("a.bin", 0, BLOCK + 5), Part("b.json", round_up(BLOCK + 5), 2))
    arena.slot(0)[: BLOCK + 5] = b"x" * (BLOCK + 5)
    arena.slot(0)[parts[1].begin : parts[1].begin + 2] = b"{}"
    snapshot = Snapshot(1, 12, parts, facts_of())
    arena.finish(0, snapshot)
    path = commit_checkpoint(tmp_path / "root", 12, arena.images(0, snapshot), snapshot.facts).path
    assert (path / "a.bin").read_bytes() == b"x" * (BLOCK + 5)
    assert (path / "b.json").read_bytes() == b"{}"
    assert verify_checkpoint(path).is_valid


# What is refused -------------------------------------------------------------------------------------------------


def test_memory_that_could_be_cut_is_refused() -> None:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, measure_arena(SIZE))
    with pytest.raises(NoArena, match="cut"):
        Arena(descriptor, is_writer=False)
    os.close(descriptor)


def test_memory_that_is_no_arena_is_refused() -> None:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, measure_arena(SIZE))
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    with pytest.raises(NoArena, match="no arena"):
        Arena(descriptor, is_writer=False)
    os.close(descriptor)


@pytest.mark.parametrize("content", [b"PERDURF\x01", b"PERDURE\x02"])
def test_memory_of_another_version_is_refused_though_its_size_is_right(content: bytes) -> None:
    _refuse(content + round_up(SIZE).to_bytes(8, "little"), measure_arena(SIZE))


def test_memory_that_is_shorter_than_it_says_is_refused() -> None:
    """What lies behind its end cannot be read: the reader would be killed."""
    _refuse(b"PERDURE\x01" + round_up(SIZE).to_bytes(8, "little"), measure_arena(SIZE) - BLOCK)


def _refuse(header: bytes, size: int) -> None:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    os.pwrite(descriptor, header, 0)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    with pytest.raises(NoArena, match="no arena"):
        Arena(descriptor, is_writer=False)
    os.close(descriptor)


def test_who_reads_cannot_write(arena: Arena) -> None:
    reader = Arena(os.dup(arena.descriptor), is_writer=False)
    with pytest.raises(TypeError, match="read-only"):
        reader.slot(0)[0] = 1
    arena.slot(0)[0] = 1
    reader.close()


def test_where_there_is_not_so_much_memory_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, begin: int, length: int) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OSError, match="Cannot allocate"):
        create_arena(SIZE)
    assert os.listdir("/proc/self/fd") == before


def test_nobody_can_cut_it(arena: Arena) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(arena.descriptor, 0)


@pytest.mark.parametrize("part", [Part("a", 1, 1), Part("a", -BLOCK, 1), Part("a", 0, SIZE + 1), Part("a", SIZE, 1)])
def test_a_part_outside_of_its_slot_is_no_snapshot(part: Part, arena: Arena) -> None:
    arena.finish(0, Snapshot(1, 1, (part,), facts_of()))
    assert arena.read(0) is None


def test_a_record_that_is_too_large_leaves_the_slot_incomplete(arena: Arena) -> None:
    other = _take(arena, 1, 2)
    arena.begin(0)
    with pytest.raises(ValueError, match="too large"):
        arena.finish(0, Snapshot(1, 1, tuple(Part("a" * 100, 0, 1) for _ in range(200)), facts_of()))
    assert arena.read(0) is None
    assert arena.read(1) == other


# Kills -----------------------------------------------------------------------------------------------------------

WRITE_FOR_EVER = """
import itertools, sys
from perdured.contract.checkpoint.arena import Arena, Part, Snapshot
from perdured.contract.checkpoint.manifest import Facts
arena = Arena(int(sys.argv[1]), is_writer=True)
print("begun", flush=True)
for generation in itertools.count(1):
    slot = generation % 2
    arena.begin(slot)
    arena.slot(slot)[:] = bytes([generation % 251]) * arena.slot_size
    parts = (Part("a.bin", 0, arena.slot_size),)
    arena.finish(slot, Snapshot(generation, generation, parts, Facts("job", 1, "run")))
"""


def test_killed_at_any_instant_the_newest_complete_one_is_whole() -> None:
    random = make_random()
    for _ in range(25):
        arena = create_arena(1 << 20)
        env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-c", WRITE_FOR_EVER, str(arena.descriptor)]
        os.set_inheritable(arena.descriptor, True)
        with subprocess.Popen(command, env=env, pass_fds=[arena.descriptor], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            while arena.find_newest() is None:
                pass
            signal.sigtimedwait([], random.uniform(0, 0.02))
            writer.kill()
        found = arena.find_newest()
        assert found is not None
        slot, snapshot = found
        assert set(bytes(arena.slot(slot))) == {snapshot.generation % 251}
        arena.close()
