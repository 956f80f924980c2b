"""What a job asks of the machine follows from its spec and its record alone."""

from __future__ import annotations

import pytest

from perdured.core.queue.amounts import Amounts
from perdured.core.queue.standing import read_demand
from perdured.core.queue.turn import ASIDE
from perdured.core.record import Parked, Phase, Running, Saving, Waiting, Wish
from support.jobs import NOW, PHASES, make_record, make_spec


def standing(phase: Phase, wish: Wish = "run") -> str | None:
    demand = read_demand(make_spec(), make_record(phase, wish=wish), {})
    return demand.standing if demand is not None else None


def test_every_phase_has_a_standing() -> None:
    assert {kind: standing(phase) for kind, phase in PHASES.items()} == {
        "queued": "ready",
        "starting": "holds",
        "running": "holds",
        "saving": "holds",
        "waiting": "ready",
        "parked": None,
        "parked_in_place": "holds",
        "stopped": None,
        "succeeded": None,
        "failed": None,
    }


def test_what_waits_for_storage_is_held_and_what_steps_aside_yields() -> None:
    assert standing(Waiting(until=NOW, probes=True)) == "held"
    assert standing(Saving(attempt=1, why=ASIDE, asked_at=NOW)) == "yields"
    assert standing(Parked(stepped_aside=True)) == "ready"


@pytest.mark.parametrize("wish", ["stop", "park", "remove"])
def test_who_was_asked_to_end_leaves_and_does_not_wait_any_more(wish: Wish) -> None:
    assert standing(Running(attempt=1), wish) == "leaves"
    assert standing(PHASES["queued"], wish) is None


def test_the_demand_is_what_the_spec_asks_for() -> None:
    spec = make_spec(
        'priority = 3\ngroup = "g"\nparallel = 2\nat = 2026-11-25T22:00:00+01:00\n'
        '[resources]\ncpus = 4\nmemory = "1GiB"'
    )
    demand = read_demand(spec, make_record(), {})
    assert demand is not None
    assert (demand.asks, demand.priority, demand.group, demand.parallel) == (Amounts(1, 4, 1 << 30), 3, "g", 2)
    assert demand.not_before is not None
    assert demand.not_before == (1795640400.0, "2026-11-25 22:00:00+01:00")


def test_jobs_of_one_name_are_a_group_where_only_so_many_may_run() -> None:
    demand = read_demand(make_spec("parallel = 2"), make_record(), {})
    assert demand is not None
    assert demand.group == "gpt"


def test_a_job_comes_after_all_that_have_not_succeeded() -> None:
    spec = make_spec('after = ["done", "broken", "forgotten"]')
    known = {
        "done": make_record(PHASES["succeeded"], id="done"),
        "broken": make_record(PHASES["failed"], id="broken", name="prepare"),
    }
    demand = read_demand(spec, make_record(PHASES["queued"]), known)
    assert demand is not None
    assert demand.unmet == (("broken (prepare)", "failed"),)
