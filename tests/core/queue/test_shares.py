"""The machine shared out among users: never more than there is, each in turn, and nobody starved."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from perdured.core.queue.amounts import NOTHING, UNLIMITED, Amounts
from perdured.core.queue.demand import Demand
from perdured.core.queue.machine import Machine, Share
from perdured.core.queue.plan import make_plan
from perdured.core.queue.shares import NO_SHARE, Party, Stand, decide_grants, hear_stand, make_stand

GPUS = ("a", "b", "c", "d")
MACHINE = Machine(UNLIMITED._replace(cpus=8), gpus=GPUS)
ADA, BEA = 1001, 1002


def want(cpus: int = 0, gpus: int = 0) -> Amounts:
    return Amounts(1, cpus, 0, gpus)


def share(cpus: int, *gpus: str) -> Share:
    return Share(want(cpus, len(gpus)), frozenset(gpus))


def test_who_asks_is_given_the_whole_of_it_with_gpus_that_nobody_has() -> None:
    parties = {ADA: Party(Stand(share(4, "a", "c"))), BEA: Party(Stand(wants=want(4, 2)))}
    assert decide_grants(MACHINE, parties) == {BEA: share(4, "b", "d")}


def test_what_is_on_its_way_counts_as_used() -> None:
    parties = {ADA: Party(Stand(wants=want(5)), coming=share(5)), BEA: Party(Stand(wants=want(5)))}
    assert decide_grants(MACHINE, parties) == {}


def test_a_later_one_passes_only_beside_what_those_ahead_claim() -> None:
    holder = Party(Stand(share(4)))
    first = Party(Stand(wants=want(8)), since=1.0)
    assert decide_grants(MACHINE, {0: holder, ADA: first, BEA: Party(Stand(wants=want(1)), since=2.0)}) == {}
    beside = Party(Stand(wants=want(0, 1)), since=2.0)
    assert decide_grants(MACHINE, {0: holder, ADA: first, BEA: beside}) == {BEA: share(0, "a")}


def test_who_asks_for_more_than_there_is_keeps_nothing_from_others() -> None:
    parties = {ADA: Party(Stand(wants=want(9)), since=1.0), BEA: Party(Stand(wants=want(8)), since=2.0)}
    assert set(decide_grants(MACHINE, parties)) == {BEA}


def test_after_a_grant_a_user_comes_behind_those_who_wait() -> None:
    asking = Party(Stand(wants=want(4)), since=1.0)
    granted = asking._replace(coming=share(4))
    again = hear_stand(granted, Stand(share(4), want(4)), now=5.0, has_seen_all=True)
    assert again == Party(Stand(share(4), want(4)), NO_SHARE, 5.0)
    waiting = Party(Stand(wants=want(4)), since=2.0)
    assert set(decide_grants(MACHINE, {ADA: again, BEA: waiting})) == {BEA}


def test_a_word_that_was_said_before_the_grant_was_heard_takes_nothing_back() -> None:
    granted = Party(Stand(wants=want(4)), share(4), since=1.0)
    assert hear_stand(granted, Stand(), now=5.0, has_seen_all=False).has == share(4)


def test_a_user_keeps_what_runs_and_what_may_start_and_asks_for_the_first_that_may_not() -> None:
    runs = Demand("r", "", want(2, 1), "holds", gpus=("a",))
    next_one = Demand("s", "", want(2, 1), "ready", submitted_at=1.0)
    waits = [Demand(name, "", want(2, 1), "ready", submitted_at=at) for name, at in (("t", 2.0), ("u", 3.0))]
    demands = [runs, next_one, *waits]
    turns = make_plan(demands, MACHINE._replace(share=share(5, "a", "b")._replace()), 0.0).turns
    assert make_stand(demands, turns) == Stand(share(4, "a", "b")._replace(amounts=Amounts(2, 4, 0, 2)), want(2, 1))


def test_own_jobs_step_aside_only_once_it_is_said_that_there_is_no_more() -> None:
    low = Demand("low", "", want(8), "holds")
    high = Demand("high", "", want(8), "ready", priority=1)
    ours = share(8)
    assert make_plan([low, high], MACHINE._replace(share=ours), 0.0).turns["low"].kind == "go"
    told = ours._replace(is_all_for_now=True)
    assert make_plan([low, high], MACHINE._replace(share=told), 0.0).turns["low"].kind == "aside"


# Any history ----------------------------------------------------------------------------------------------------------


@dataclass
class User:
    """A deputy, as little as there is to it: what was granted, what runs, and words under way in both directions."""

    demands: dict[str, Demand] = field(default_factory=dict)
    share: Share = NO_SHARE
    taken: int = 0
    to_root: deque[tuple[Stand, int]] = field(default_factory=deque)
    to_user: deque[Share] = field(default_factory=deque)
    granted: int = 0
    finished: int = 0

    def act(self) -> None:
        """Starts what may start, and says how it stands."""
        while True:
            turns = make_plan(self.demands.values(), MACHINE._replace(share=self.share), 0.0).turns
            ready = [id for id, turn in turns.items() if turn.kind == "go" and not self.demands[id].has_place]
            if not ready:
                break
            one = self.demands[ready[0]]
            self.demands[one.id] = one._replace(standing="holds", gpus=turns[one.id].gpus)
        stand = make_stand(self.demands.values(), turns)
        self.share = stand.keeps
        self.to_root.append((stand, self.taken))

    @property
    def running(self) -> list[Demand]:
        return [demand for demand in self.demands.values() if demand.has_place]


class Root:
    def __init__(self, users: dict[int, User]) -> None:
        self.users, self.now = users, 0.0
        self.parties = {uid: Party() for uid in users}

    def hear(self, uid: int) -> None:
        self.now += 1.0
        stand, seen = self.users[uid].to_root.popleft()
        seen_all = seen == self.users[uid].granted
        self.parties[uid] = hear_stand(self.parties[uid], stand, self.now, has_seen_all=seen_all)
        for other, grant in decide_grants(MACHINE, self.parties).items():
            self.parties[other] = self.parties[other]._replace(coming=grant)
            self.users[other].granted += 1
            self.users[other].to_user.append(grant)


def take(user: User) -> None:
    user.share, user.taken = user.share.plus(user.to_user.popleft()), user.taken + 1
    user.act()


def finish_one(user: User) -> None:
    done = user.running[0]
    del user.demands[done.id]
    user.finished += 1
    user.act()


def check(users: dict[int, User]) -> None:
    running = [demand for user in users.values() for demand in user.running]
    assert sum(each.asks.cpus for each in running) <= 8
    given = [gpu for each in running for gpu in each.gpus]
    assert len(given) == len(set(given)) == sum(each.asks.gpus for each in running)


@given(
    st.lists(st.tuples(st.sampled_from([0, ADA, BEA]), st.integers(0, 8), st.integers(0, 4)), min_size=1, max_size=25),
    st.integers(0, 1 << 30),
)
def test_whatever_comes_when_nothing_is_given_twice_and_every_job_gets_its_turn(
    jobs: list[tuple[int, int, int]], seed: int
) -> None:
    chance = random.Random(seed)
    users = {uid: User() for uid in (0, ADA, BEA)}
    root = Root(users)
    for number, (uid, cpus, gpus) in enumerate(jobs):
        demand = Demand(str(number), "", want(cpus, gpus), "ready", submitted_at=float(number))
        users[uid].demands[demand.id] = demand
        users[uid].act()
        for _ in range(chance.randrange(4)):
            disturb(root, users, chance)
    for _ in range(10_000):
        if not disturb(root, users, chance):
            break
    assert sum(user.finished for user in users.values()) == len(jobs)
    assert all(party.has.amounts == NOTHING for party in root.parties.values())


def disturb(root: Root, users: dict[int, User], chance: random.Random) -> bool:
    """One thing that may happen; False when nothing may."""
    acts: list[Callable[[], None]] = [partial(root.hear, uid) for uid, user in users.items() if user.to_root]
    acts += [partial(take, user) for user in users.values() if user.to_user]
    acts += [partial(finish_one, user) for user in users.values() if user.running]
    if not acts:
        return False
    chance.choice(acts)()
    check(users)
    return True
