"""Stories of a whole daemon: drawn ones, those in which a rule was once broken, and daemons that break one on purpose.

A failure prints the shortest story that fails, and how to run it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from perdured.core.decision import Decision
from perdured.core.observation import Lost, Observation, Unverifiable
from perdured.core.queue.turn import GO
from perdured.supervise import loop
from perdured.supervise.loop import Loop
from perdured.supervise.observe import observe
from perdured.supervise.queue import Queue
from support.whole_daemon import NO_STANDBY, WholeDaemon
from support.world import Script

FEW = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
MANY = settings(FEW, max_examples=3000, stateful_step_count=60)
ENDLESS = Script(total=10**6, on_stop="ignores")


def test_whatever_happens_the_daemon_keeps_its_word() -> None:
    run_state_machine_as_test(WholeDaemon, settings=FEW)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_whatever_happens_in_thousands_of_stories_the_daemon_keeps_its_word() -> None:
    run_state_machine_as_test(WholeDaemon, settings=MANY)


# Stories in which a rule was broken --------------------------------------------------------------------------------


@pytest.fixture
def story() -> Iterator[WholeDaemon]:
    """At its end all is healed, and everything must have come to rest where it should."""
    story = WholeDaemon()
    story.begin()
    yield story
    story.teardown()


def test_a_daemon_that_starts_without_room_for_its_registry_takes_up_what_was_parked_once_there_is(
    story: WholeDaemon,
) -> None:
    """It did not start at all, and nothing supervised what ran."""
    parked, running = story.put(NO_STANDBY, []), story.put(NO_STANDBY, [])
    story.wish(parked, "park")
    story.machine.pass_time(5.0)
    story.machine.kill_daemon()
    story.machine.is_registry_full = True
    story.start_daemon()
    assert story.machine.service.show(running).state == "running"
    assert story.machine.service.show(parked).state == "parked"
    story.machine.is_registry_full = False
    story.machine.pass_time(loop.AFTER_ERROR)
    assert story.machine.service.show(parked).state == "running"


def test_a_job_is_not_forgotten_while_one_that_comes_after_it_may_still_be_resumed(story: WholeDaemon) -> None:
    """It was, and the other started though the first had never succeeded."""
    first = story.put(NO_STANDBY, [ENDLESS])
    second = story.put(f'after = ["{first}"]\n{NO_STANDBY}', [])
    story.wish(second, "stop")
    story.wish(first, "remove")
    story.machine.pass_time(400.0)
    story.wish(second, "resume")
    assert story.machine.service.show(second).state == "queued"
    story.wish(first, "stop")


def test_a_job_that_comes_after_one_that_is_being_removed_is_not_accepted(story: WholeDaemon) -> None:
    """It was, and started when the first was gone, which had never succeeded."""
    first = story.put(NO_STANDBY, [ENDLESS])
    story.machine.pass_time(5.0)
    story.wish(first, "remove")
    second = story.put(f'after = ["{first}"]\n{NO_STANDBY}', [])
    assert story.models[second].wish == "remove"


# Daemons that break a rule -----------------------------------------------------------------------------------------


async def act_before_it_is_recorded(loop: Loop, job: Any, decision: Decision) -> None:
    for action in decision.actions:
        await loop._effects.perform(job, action)
    if decision.record != job.record or decision.events:
        loop._save(job, decision.record, decision.events)


def take_unknown_for_dead(look: Callable[..., Observation]) -> Callable[..., Observation]:
    def changed(*arguments: Any) -> Observation:
        seen = look(*arguments)
        is_unknown = isinstance(seen.attempt, Unverifiable)
        return seen.model_copy(update={"attempt": Lost(pid=1, is_clean=True)}) if is_unknown else seen

    return changed


BROKEN = {
    "it acts before it records": (Loop, "_carry_out", act_before_it_is_recorded),
    "it gives every job its turn at once": (Queue, "take_turn", lambda queue, job: GO),
    "it takes what it cannot see for dead": (loop, "observe", take_unknown_for_dead(observe)),
    "it forgets what it was asked": (Loop, "wish", lambda *_: None),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_daemon_that_breaks_a_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the stories would prove less than they seem to."""
    owner, attribute, broken = BROKEN[name]
    monkeypatch.setattr(owner, attribute, broken)
    search = settings(MANY, phases=[Phase.generate], derandomize=True, database=None, report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(WholeDaemon, settings=search)
