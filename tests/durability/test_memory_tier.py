"""The training process's side of the memory tier, against a keeper that says what it is told to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from perdure import memory
from perdure.memory import Answer, MemoryTier
from perdure.schedule import parse_schedule
from perdure.settings import Settings
from perdure.state import Capture
from perdured.contract import messages
from support.arena_stores import Filled, Keeper, Rig, capture_of
from support.stores import facts_of

GONE = "the keeper has gone"


def _tier(keeper: Keeper, *, uses_memory: bool = True) -> MemoryTier:
    settings = Settings(parse_schedule("auto"), 3, Path("/nowhere"), uses_memory)
    return MemoryTier(settings, keeper)  # type: ignore[arg-type]


def _take(tier: MemoryTier, size: int = 3000) -> int | None:
    return tier.take_snapshot(capture_of(1, size), 1, facts_of())


def _join(tier: MemoryTier) -> None:
    assert tier._maker is not None
    tier._maker.join()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why the tier was given up, as the person at the output was told."""
    said: list[str] = []
    monkeypatch.setattr(memory, "tell", lambda what, why, todo: said.append(why))
    return said


# The way to an arena ---------------------------------------------------------------------------------------------


def test_one_step_after_the_other_and_none_of_them_waits() -> None:
    keeper = Keeper()
    tier = _tier(keeper)
    assert _take(tier) is None
    assert keeper.sent == []
    _join(tier)
    assert _take(tier) is None
    assert [message["type"] for message in keeper.sent] == [messages.MEMORY]
    assert (keeper.sent[0]["root"], keeper.sent[0]["keep"]) == ("/nowhere", 3)
    assert _take(tier) is None  # the keeper has not said yet that it holds it
    assert not tier.is_held
    assert tier.take_answers() == []
    assert tier.is_held
    assert _take(tier) == 1


def test_while_the_memory_is_made_nothing_else_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    tier = _tier(keeper := Keeper())
    made: list[int] = []

    def allocate(size: int) -> None:
        while not made:
            time.sleep(0.001)

    monkeypatch.setattr(tier, "_allocate", allocate)
    assert [_take(tier), _take(tier)] == [None, None]
    assert keeper.sent == []
    assert tier.is_due()  # it was not given up
    made.append(1)
    _join(tier)


@pytest.mark.parametrize("why", ["no keeper", "not wanted"])
def test_without_a_keeper_or_a_wish_there_is_none(why: str) -> None:
    keeper = Keeper()
    keeper.is_open = why != "no keeper"
    tier = _tier(keeper, uses_memory=why != "not wanted")
    assert _take(tier) is None
    assert (tier._maker, tier.is_due()) == (None, False)


def test_where_there_is_too_little_room_it_is_given_up_before_any_is_taken(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "observe_headroom", lambda: 1_000_000)
    tier = _tier(Keeper())
    assert _take(tier, size=410_000) is None
    assert ["1 MB are free" in why for why in told] == [True]
    assert (tier._maker, tier.is_due()) == (None, False)
    other = _tier(Keeper())
    assert _take(other, size=100_000) is None  # eight tenths of the room are enough for this one
    assert other._maker is not None


def test_where_nobody_says_how_much_room_there_is_it_is_tried(told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "observe_headroom", lambda: None)
    tier = _tier(Keeper())
    _take(tier)
    _join(tier)
    assert not told


