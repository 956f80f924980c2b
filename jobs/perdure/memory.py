"""The memory tier, seen from the training process: snapshots of the state, in an arena that the keeper holds as well.

A snapshot is one copy of the state into memory that was made and touched beforehand: the cost of a memory copy, where a
save costs the writing of a file. The keeper commits a snapshot to the disk when it is asked to, while training goes on;
and the last one when this process has died without a word. `arena` has the rules of the slots.

A life of a tier, each step of it without waiting:

    new → making      the arena is allocated by a thread: touching all of it takes as long as twenty copies
        → offered     the keeper has been sent the memory
        → held        the keeper holds it: snapshots are taken
    any → off         no keeper, no room, or refused: all is saved straight to the disk, as without a memory tier
    held → new        the state is not laid out as before (a layer was added, an optimizer made its state)

How often: so that the copies take one hundredth of the time at most; with `every = "auto"` less often where that is
enough, see `pacer`. A state with a loss that is not finite is not copied: the last healthy one is worth more.
"""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from perdure.channel import Channel
from perdure.codec import format_json
from perdure.errors import tell
from perdure.recall import measure_memory
from perdure.safetensors_file import Layout, copy_file, plan_file
from perdure.settings import Settings
from perdure.state import STATE, TENSORS, Capture
from perdured.contract import messages
from perdured.contract.checkpoint.arena import SLOTS, Arena, Part, Snapshot, create_arena, measure_arena
from perdured.contract.checkpoint.gather import round_up
from perdured.contract.checkpoint.manifest import Facts
from perdured.contract.headroom import observe_headroom

SHARE = 100
"""A snapshot that took t is followed by the next after 100 t at the earliest: one per cent of the time."""
_SPARE = 0.8
"""Of the memory that is free, how much may be taken: training itself goes on growing."""
_TREE_ROOM = 64 << 10
"""Bytes for the state tree to grow, beyond twice what it has: positions and random states change their length."""


class Answer(NamedTuple):
    """Of the keeper, to a commit. `path` None: it was not committed, and `why`."""

    generation: int
    path: str | None
    why: str
    seconds: float | None = None
    """That writing it took."""


