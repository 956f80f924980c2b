"""What the notices that stand mean for a state directory: the fence, and what their windows teach."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdured.core.notices.notice import Notice
from perdured.keeper.identity import read_boot_id
from perdured.state.fence import Fence, load_fence, load_windows, save_fence
from perdured.state.paths import StateDir
from perdured.supervise import foresight
from perdured.supervise.foresight import Foresight
from support import notices
from support.disk_jobs import make_job
from support.jobs import NOW


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def make_notice(left: float = 120.0, **more: Any) -> Notice:
    return notices.make_notice(left, boot_id=read_boot_id(), **more)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path)


def serve(state: StateDir, talk: Callable[[Foresight, Clock], None]) -> int:
    """One life of the daemon; how often it woke the jobs."""
    woken: list[None] = []

    async def live() -> None:
        clock = Clock()
        seen = Foresight(state, clock, lambda: woken.append(None))
        try:
            talk(seen, clock)
        finally:
            await seen.close()

    asyncio.run(live())
    return len(woken)


def test_a_notice_puts_up_a_fence_on_the_disk_and_its_withdrawal_takes_it_down(state: StateDir) -> None:
    def talk(seen: Foresight, clock: Clock) -> None:
        assert seen.find_fence() is None
        seen.take([make_notice()])
        written = load_fence(state)
        assert written is not None
        assert (written.boot_id, [notice.id for notice in written.notices]) == (read_boot_id(), ["aws-1"])
        assert seen.find_fence() is not None
        seen.take([])
        assert (seen.find_fence(), load_fence(state)) == (None, None)

    assert serve(state, talk) == 2


def test_what_ends_nothing_puts_up_no_fence(state: StateDir) -> None:
    def talk(seen: Foresight, clock: Clock) -> None:
        seen.take([make_notice(follows="pause")])
        assert (seen.find_fence(), load_fence(state)) == (None, None)

    serve(state, talk)


def test_a_fence_holds_over_the_death_of_the_daemon_until_it_is_told_that_nothing_stands(state: StateDir) -> None:
    serve(state, lambda seen, clock: seen.take([make_notice()]))

    def later(seen: Foresight, clock: Clock) -> None:
        assert seen.find_fence() is not None
        assert seen.find_answer(make_job(Path("/")), None) is not None
        seen.take([])
        assert (seen.find_fence(), load_fence(state)) == (None, None)

    serve(state, later)


def test_a_fence_does_not_outlive_its_boot_and_tells_whether_the_window_was_kept(state: StateDir) -> None:
    for alive_for, share in ((30.0, 0.25), (119.0, 1.0)):
        old = notices.make_notice(120.0, boot_id="the boot before")
        save_fence(state, Fence(boot_id="the boot before", alive_at=NOW + alive_for, notices=(old,)))
        serve(state, lambda seen, clock: None)
        assert load_fence(state) is None
        assert load_windows(state)[-1].share == share


def test_a_window_that_broke_makes_the_next_answer_earlier_also_for_the_next_daemon(state: StateDir) -> None:
    def until(seen: Foresight, clock: Clock) -> None:
        seen.take([make_notice()])
        found = seen.find_answer(make_job(Path("/")), None)
        assert found is not None
        ends.append(found.until)

    ends: list[float] = []
    serve(state, until)
    save_fence(state, Fence(boot_id="the boot before", alive_at=NOW + 30, notices=(notices.make_notice(120.0),)))
    serve(state, until)
    assert (ends[0] - NOW, ends[1] - NOW) == (118.0, 28.0)


def test_a_deadline_that_passed_without_an_end_was_a_window_that_was_kept(state: StateDir) -> None:
    def talk(seen: Foresight, clock: Clock) -> None:
        seen.take([make_notice(120.0)])
        clock.now += 300.0
        seen.take([])
        assert [window.share for window in load_windows(state)] == [1.0]

    serve(state, talk)


def test_one_that_is_withdrawn_in_time_teaches_nothing(state: StateDir) -> None:
    def talk(seen: Foresight, clock: Clock) -> None:
        seen.take([make_notice(120.0)])
        seen.take([])
        assert load_windows(state) == ()

    serve(state, talk)


@pytest.mark.parametrize("text", ["", "{", '{"boot_id": 3}', "[]"])
def test_a_fence_that_cannot_be_understood_keeps_nobody_off(text: str, state: StateDir) -> None:
    state.fence.write_text(text)
    serve(state, lambda seen, clock: None)
    assert load_fence(state) is None


def test_a_disk_that_refuses_the_fence_is_no_reason_not_to_act(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(foresight, "save_fence", refuse)

    def talk(seen: Foresight, clock: Clock) -> None:
        seen.take([make_notice()])
        assert seen.find_fence() is not None

    assert serve(state, talk) == 1


def test_while_the_end_is_near_the_fence_says_again_and_again_that_the_machine_lives(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foresight, "ALIVE_EVERY", 0.01)

    async def live() -> None:
        clock = Clock()
        seen = Foresight(state, clock, lambda: None)
        seen.take([make_notice()])
        clock.now += 5.0
        for _ in range(1000):
            fence = load_fence(state)
            if fence is not None and fence.alive_at == NOW + 5.0:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("never written again")
        await seen.close()

    asyncio.run(live())