@pytest.mark.parametrize("error", [OSError(12, "Cannot allocate memory"), ValueError("no")])
def test_memory_that_cannot_be_had_is_told(error: Exception, told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(size: int) -> None:
        raise error

    monkeypatch.setattr(memory, "create_arena", fail)
    tier = _tier(Keeper())
    _take(tier)
    _join(tier)
    assert _take(tier) is None
    assert [str(error) in why for why in told] == [True]
    assert not tier.is_due()


def test_a_refusal_is_told_with_its_reason(told: list[str]) -> None:
    rig = Rig()
    rig.keeper.answers.append({"type": messages.MEMORY_REFUSED, "why": "another has one"})
    assert rig.tier.take_answers() == []
    assert told == ["the keeper does not hold it: another has one"]
    assert rig.take() is None


def test_a_state_that_is_laid_out_anew_gets_an_arena_of_its_own() -> None:
    rig = Rig()
    rig.take()
    first = rig.arena
    assert _take(rig.tier, size=9000) is None
    assert rig.keeper.sent[-1] == {"type": messages.RELEASE}
    _join(rig.tier)
    assert _take(rig.tier, size=9000) is None
    rig.tier.take_answers()
    assert _take(rig.tier, size=9000) == 2  # generations go on: two of one number would be one too many
    assert rig.arena is not first
    found = rig.arena.find_newest()
    assert found is not None
    assert found[1].parts[0].length > 9000
    rig.close()


def test_an_answer_about_an_arena_that_is_not_offered_changes_nothing() -> None:
    tier = _tier(keeper := Keeper())
    keeper.answers.append({"type": messages.MEMORY_HELD})
    tier.take_answers()
    assert not tier.is_held


def test_a_tree_that_has_outgrown_its_room_is_no_snapshot_and_touches_none() -> None:
    rig = Rig()
    rig.take()
    before = bytes(rig.arena._view)
    capture = capture_of(2)
    capture.tree["words"] = "x" * rig.arena.slot_size
    assert rig.tier.take_snapshot(capture, 2, facts_of()) is None
    assert bytes(rig.arena._view) == before
    rig.close()


@pytest.mark.parametrize("why", ["the keeper has gone", "it was refused"])
def test_a_tier_that_is_given_up_gives_its_memory_back(why: str, told: list[str]) -> None:
    """Two copies of the state had stayed taken for as long as the process lived."""
    rig = Rig()
    descriptor = rig.arena.descriptor
    rig.keeper.is_open = why != "the keeper has gone"
    if rig.keeper.is_open:
        rig.keeper.answers.append({"type": messages.MEMORY_REFUSED, "why": why})
    rig.tier.take_answers()
    assert rig.take() is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_new_arena_is_free_though_commits_out_of_the_old_one_are_under_way() -> None:
    rig = Rig()
    for _ in range(2):
        generation = rig.take()
        assert generation is not None
        rig.commit(generation)
    _take(rig.tier, size=9000)
    _join(rig.tier)
    _take(rig.tier, size=9000)
    rig.tier.take_answers()
    assert _take(rig.tier, size=9000) == 3
    rig.close()


def test_after_a_copy_that_failed_the_only_complete_snapshot_is_not_the_next_to_go() -> None:
    """The newer one was being written over; so the other is the older, and all there is."""
    rig = Rig()
    assert rig.take() == 1
    rig.commit(1)
    assert rig.take() == 2
    with pytest.raises(ValueError, match="of the copy"):
        rig.tier.take_snapshot(Capture(capture_of(3).tree, {"w": _Failing(bytes(3000))}), 3, facts_of())
    rig.answer(1)
    assert [found is not None for found in map(rig.arena.find, (1, 2))] == [True, False]
    assert rig.take() == 3
    assert rig.arena.find(1) is not None
    rig.close()


class _Failing(Filled):
    def copy_into(self, target: memoryview) -> None:
        raise ValueError("of the copy")


# Commits ---------------------------------------------------------------------------------------------------------


def test_a_commit_is_asked_for_in_the_words_of_the_contract() -> None:
    rig = Rig()
    generation = rig.take()
    assert generation == 1
    rig.tier.ask_commit(1, "/a", is_urgent=True)
    assert rig.keeper.sent[-1] == {"type": messages.COMMIT, "generation": 1, "protect": "/a", "urgent": True}
    assert (rig.tier.is_under_way(1), rig.tier.is_under_way(2)) == (True, False)
    rig.keeper.has_committed(1)
    assert rig.tier.wait_for_answers() == [Answer(1, "/a", "")]
    assert rig.keeper.waits == 1
    assert not rig.tier.is_under_way(1)
    rig.close()


def test_a_refused_commit_is_answered_with_its_reason_and_the_slot_is_free_again() -> None:
    rig = Rig()
    for _ in range(2):
        generation = rig.take()
        assert generation is not None
        rig.commit(generation)
    assert rig.take() is None
    rig.keeper.answers.append({"type": messages.NOT_COMMITTED, "generation": 1, "why": "no room"})
    assert rig.tier.take_answers() == [Answer(1, None, "no room")]
    assert rig.take() == 3
    rig.close()


def test_an_answer_that_is_not_what_it_should_be_is_a_no_to_nobody() -> None:
    """A newer keeper's, perhaps."""
    rig = Rig()
    rig.take()
    rig.commit(1)
    rig.keeper.answers.append({"type": messages.COMMITTED, "generation": "1", "path": 7})
    assert rig.tier.take_answers() == [Answer(0, None, "")]
    assert rig.tier.is_under_way(1)
    rig.close()


def test_a_keeper_that_has_gone_has_answered_no_to_all() -> None:
    rig = Rig()
    for _ in range(2):
        generation = rig.take()
        assert generation is not None
        rig.commit(generation)
    rig.keeper.is_open = False
    assert sorted(rig.tier.take_answers()) == [Answer(1, None, GONE), Answer(2, None, GONE)]
    assert rig.tier.take_answers() == []
    assert not rig.tier.is_due()
    assert rig.take() is None


# How often -------------------------------------------------------------------------------------------------------


def test_snapshots_take_one_hundredth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(memory.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
    tier = _tier(Keeper())
    assert tier.is_due()
    now[0] += 2
    tier.note_cost(100.0)
    now[0] += 2 * memory.SHARE - 1
    assert not tier.is_due()
    now[0] += 1
    assert tier.is_due()
