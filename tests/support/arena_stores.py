"""Every store that a snapshot makes to its arena, one by one, and every way in which each of them can be torn.

The training process is killed between two of its stores, or in the middle of one. So the snapshot is taken under a
trace of every instruction; whenever the memory has changed since the last one, a store was made. In between the memory
may hold any beginning of the new bytes, any end of them, and of a few bytes any at all. Each such state is put in front
of the real reader. That the processor shows another process the stores in their order is what the kernel sees to, when
it takes the dead one off.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from perdure import memory, safetensors_file
from perdure.codec import format_json
from perdure.memory import MemoryTier
from perdure.safetensors_file import format_file
from perdure.schedule import parse_schedule
from perdure.settings import Settings
from perdure.state import STATE, TENSORS, Capture
from perdured.contract import messages
from perdured.contract.checkpoint import arena as arena_module
from perdured.contract.checkpoint.arena import Arena, Snapshot, create_arena
from support.stores import facts_of

if TYPE_CHECKING:
    from _typeshed import TraceFunction

_TRACED = frozenset(str(module.__file__) for module in (memory, safetensors_file, arena_module)) | {__file__}
_FEW = 10
_MANY = 1024


class Keeper:
    """Takes the place of the channel: says what a keeper would, when it is told to."""

    def __init__(self) -> None:
        self.is_open = True
        self.sent: list[dict[str, Any]] = []
        self.answers: list[dict[str, object]] = []
        self.descriptors: list[int] = []
        self.waits = 0

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def send_descriptor(self, message: dict[str, Any], descriptor: int) -> None:
        self.sent.append(message)
        self.descriptors.append(descriptor)
        self.answers.append({"type": messages.MEMORY_HELD})

    def take_answers(self) -> list[dict[str, object]]:
        answers, self.answers = self.answers, []
        return answers

    def wait(self) -> None:
        self.waits += 1

    def has_committed(self, generation: int) -> None:
        self.answers.append({"type": messages.COMMITTED, "generation": generation, "step": 1, "path": "/a"})


@dataclass
class Filled:
    """A tensor of bytes."""

    content: bytes
    dtype: str = "U8"

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.content),)

    def pieces(self) -> Iterator[bytes]:
        yield self.content

    def copy_into(self, target: memoryview) -> None:
        half = len(target) // 2
        target[:half] = self.content[:half]
        target[half:] = self.content[half:]

    def is_unchanged(self) -> bool:
        return True


def capture_of(step: int, size: int = 3000) -> Capture:
    """Other bytes at each step, in the tree as well as in the tensors."""
    return Capture({"step": step, "words": f"of step {step}"}, {"w": Filled(bytes([step % 251]) * size)})


def files_of(step: int, size: int = 3000) -> dict[str, bytes]:
    capture = capture_of(step, size)
    return {TENSORS: b"".join(format_file(capture.blocks)), STATE: format_json(capture.tree)}


@dataclass
class Rig:
    """A tier whose keeper holds its arena. Its first snapshot is of step 1, and so on."""

    keeper: Keeper = field(default_factory=Keeper)
    step: int = 0

    def __post_init__(self) -> None:
        settings = Settings(parse_schedule("auto"), 3, Path("/nowhere"), uses_memory=True)
        self.tier = MemoryTier(settings, self.keeper)  # type: ignore[arg-type]
        room, memory._TREE_ROOM = memory._TREE_ROOM, 0
        try:
            self.tier.take_snapshot(capture_of(0), 0, facts_of())
        finally:
            memory._TREE_ROOM = room
        assert self.tier._maker is not None
        self.tier._maker.join()
        self.tier.take_snapshot(capture_of(0), 0, facts_of())
        self.tier.take_answers()
        assert self.tier.is_held

    @property
    def arena(self) -> Arena:
        assert self.tier._arena is not None
        return self.tier._arena

    def take(self) -> int | None:
        """A snapshot of the next step: its generation."""
        self.step += 1
        return self.tier.take_snapshot(capture_of(self.step), self.step, facts_of())

    def commit(self, generation: int) -> None:
        self.tier.ask_commit(generation, None, is_urgent=False)

    def close(self) -> None:
        self.arena.close()

    def answer(self, generation: int) -> None:
        self.keeper.has_committed(generation)
        self.tier.take_answers()


# Stores ----------------------------------------------------------------------------------------------------------


def watch_stores(arena: Arena, act: Callable[[], object], see: Callable[[bytes, bytes], None]) -> None:
    """Calls `see` with the memory before and after each store of `act`."""
    before = bytes(arena._view)

    def trace(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        nonlocal before
        if frame.f_code.co_filename not in _TRACED:
            return None
        frame.f_trace_opcodes = True
        now = bytes(arena._view)
        if now != before:
            see(before, now)
            before = now
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(former)
    assert bytes(arena._view) == before, "a store was made where nobody looked"


def list_tears(before: bytes, after: bytes) -> Iterator[tuple[int, bytes]]:
    """What one store may leave in the memory: a place, and the bytes from there on that differ from `before`."""
    begin = _count_equal(before, after)
    end = len(before) - _count_equal(before[::-1], after[::-1])
    old, new = before[begin:end], after[begin:end]
    for cut in range(0, len(new) + 1, 1 if len(new) < _MANY else len(new) // 50):
        yield begin, new[:cut] + old[cut:]
        yield begin, old[:cut] + new[cut:]
    different = [at for at in range(len(new)) if old[at] != new[at]]
    if len(different) <= _FEW:
        for taken in itertools.product((False, True), repeat=len(different)):
            mixed = bytearray(old)
            for at in itertools.compress(different, taken):
                mixed[at] = new[at]
            yield begin, bytes(mixed)
    yield begin, new


def _count_equal(one: bytes, other: bytes) -> int:
    """Of the first bytes."""
    low, high = 0, len(one)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


# What must hold --------------------------------------------------------------------------------------------------


@dataclass
class Reader:
    """Looks at states of the memory as the keeper's writer would, through the real reader."""

    slot_size: int

    def __post_init__(self) -> None:
        made = create_arena(self.slot_size)
        self._memory = mmap.mmap(made.descriptor, os.fstat(made.descriptor).st_size)
        self._arena = Arena(made.descriptor, is_writer=False)

    def close(self) -> None:
        self._arena.close()

    def show(self, begin: int, content: bytes) -> None:
        self._memory[begin : begin + len(content)] = content

    def find_newest(self) -> int | None:
        """The generation of the newest, once it was seen to be whole; -1 if it is not."""
        return self._judge(self._arena.find_newest())

    def find(self, generation: int) -> int | None:
        return self._judge(self._arena.find(generation))

    def _judge(self, found: tuple[int, Snapshot] | None) -> int | None:
        if found is None:
            return None
        slot, snapshot = found
        images = self._arena.images(slot, snapshot)
        files = {name: bytes(image.memory[: image.length]) for name, image in images.items()}
        return snapshot.generation if files == files_of(snapshot.step) else -1


