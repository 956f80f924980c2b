"""One drill, from its checks to its end."""

from __future__ import annotations

import time
from typing import NamedTuple

from perdured.client import Client
from perdured.core.drill import Kind, Moment, Phases, find_faults, follow, is_over, list_reached
from perdured.core.units import human_duration
from perdured.errors import WrongState
from perdured.wire import Job

from .sight import Sight
from .strikes import STRIKES, Strike, Tell

_LOOK_EVERY = 0.05
"""Seconds: how exact the times are."""


class Outcome(NamedTuple):
    before: Moment
    phases: Phases
    last: Moment
    notes: tuple[str, ...]
    faults: tuple[str, ...]
    """What did not go as it must; none: it was passed."""


def check_ready(job: Job) -> None:
    """A drill begins with a job that trains: raises WrongState for any other."""
    if job["state"] != "running" or job["step"] is None:
        why = f"It is {job['state']}: {job['reason']}."
        if job["state"] == "running":
            why = "It has told no step yet, so nobody could see when it trains again."
        raise WrongState(f"Job {job['id']} is not ready for a drill.", why, "Wait until it trains, and try again.")


def play(client: Client, ref: str, kind: Kind, timeout: float, tell: Tell) -> Outcome:
    """Raises WrongState where nothing was done."""
    sight = Sight(client, ref)
    strike = STRIKES[kind](client, sight, tell)
    strike.check()
    strike.before = sight.begin()
    check_ready(sight.job)
    try:
        strike.begin()
        _watch(kind, strike, timeout)
        faults = find_faults(kind, strike.before, strike.phases, strike.now)
    finally:
        strike.now = sight.look()
        strike.end()
    return Outcome(strike.before, strike.phases, strike.now, tuple(strike.notes), (*faults, *strike.faults))


def _watch(kind: Kind, strike: Strike, timeout: float) -> None:
    while True:
        now = strike.now = strike.sight.look(has_room=strike.has_room)
        earlier, strike.phases = strike.phases, follow(kind, strike.before, strike.phases, now)
        for words in list_reached(kind, earlier, strike.phases):
            strike.tell(f"{human_duration(now.at):>8}  {words}")
        if is_over(kind, strike.phases, now) or now.at >= timeout:
            return
        strike.react()
        time.sleep(_LOOK_EVERY)
