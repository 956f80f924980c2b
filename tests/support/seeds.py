"""Random tests that can be repeated."""

from __future__ import annotations

import os
import random
import sys


def make_random() -> random.Random:
    """A new seed each time, shown with a failure; `TEST_SEED=…` repeats one."""
    seed = int(os.environ.get("TEST_SEED", random.randrange(1 << 32)))
    sys.stdout.write(f"TEST_SEED={seed}\n")
    return random.Random(seed)
