"""What one job does, and what happens to it: the plots whose every fault point is walked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perdured.core.ends.cause import Cause
from perdured.core.record import Wish
from support.jobs import EVIDENCE
from support.world import Script, World

Break = Callable[[World], None]
CRASH = Script(ends_after=1)
"""Before the first checkpoint."""
CRASH_LATER = Script(ends_after=3)
FULL = Script(ends_after=3, prints=tuple(EVIDENCE[Cause.DISK_FULL][0].splitlines()))
TYPO = Script(ends_after=1, prints=tuple(EVIDENCE[Cause.EXCEPTION][0].splitlines()))
DEAF = Script(on_stop="ignores", total=99)
SLOPPY = Script(on_stop="exits")
"""It exits with 0 on SIGTERM and has saved nothing."""
MESSY = Script(leaves_children=True)


@dataclass(frozen=True)
class Scenario:
    """What the job does, and what happens to it: (at which step of the job, or at "rest", what)."""

    scripts: tuple[Script, ...] = ()
    plan: tuple[tuple[int | str, Wish | Break], ...] = ()
    ends: str = "succeeded"
    status: int | None = 0

    def find_next(self, done: int, world: World) -> Wish | Break | None:
        """What the plan has after so much of it, if its time has come."""
        if done == len(self.plan):
            return None
        when, what = self.plan[done]
        step = max((attempt.step for attempt in world.attempts.values() if attempt.leader_lives), default=-1)
        is_due = step >= when if isinstance(when, int) else world.record is not None and world.record.is_resting
        return what if is_due else None


SCENARIOS = {
    "it trains to its end": Scenario(),
    "it crashes twice on the way": Scenario((CRASH_LATER, Script(ends_after=2))),
    "it crashes too often": Scenario((CRASH,) * 5, ends="failed", status=1),
    "its newest checkpoint is bad": Scenario((Script(ends_after=3, saves_every=1), *(Script(dies_with=3),) * 2)),
    "all its checkpoints are bad": Scenario((CRASH_LATER, *(Script(dies_with=2),) * 2), ends="failed", status=125),
    "its disk is full for a while": Scenario((FULL, FULL, CRASH_LATER)),
    "it fails in the same way twice": Scenario((TYPO, TYPO), ends="failed", status=1),
    "it asks to be run again": Scenario((Script(ends_after=2, code=75), Script(ends_after=1, code=75))),
    "it says that it cannot succeed": Scenario((Script(ends_after=3, code=78),), ends="failed", status=78),
    "it is stopped": Scenario(plan=((3, "stop"),), ends="stopped", status=75),
    "it is stopped before it has saved": Scenario((SLOPPY,), ((1, "stop"),), "stopped", 143),
    "it is stopped and ignores it": Scenario((DEAF,), ((3, "stop"),), "stopped", 75),
    "it is stopped and resumed": Scenario(plan=((3, "stop"), ("rest", "restart"))),
    "it is restarted": Scenario(plan=((3, "restart"),)),
    "it is removed while it runs": Scenario(plan=((3, "remove"),), ends="removed", status=None),
    "it is removed at its end": Scenario(plan=(("rest", "remove"),), ends="removed", status=None),
    "its process is killed": Scenario(plan=((3, World.kill_leader),)),
    "its keeper is killed": Scenario(plan=((3, World.kill_keeper),)),
    "its keeper is killed and children stay": Scenario((MESSY,), ((3, World.kill_keeper),)),
    "its keeper is killed at the worst moment": Scenario((MESSY,), ((3, World.kill_keeper_at_the_end),)),
    "its keeper is killed and it is stopped": Scenario((), ((2, World.kill_keeper), (3, "stop")), "stopped", 75),
    "its keeper is killed and it ignores a stop": Scenario(
        (DEAF,), ((2, World.kill_keeper), (3, "stop")), "stopped", 75
    ),
    "the machine is restarted": Scenario(plan=((3, World.reboot),)),
    "the machine is shut down": Scenario(plan=((3, World.terminate_keeper),)),
    "the machine is shut down and it exits with 0": Scenario((SLOPPY,), ((3, World.terminate_keeper),)),
}
