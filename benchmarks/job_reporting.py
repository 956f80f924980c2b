"""A job that reports its progress once a second, from the moment that a file is there.

python -I -S job_reporting.py FILE
"""

from __future__ import annotations

import os
import sys
import time

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(root, "daemon"), os.path.join(root, "jobs")]

from perdure.channel import open_channel  # noqa: E402

channel = open_channel()
step = 0
while True:
    time.sleep(1.0)
    if os.path.exists(sys.argv[1]):
        step += 1
        channel.send({"type": "progress", "step": step, "loss": 1.0 / step, "total": 100_000})