def find_torn_snapshots() -> Iterator[str]:
    """Everything that is wrong in any state of the memory over a life of a tier, in words."""
    with closing(Rig()) as rig, closing(Reader(rig.arena.slot_size)) as reader:
        yield from _live(rig, reader)


def _live(rig: Rig, reader: Reader) -> Iterator[str]:
    under_way: set[int] = set()
    complaints: list[str] = []
    states = 0

    def see(before: bytes, after: bytes) -> None:
        nonlocal states
        reader.show(0, before)
        for begin, content in list_tears(before, after):
            states += 1
            reader.show(begin, content)
            complaints.extend(_complain(reader, newest, under_way))

    for doing in (*"tttt", "c", *"ttt", "a", *"tt", "c", "t", "c", "n", "a", "a", *"ttt"):
        newest = rig.tier._generation
        if doing == "c":
            rig.commit(newest)
            under_way.add(newest)
        elif doing == "a":
            rig.answer(min(under_way))
            under_way.remove(min(under_way))
        else:
            watch_stores(rig.arena, rig.take, see)
            if (rig.tier._generation == newest) != (doing == "n"):
                yield f"a snapshot was {'not ' if doing == 't' else ''}taken"
        yield from dict.fromkeys(complaints)
        complaints.clear()
    if states < _MANY:
        yield f"only {states} states were seen"


def _complain(reader: Reader, newest: int, under_way: set[int]) -> Iterator[str]:
    """`newest`: the generation that is complete; the next one is being taken."""
    found = reader.find_newest()
    if found not in ({None, 1} if newest == 0 else {newest, newest + 1, *under_way}):
        yield f"generation {found} is the newest while {newest + 1} is taken"
    if found is not None and found < newest and newest not in under_way and found not in under_way:
        yield f"generation {found} is the newest, and {newest} is gone"
    for generation in under_way:
        if reader.find(generation) != generation:
            yield f"generation {generation} is touched while it is committed"


# Real kills ------------------------------------------------------------------------------------------------------


def kill_at_each_store() -> None:
    """For a process of its own: forks one that dies right after its n-th store, for each n, and tells what is found."""
    number, is_over = 0, False
    while not is_over:
        number += 1
        rig = Rig()
        for _ in range(2):
            rig.take()
        child = os.fork()
        if child == 0:
            _die_after_store(rig, number)
        is_over = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL
        reader = Reader(rig.arena.slot_size)
        reader.show(0, bytes(rig.arena._view))
        sys.stdout.write(json.dumps(reader.find_newest()) + "\n")


def _die_after_store(rig: Rig, number: int) -> None:
    count = 0

    def see(before: bytes, after: bytes) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        watch_stores(rig.arena, rig.take, see)
    finally:
        os._exit(0)
