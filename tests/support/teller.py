"""A job that tells what it does as `perdure.Run` does, without torch and without a checkpoint: each attempt begins at
step 0.

    teller.py DIE_AT STEPS      the first attempt dies after DIE_AT steps; a later one ends after STEPS
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from perdured.contract import environment, messages
from perdured.contract.sockets import connect_unix

PAUSE = 0.02
"""Seconds: to load, and for each step."""

channel = connect_unix(os.environ[environment.CHANNEL], timeout=5)


def send(**message: object) -> None:
    channel.sendall(json.dumps({**message, "at": time.monotonic()}).encode() + b"\n")


is_first = os.environ[environment.ATTEMPT] == "1"
send(type=messages.HELLO, role=messages.ROLE_JOB, version=messages.VERSION)
send(type=messages.STACKS, signal=int(signal.SIGRTMIN + 9))
time.sleep(PAUSE)
for step in range(1, int(sys.argv[1 if is_first else 2]) + 1):
    time.sleep(PAUSE)
    send(type=messages.PROGRESS, step=step)
if is_first:
    os.kill(os.getpid(), signal.SIGKILL)
