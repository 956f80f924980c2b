"""Makes steps, notes the time of each, and then hangs; or makes slow steps now and then, and ends well.

python job_hang.py STAMPS WAY SECONDS STEPS     WAY: sleep, spin, slow
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import perdure

stamps, way, seconds, steps = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])


def read_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def hang() -> None:
    while way == "spin":
        pass
    while True:
        time.sleep(3600)


with perdure.Run(data=range(steps), every="1000 steps") as run:
    for number in run.batches(range(steps)):
        is_slow = way == "slow" and number % 50 == 49
        time.sleep(0.9 * max(10 * seconds, 10.0) if is_slow else seconds * (0.8 + 0.4 * (number % 5) / 4))
        run.report(total=steps)
        stamps.write_text(f"{os.getpid()} {read_clock()}\n")
        if way != "slow" and number == steps - 2:
            hang()
