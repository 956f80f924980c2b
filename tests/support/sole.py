"""A job without torch that notices when it is not alone: `sole.py FOLDER`, one folder for all that must never meet.

It holds a lock of its own there for as long as it lives, so that the kernel, and no clock, says whether two lives
overlapped. Each life is a line in `lives.txt`; each that began beside another also one in `doubled.txt`.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

from perdured.contract import environment, exits

folder = Path(sys.argv[1])
told_to_stop: list[bool] = []
signal.signal(signal.SIGTERM, lambda *_: told_to_stop.append(True))
life = f"job {os.environ[environment.JOB_ID]} attempt {os.environ[environment.ATTEMPT]} pid {os.getpid()}"


def write(name: str, line: str) -> None:
    with (folder / name).open("a") as file:
        file.write(f"{line}\n")


witness = os.open(folder / "witness", os.O_RDWR | os.O_CREAT, 0o600)
write("lives.txt", life)
try:
    fcntl.flock(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    write("doubled.txt", f"{life} beside {os.pread(witness, 200, 0).decode()}")
    sys.exit(exits.PERMANENT)
os.ftruncate(witness, 0)
os.pwrite(witness, life.encode(), 0)
while not told_to_stop:
    signal.pause()
sys.exit(exits.RUN_AGAIN)
