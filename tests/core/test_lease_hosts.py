"""Two hosts, or three, with clocks that differ, held up at any point, with writes that are lost or come late: never two
of them hold a valid lease at one moment, and one that is gone is followed by another."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from perdured.core.lease import MARGIN
from support.hosts import LASTS, Chain, Clock, Contender, Fate

RATES = (0.95, 1.05)
CLOCKS = st.builds(Clock, st.floats(-1e6, 1e6), st.floats(*RATES))
EVENTS = 500


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**64))
def test_never_two_hosts_hold_a_valid_lease(seed: int) -> None:
    """The moments are drawn so that it is often close: a host is held up for about as long as a lease lasts."""
    random, chain = Random(seed), Chain()
    hosts = [Contender(name, chain, Clock(random.uniform(-1e6, 1e6), random.uniform(*RATES))) for name in "abc"]
    due = {host.name: random.uniform(0.0, LASTS) for host in hosts}
    for _ in range(EVENTS):
        host = min(hosts, key=lambda each: due[each.name])
        now = due[host.name]
        _live(host, now, random)
        if chain.in_flight and random.random() < 0.1:
            chain.write(chain.in_flight.pop(0))
        host.go_on(now, draw_fate(random))
        due[host.name] = now + draw_pause(host, random)
        holders = [each.name for each in hosts if each.holds(now)]
        assert len(holders) <= 1, f"{holders} at {now}"


def _live(host: Contender, now: float, random: Random) -> None:
    """It comes to want something else, or its daemon dies, or its machine."""
    draw = random.random()
    if draw < 0.03:
        host.aim = random.choices(("hold", "none", "free", "over"), (0.8, 0.05, 0.1, 0.05))[0]
    elif draw < 0.04:
        host.begin_anew()
    elif draw < 0.05 and not host.holds(now):
        host.begin_anew()
        host.boot += 1


def draw_fate(random: Random) -> Fate:
    return random.choices(("done", "lost", "late"), (0.94, 0.03, 0.03))[0]


def draw_pause(host: Contender, random: Random) -> float:
    if random.random() < 0.06:
        return random.uniform(0.8, 1.5) * LASTS
    return random.uniform(0.0, LASTS / 6 if host.work is None else 1.0)


@given(gone=st.floats(0.0, 1000.0), clocks=st.tuples(CLOCKS, CLOCKS))
def test_the_lease_of_a_host_that_is_gone_is_taken_by_another(gone: float, clocks: tuple[Clock, Clock]) -> None:
    """Whatever the clocks say; and not much later than it may be."""
    chain = Chain()
    first, second = (Contender(name, chain, clock) for name, clock in zip("ab", clocks, strict=True))
    now = 0.0
    while now < gone:
        exchange(first, now)
        exchange(second, now)
        assert first.holds(now)
        assert not second.holds(now)
        now += LASTS / 6
    until = now + LASTS * MARGIN * 1.1 + LASTS / 2
    while not second.holds(now):
        assert now < until
        exchange(second, now)
        now += LASTS / 6
    exchange(first, now)
    assert not first.holds(now)


def exchange(host: Contender, now: float) -> None:
    host.go_on(now)
    while host.work is not None:
        host.go_on(now)
