"""A job of the kept state directories: it says what `perdure.Run` says, with nothing but Python's own library.

kept_job.py exits CODE STEPS | runs
"""

import json
import os
import signal
import socket
import sys
import time

channel = socket.socket(socket.AF_UNIX)
channel.connect(os.environ["PERDURE_CHANNEL"])
told_to_stop: list[bool] = []
signal.signal(signal.SIGTERM, lambda *_: told_to_stop.append(True))


def send(**message: object) -> None:
    channel.sendall(json.dumps(message).encode() + b"\n")


send(type="hello", role="job", version=1)
send(type="stacks", signal=43)
send(type="pace", save_every=200.0, snapshot_every=12.0, copy=0.1, write=1.3)
last = int(sys.argv[3]) if sys.argv[1] == "exits" else 10**9
for step in range(1, last + 1):
    time.sleep(0.01)
    send(type="progress", step=step, loss=1.0 / step, total=100, at=time.monotonic())
    if told_to_stop:
        sys.exit(75)
has_failed_before = os.environ["PERDURE_ATTEMPT"] != "1"
sys.exit(0 if has_failed_before else int(sys.argv[2]))