class MemoryTier:
    def __init__(self, settings: Settings, channel: Channel) -> None:
        self._settings = settings
        self._channel = channel
        self._arena: Arena | None = None
        self._error = ""
        self._layout: Layout | None = None
        self._maker: threading.Thread | None = None
        self._state = "new" if settings.uses_memory and channel.is_open else "off"
        self._generation = 0
        self._slots: dict[int, int] = {}
        """The slots that hold a complete snapshot, with its generation."""
        self._under_way: set[int] = set()
        """Generations of which a commit was asked for, and no answer has come."""
        self._took = self._last = 0.0

    @property
    def is_held(self) -> bool:
        return self._state == "held"

    def is_under_way(self, generation: int) -> bool:
        """Whether the keeper has yet to answer."""
        return generation in self._under_way

    def is_due(self) -> bool:
        """Whether the next snapshot would be no burden; also whether there is something to do to get there."""
        return self._state != "off" and time.monotonic() - self._last >= SHARE * self._took

    # Snapshots -------------------------------------------------------------------------------------------------------

    def take_snapshot(self, capture: Capture, step: int, facts: Facts) -> int | None:
        """Copies the state. Returns its generation; None if there is no arena for it (yet)."""
        return self._take(capture, step, facts) if self._advance(capture) else None

    def note_cost(self, began: float) -> None:
        """A snapshot, with all that led to it, has taken the time since then."""
        self._last = time.monotonic()
        self._took = self._last - began

    def _take(self, capture: Capture, step: int, facts: Facts) -> int | None:
        arena, layout, slot = self._arena, self._layout, self._choose_slot()
        assert arena is not None
        assert layout is not None
        tree = format_json(capture.tree)
        begin = round_up(layout.length)
        if slot is None or begin + round_up(len(tree)) > arena.slot_size:
            return None
        parts = (Part(TENSORS, 0, layout.length), Part(STATE, begin, len(tree)))
        self._slots.pop(slot, None)
        arena.begin(slot)
        memory = arena.slot(slot)
        copy_file(layout, capture.blocks, memory)
        memory[begin : begin + len(tree)] = tree
        self._generation += 1
        arena.finish(slot, Snapshot(self._generation, step, parts, facts))
        self._slots[slot] = self._generation
        return self._generation

    def _choose_slot(self) -> int | None:
        """Not one that is being committed; of the others, the one with the older snapshot."""
        free = [slot for slot in range(SLOTS) if self._slots.get(slot) not in self._under_way]
        return min(free, key=lambda slot: self._slots.get(slot, 0), default=None)

    # Commits ---------------------------------------------------------------------------------------------------------

    def ask_commit(
        self, generation: int, protect: str | None, *, is_urgent: bool, deadline: float | None = None
    ) -> None:
        self._under_way.add(generation)
        message = {"type": messages.COMMIT, "generation": generation, "protect": protect, "urgent": is_urgent}
        self._channel.send(message if deadline is None else message | {"deadline": deadline})

    def take_answers(self) -> list[Answer]:
        """What the keeper has answered since the last call. A keeper that has gone has answered no to all."""
        answers: list[Answer] = []
        for message in self._channel.take_answers():
            if message["type"] in (messages.COMMITTED, messages.NOT_COMMITTED):
                answers.append(_parse_answer(message))
            else:
                self._hear_of_arena(message)
        if not self._channel.is_open:
            answers += [Answer(generation, None, "the keeper has gone") for generation in self._under_way]
            self._let_go("off")
        self._under_way -= {answer.generation for answer in answers}
        return answers

    def wait_for_answers(self) -> list[Answer]:
        """The same, after waiting for one."""
        self._channel.wait()
        return self.take_answers()

    # The arena -------------------------------------------------------------------------------------------------------

    def _advance(self, capture: Capture) -> bool:
        """Whether a snapshot can be taken; if not, does what is next on the way there."""
        if self._state == "held" and not self._fits(capture):
            self._begin_anew()
        if self._state == "new":
            self._make(capture)
        elif self._state == "making" and self._maker is not None and not self._maker.is_alive():
            self._offer()
        return self._state == "held"

    def _hear_of_arena(self, message: dict[str, object]) -> None:
        if message["type"] == messages.MEMORY_REFUSED:
            self._give_up(f"the keeper does not hold it: {message.get('why')}")
        elif self._state == "offered":
            self._state = "held"

    def _fits(self, capture: Capture) -> bool:
        return self._layout is not None and self._layout.fits(capture.blocks)

    def _begin_anew(self) -> None:
        self._channel.send({"type": messages.RELEASE})
        self._let_go("new")

    def _let_go(self, state: str) -> None:
        """Closed, or the memory would be taken for as long as this process lives."""
        if self._arena is not None:
            self._arena.close()
        self._arena, self._state = None, state
        self._slots.clear()

    def _make(self, capture: Capture) -> None:
        self._layout = plan_file(capture.blocks)
        slot_size = round_up(self._layout.length) + round_up(2 * len(format_json(capture.tree)) + _TREE_ROOM)
        needed, free = measure_arena(slot_size), observe_headroom()
        # What the former attempt has left is given back in a moment.
        if free is not None and needed > _SPARE * (free + measure_memory()):
            self._give_up(f"two copies of it need {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free")
            return
        self._state = "making"
        self._maker = threading.Thread(target=self._allocate, args=(slot_size,), name="perdure-arena", daemon=True)
        self._maker.start()

    def _allocate(self, slot_size: int) -> None:
        try:
            self._arena = create_arena(slot_size)
        except (OSError, ValueError) as error:
            self._error = str(error)

    def _offer(self) -> None:
        if self._arena is None:
            self._give_up(f"the memory for two copies of it cannot be had: {self._error}")
            return
        self._state = "offered"
        message = {"type": messages.MEMORY, "root": str(self._settings.root), "keep": self._settings.keep}
        self._channel.send_descriptor(message, self._arena.descriptor)

    def _give_up(self, why: str) -> None:
        self._let_go("off")
        tell(
            "the state is not kept in memory between two checkpoints",
            why,
            "Saving goes straight to the disk; `memory = false` in the spec's [checkpoint] says that this is meant.",
        )


def _parse_answer(message: dict[str, object]) -> Answer:
    generation, path, seconds = message.get("generation"), message.get("path"), message.get("seconds")
    return Answer(
        generation if isinstance(generation, int) else 0,
        path if isinstance(path, str) else None,
        str(message.get("why", "")),
        seconds if isinstance(seconds, float) else None,
    )
