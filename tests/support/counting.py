"""What scripts of tests train: things that need no torch, and show at once when a step was lost or made twice."""

from __future__ import annotations

COUNT = """
import time
import perdure

class Count:
    total = 0
    def state_dict(self):
        return {"total": self.total}
    def load_state_dict(self, state):
        self.total = state["total"]

count = Count()
"""
WALK = """
import random, sys, time
import perdure

class Walk:
    place = 0.0
    def state_dict(self): return {"place": self.place}
    def load_state_dict(self, state): self.place = state["place"]

random.seed(1)
walk = Walk()
"""


def format_counting(options: str) -> str:
    """A script that counts its steps, for as long as it is let, with these options of its Run."""
    return f"""{COUNT}
with perdure.Run(count=count, {options}) as run:
    for _ in run.batches(range(1_000_000)):
        count.total += 1
        time.sleep(0.01)
        run.report()
        assert count.total == run.step
"""
