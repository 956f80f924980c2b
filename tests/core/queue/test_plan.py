"""The rules of the queue: never over capacity, the order respected, nobody delayed by those behind, and each wait says
what for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from perdured.core.queue.amounts import NOTHING, UNLIMITED, Amounts
from perdured.core.queue.demand import Demand, Dependency, Moment, Standing
from perdured.core.queue.machine import ENDLESS, Machine
from perdured.core.queue.plan import choose_places, make_plan
from perdured.core.queue.turn import GO, GroupFull, Lacks, MakesRoom, Turn
from perdured.core.queue.words import say_obstacle

NOW = 1000.0
MACHINE = Machine(UNLIMITED._replace(cpus=8, memory=64 << 30))


def demand(id: str, cpus: int = 1, standing: Standing = "ready", **changes: Any) -> Demand:
    usual = Demand(id, "gpt", Amounts(1, cpus), standing)
    return usual._replace(**changes)


def plan(*demands: Demand, machine: Machine = MACHINE) -> dict[str, Turn]:
    return make_plan(demands, machine, NOW).turns


def started(*demands: Demand, machine: Machine = MACHINE) -> list[str]:
    """The ids of those who are told to go, in the order of the alphabet."""
    turns = plan(*demands, machine=machine)
    return sorted(each.id for each in demands if turns[each.id].kind == "go" and not each.has_place)


def why(turn: Turn) -> str:
    assert turn.obstacle is not None
    return say_obstacle(turn.obstacle)


# The order ------------------------------------------------------------------------------------------------------------


def test_what_fits_starts() -> None:
    assert started(demand("a", 4), demand("b", 4), demand("c", 1)) == ["a", "b"]


def test_the_older_goes_first() -> None:
    assert started(demand("a", 5, submitted_at=2.0), demand("b", 5, submitted_at=1.0)) == ["b"]


def test_a_higher_priority_goes_before_an_older_job() -> None:
    assert started(demand("a", 5, submitted_at=1.0), demand("b", 5, submitted_at=2.0, priority=1)) == ["b"]


def test_of_two_that_came_at_once_always_the_same_goes_first() -> None:
    assert started(demand("b", 5), demand("a", 5)) == started(demand("a", 5), demand("b", 5)) == ["a"]


def test_what_is_on_its_way_out_still_has_its_place() -> None:
    assert started(demand("a", 8, "leaves"), demand("b", 1)) == []


# Passing --------------------------------------------------------------------------------------------------------------


def test_a_small_job_does_not_take_what_a_big_one_ahead_of_it_waits_for() -> None:
    assert started(demand("a", 5, "holds"), demand("b", 8), demand("c", 1)) == []


def test_a_job_passes_with_what_those_ahead_do_not_ask_for() -> None:
    other = demand("c", 0, asks=Amounts(1, 0, 1 << 30))
    assert started(demand("a", 5, "holds"), demand("b", 8), other) == ["c"]


def test_a_job_passes_beside_the_whole_of_every_claim_ahead() -> None:
    big = demand("b", 0, asks=Amounts(1, 2, 64 << 30))
    running = demand("a", 0, "holds", asks=Amounts(1, 0, 1 << 30))
    assert started(running, big, demand("c", 6), demand("d", 1)) == ["c"]


def test_what_is_too_large_for_the_machine_keeps_nothing_from_others() -> None:
    turns = plan(demand("a", 9), demand("b", 8))
    assert turns["b"] == GO
    assert why(turns["a"]) == "needs 9 CPUs, and there is no more than 8 CPUs for all jobs together"


def test_a_job_that_waits_for_storage_keeps_nothing_from_others() -> None:
    held = demand("a", 8, "held", priority=9)
    assert started(held, demand("b", 1)) == ["b"]
    assert started(held) == ["a"]


# Stepping aside ------------------------------------------------------------------------------------------------------


def stepping_aside(*demands: Demand, machine: Machine = MACHINE) -> list[str]:
    turns = plan(*demands, machine=machine)
    return sorted(each.id for each in demands if turns[each.id].kind == "aside")


def test_who_has_the_higher_priority_takes_the_place_of_one_with_a_lower() -> None:
    turns = plan(demand("a", 8, "holds"), demand("b", 4, priority=1))
    assert (turns["a"].kind, turns["b"].kind) == ("aside", "wait")
    assert why(turns["a"]) == "job b (gpt), of priority 1, needs its place"
    assert why(turns["b"]) == "needs 4 CPUs, 0 free; job a (gpt) will make room"


def test_nobody_steps_aside_for_the_same_priority_however_old() -> None:
    assert stepping_aside(demand("a", 8, "holds", submitted_at=9.0), demand("b", 8)) == []


def test_the_lowest_priority_goes_first_and_of_these_the_youngest() -> None:
    holders = demand("a", 4, "holds", priority=1), demand("b", 2, "holds"), demand("c", 2, "holds", submitted_at=1.0)
    assert stepping_aside(*holders, demand("d", 2, priority=2)) == ["c"]
    assert stepping_aside(*holders, demand("d", 4, priority=2)) == ["b", "c"]
    assert stepping_aside(*holders, demand("d", 5, priority=2)) == ["a", "c"]


def test_no_more_step_aside_than_are_needed() -> None:
    """First the small one is chosen, and then not needed beside the large one."""
    holders = demand("a", 6, "holds"), demand("b", 2, "holds", submitted_at=1.0)
    assert stepping_aside(*holders, demand("c", 6, priority=1)) == ["a"]


def test_nobody_steps_aside_in_vain() -> None:
    holders = demand("a", 4, "holds", priority=2), demand("b", 4, "holds")
    assert stepping_aside(*holders, demand("c", 8, priority=1)) == []


def test_nobody_more_steps_aside_while_those_who_leave_will_have_left_enough() -> None:
    assert stepping_aside(demand("a", 4, "leaves"), demand("b", 4, "holds"), demand("c", 4, priority=1)) == []
    assert stepping_aside(demand("a", 4, "leaves"), demand("b", 4, "holds"), demand("c", 5, priority=1)) == ["b"]


def test_what_is_left_for_one_is_not_promised_to_another() -> None:
    rivals = demand("c", 4, priority=1), demand("d", 4, priority=1, submitted_at=1.0)
    assert stepping_aside(demand("a", 4, "leaves"), demand("b", 4, "holds"), *rivals) == ["b"]


def test_who_steps_aside_keeps_its_rank_before_those_of_a_lower() -> None:
    leaving = demand("a", 6, "yields", priority=1)
    assert started(leaving, demand("b", 6, priority=2), demand("c", 2)) == []


def test_who_stepped_aside_does_not_get_the_place_before_the_one_it_was_for() -> None:
    assert started(demand("a", 8), demand("b", 4, priority=1), demand("x", 5, "leaves")) == []
    assert started(demand("a", 8), demand("b", 4, priority=1)) == ["b"]


# Groups, times and what comes after what ------------------------------------------------------------------------------


def test_of_a_group_only_so_many_run_at_once() -> None:
    members = [demand(id, 1, group="sweep", parallel=2) for id in "abcd"]
    assert started(*members) == ["a", "b"]
    assert started(members[0]._replace(standing="holds"), *members[1:]) == ["b"]
    assert why(plan(*members)["c"]) == "its group sweep may have no more than 2 at once"
    assert started(*members, demand("e", 1, group="other", parallel=2)) == ["a", "b", "e"]


def test_a_member_that_waits_for_room_is_not_passed_by_one_that_would_take_its_place_in_the_group() -> None:
    running = demand("a", 7, "holds")
    assert started(running, demand("b", 4, group="g", parallel=1), demand("c", 0, group="g", parallel=1)) == []


def test_a_full_group_keeps_nothing_from_others() -> None:
    members = [demand(id, 4, group="g", parallel=1) for id in "ab"]
    assert started(*members, demand("c", 4)) == ["a", "c"]


def test_nobody_steps_aside_for_want_of_a_place_in_a_group() -> None:
    assert stepping_aside(demand("a", 1, "holds", group="g"), demand("b", 1, group="g", parallel=1, priority=1)) == []


def test_of_a_paused_group_nothing_starts_and_what_runs_steps_aside() -> None:
    machine = MACHINE._replace(paused=frozenset({"g"}))
    turns = plan(demand("a", 8, "holds", group="g"), demand("b", 1, group="g"), demand("c", 8), machine=machine)
    assert [turns[id].kind for id in "abc"] == ["aside", "wait", "wait"]
    assert why(turns["a"]) == why(turns["b"]) == "its group g is paused"
    assert why(turns["c"]) == "needs 8 CPUs, 0 free; job a (gpt) will make room"
    assert started(demand("a", 8, group="g"), demand("c", 8), machine=machine) == ["c"]


def test_before_its_time_a_job_keeps_nothing_from_others_and_the_plan_says_when_to_look() -> None:
    later = demand("a", 8, not_before=Moment(NOW + 60, "22:00"))
    latest = demand("b", 8, not_before=Moment(NOW + 90, "22:30"))
    past = demand("c", 8, not_before=Moment(NOW, "21:59"))
    found = make_plan([later, latest, past], MACHINE, NOW)
    assert [found.turns[id].kind for id in "abc"] == ["wait", "wait", "go"]
    assert why(found.turns["a"]) == "not before 22:00"
    assert found.look_at == NOW + 60
    assert make_plan([later, past], MACHINE, NOW + 60).turns["a"] == GO
    assert make_plan([past], MACHINE, NOW).look_at is None


def test_a_job_that_comes_after_another_waits_for_its_success_and_says_what_became_of_it() -> None:
    running, failed = Dependency("x (prepare)", "running"), Dependency("y (fetch)", "failed")
    turns = plan(demand("a", 8, unmet=(running, failed)), demand("b", 8, unmet=(failed,)), demand("c", 8))
    assert why(turns["a"]) == "comes after job x (prepare), which is running, and 1 more"
    assert why(turns["b"]) == "comes after job y (fetch), which failed: resume that one, or stop this"
    assert turns["c"] == GO


# Reasons --------------------------------------------------------------------------------------------------------------


def test_a_wait_says_what_is_needed_what_is_free_and_who_is_ahead() -> None:
    turns = plan(demand("a", 6, "holds"), demand("b", 4), demand("c", 8))
    assert why(turns["b"]) == "needs 4 CPUs, 2 free"
    assert why(turns["c"]) == "needs 8 CPUs, 2 free; behind job b (gpt)"
    assert (turns["b"].position, turns["c"].position) == (1, 2)


def test_a_wait_says_that_what_is_free_is_kept() -> None:
    turns = plan(demand("a", 6, "holds"), demand("b", 4), demand("c", 1))
    assert why(turns["c"]) == "needs 1 CPU, 2 free, but kept for those ahead; behind job b (gpt)"


def test_a_wait_names_all_that_is_lacking() -> None:
    asks = Amounts(1, 4, 60 << 30)
    turns = plan(demand("a", 6, "holds", asks=Amounts(1, 6, 32 << 30)), demand("b", asks=asks))
    assert why(turns["b"]) == "needs 4 CPUs and 60 GiB of memory, 2 CPUs and 32 GiB of memory free"


def test_a_wait_for_one_of_the_limited_places_says_so() -> None:
    turns = plan(demand("a", 0, "holds"), demand("b", 0), machine=Machine(UNLIMITED._replace(jobs=1)))
    assert why(turns["b"]) == "every place for a job is taken"


def test_where_nothing_is_limited_everything_starts_at_once() -> None:
    assert started(*(demand(str(n), 99) for n in range(9)), machine=ENDLESS) == [str(n) for n in range(9)]


# What holds for every queue -------------------------------------------------------------------------------------------


amounts = st.builds(Amounts, st.just(1), st.integers(0, 9), st.integers(0, 9), st.just(0))
demands = st.builds(
    Demand,
    st.uuids().map(lambda uuid: uuid.hex[:8]),
    st.just("gpt"),
    amounts,
    st.sampled_from(("ready", "ready", "ready", "held", "holds", "holds", "yields", "leaves")),
    st.integers(-1, 1),
    st.integers(0, 3).map(float),
    st.sampled_from((None, None, "open", "shut")),
    st.sampled_from((None, 1, 2)),
    st.sampled_from((None, None, Moment(NOW - 1, "before"), Moment(NOW + 1, "later"))),
    st.sampled_from(((), (), (), (Dependency("x (prepare)", "running"),))),
)
queues = st.lists(demands, max_size=12, unique_by=lambda each: each.id)
machines = st.builds(
    Machine,
    st.builds(
        Amounts, st.one_of(st.just(float("inf")), st.integers(1, 5)), st.integers(1, 12), st.just(12), st.just(0)
    ),
    st.sampled_from((frozenset(), frozenset({"shut"}))),
)


def _total(demands: Sequence[Demand]) -> Amounts:
    total = NOTHING
    for each in demands:
        total = total.plus(each.asks)
    return total


def _rank(demand: Demand) -> tuple[bool, int, float, str]:
    return demand.standing == "held", -demand.priority, demand.submitted_at, demand.id


@given(queues, machines)
def test_nothing_starts_over_capacity(queue: list[Demand], machine: Machine) -> None:
    turns = make_plan(queue, machine, NOW).turns
    placed = [each for each in queue if each.has_place]
    going = [each for each in queue if turns[each.id].kind == "go" and not each.has_place]
    room = machine.has.minus(_total(placed))
    for count in range(1, len(going) + 1):  # in whichever order they come to start
        assert room.has_room_for(_total(going[:count])) or not going


@given(queues, machines)
def test_every_job_has_a_turn_and_every_wait_a_reason(queue: list[Demand], machine: Machine) -> None:
    turns = make_plan(queue, machine, NOW).turns
    assert set(turns) == {each.id for each in queue}
    for turn in turns.values():
        assert (turn.kind == "go") == (turn.obstacle is None)
        assert turn.obstacle is None or say_obstacle(turn.obstacle)


@given(queues, machines, st.randoms(use_true_random=False))
def test_the_plan_is_the_same_however_the_jobs_are_given(queue: list[Demand], machine: Machine, random: Any) -> None:
    shuffled = queue[:]
    random.shuffle(shuffled)
    assert make_plan(shuffled, machine, NOW).turns == make_plan(queue, machine, NOW).turns


@given(queues, machines)
def test_those_who_come_later_change_nothing_for_those_ahead(queue: list[Demand], machine: Machine) -> None:
    """Nor do they take anything that one ahead waits for: without them it would lack just as much."""
    turns, placed = make_plan(queue, machine, NOW).turns, [each for each in queue if each.has_place]
    order = sorted((each for each in queue if not each.has_place), key=_rank)
    for count, each in enumerate(order, 1):
        ahead = make_plan([*placed, *order[:count]], machine, NOW).turns
        assert ahead[each.id] == turns[each.id]
    going = [each for each in order if turns[each.id].kind == "go"]
    for count, each in enumerate(order):
        if each.standing == "ready" and isinstance(turns[each.id].obstacle, Lacks):
            before = machine.has.minus(_total([*placed, *(one for one in order[:count] if one in going)]))
            after = machine.has.minus(_total([*placed, *going]))
            assert _lack(each.asks, after) == _lack(each.asks, before), each


def _lack(asks: Amounts, free: Amounts) -> list[float]:
    return [max(need - max(have, 0), 0) for need, have in zip(asks, free, strict=True)]


@given(queues, machines)
def test_who_steps_aside_does_so_for_a_higher_priority(queue: list[Demand], machine: Machine) -> None:
    turns, named = make_plan(queue, machine, NOW).turns, {each.id: each for each in queue}
    for id, turn in turns.items():
        if isinstance(turn.obstacle, MakesRoom):
            assert named[id].standing == "holds"
            assert named[id].priority < turn.obstacle.successor.priority


@given(amounts, amounts, st.lists(demands, max_size=8))
def test_places_are_chosen_where_they_are_enough_and_none_that_is_not_needed(
    asks: Amounts, coming: Amounts, holders: list[Demand]
) -> None:
    chosen = choose_places(asks, coming, holders)
    assert (chosen is not None) == coming.plus(_total(holders)).has_room_for(asks)
    if chosen is not None:
        assert coming.plus(_total(chosen)).has_room_for(asks)
        for each in chosen:
            assert not coming.plus(_total([other for other in chosen if other is not each])).has_room_for(asks)


@given(queues, machines)
def test_when_all_have_left_who_should_the_job_that_it_was_for_starts(queue: list[Demand], machine: Machine) -> None:
    """And who stepped aside for it does not take its place back. Whoever leaves a full group may let one in that ranks
    ahead."""
    turns = make_plan(queue, machine, NOW).turns
    successors = {turn.obstacle.successor.id for turn in turns.values() if isinstance(turn.obstacle, MakesRoom)}
    after = [
        each._replace(standing="ready") if turns[each.id].kind == "aside" or each.standing == "yields" else each
        for each in queue
        if each.standing != "leaves"
    ]
    later = make_plan(after, machine, NOW).turns
    if not any(isinstance(turn.obstacle, GroupFull) for turn in turns.values()):
        assert {id for id in successors if later[id] != GO} == set()
    placed = [each._replace(standing="holds") if each.id in successors else each for each in after]
    stepped = {(id, turn.obstacle.successor.id) for id, turn in turns.items() if isinstance(turn.obstacle, MakesRoom)}
    for id, turn in make_plan(placed, machine, NOW).turns.items():
        if isinstance(turn.obstacle, MakesRoom):
            assert (turn.obstacle.successor.id, id) not in stepped


class Drain:
    """A machine on which attempts end one after the other while new jobs keep coming."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.waiting: list[Demand] = []
        self.running: list[Demand] = []
        self.order: list[str] = []

    def submit(self, demand: Demand) -> None:
        self.waiting.append(demand)

    def step(self) -> None:
        """The one that has run longest ends, and whose turn it is starts."""
        if self.running:
            self.running.pop(0)
        turns = make_plan([*self.waiting, *self.running], self.machine, NOW).turns
        for each in [each for each in self.waiting if turns[each.id].kind == "go"]:
            self.waiting.remove(each)
            self.running.append(each._replace(standing="holds"))
            self.order.append(each.id)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=12), st.integers(0, 11))
def test_a_big_job_is_not_starved_by_small_ones_that_keep_coming(sizes: list[int], at: int) -> None:
    """Once as many attempts have ended as were running or ahead when it came, it runs."""
    drain = Drain(MACHINE)
    at = min(at, len(sizes) - 1)
    for number, cpus in enumerate(sizes):
        drain.submit(demand(f"{number:04d}", 8 if number == at else cpus, submitted_at=float(number)))
        drain.step()
    for number in range(len(sizes), len(sizes) + 40):
        drain.submit(demand(f"{number:04d}", 1, submitted_at=float(number)))
        drain.step()
    assert f"{at:04d}" in drain.order
    later = drain.order[: drain.order.index(f"{at:04d}")]
    assert all(int(id) < at for id in later), "nothing that came later may pass where it needs the same"


def test_a_demand_says_whether_it_has_a_place() -> None:
    assert [each for each in get_args(Standing) if demand("a", 1, each).has_place] == ["holds", "yields", "leaves"]
