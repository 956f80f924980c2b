"""A training without torch that goes on until it is told to stop: for tests of what others ask of it."""

from __future__ import annotations

_SCRIPT = """
import time
import perdure

class Counter:
    value = 0
    def state_dict(self): return {"value": self.value}
    def load_state_dict(self, state): self.value = state["value"]

counter = Counter()
with perdure.Run(counter=counter, every="EVERY") as run:
    while True:
        counter.value += 1
        run.report()
        time.sleep(0.01)
"""


def format_endless(every: str) -> str:
    """The script; it saves by itself as often as `every` says."""
    return _SCRIPT.replace("EVERY", every)
