"""A job without torch for the tests: counts steps, commits each into the store by the real protocol, obeys SIGTERM.

    counter.py STEPS [--pause S] [--crash-at N] [--exit CODE] [--deaf] [--print] [--parks]

It crashes at step N only in the first attempt. Every step is appended to `steps.txt` in the workdir, so that a test
sees what was done, by whom, and from where each attempt went on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from perdured.contract import environment, exits, messages
from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.manifest import Facts
from perdured.contract.sockets import connect_unix

parser = argparse.ArgumentParser()
parser.add_argument("steps", type=int)
parser.add_argument("--pause", type=float, default=0.0)
parser.add_argument("--crash-at", type=int)
parser.add_argument("--exit", type=int, default=0)
parser.add_argument("--deaf", action="store_true", help="ignores SIGTERM")
parser.add_argument("--print", action="store_true", help="prints a line each step")
parser.add_argument("--parks", action="store_true", help="stands still when it is asked to")
options = parser.parse_args()

told_to_stop: list[bool] = []
signal.signal(signal.SIGTERM, signal.SIG_IGN if options.deaf else lambda *_: told_to_stop.append(True))

attempt = int(os.environ[environment.ATTEMPT])
root = Path(os.environ[environment.CHECKPOINT_DIR])
facts = Facts(job=os.environ[environment.JOB_ID], attempt=attempt, series="run", created_at=0.0)
channel = connect_unix(os.environ[environment.CHANNEL], timeout=5)


def send(**message: object) -> None:
    with contextlib.suppress(OSError):  # a dead keeper is no reason to stop
        channel.sendall(json.dumps(message).encode() + b"\n")


asked_to_park = threading.Event()


def hear() -> None:
    with channel.makefile() as lines:
        for line in lines:
            kind = json.loads(line)["type"]
            if kind == messages.PARK:
                asked_to_park.set()
            elif kind == messages.GO_ON:
                asked_to_park.clear()


def stand_still(step: int) -> None:
    while asked_to_park.is_set() and not told_to_stop:
        send(type=messages.PARKED, step=step, saved=True, at=time.monotonic())
        time.sleep(0.05)
    send(type=messages.GOING_ON, at=time.monotonic())


send(type=messages.HELLO, role=messages.ROLE_JOB, version=messages.VERSION)
if options.parks:
    channel.settimeout(None)
    threading.Thread(target=hear, daemon=True).start()
    send(type=messages.CAN_PARK)
step = int(os.environ.get(environment.RESUME_STEP, "0"))
resume_from = os.environ.get(environment.RESUME_FROM)
if resume_from is not None:
    assert json.loads(Path(resume_from, "count.json").read_text())["step"] == step
with Path("steps.txt").open("a") as log:
    print(f"attempt {attempt} from {step} pid {os.getpid()}", file=log, flush=True)
    while step < options.steps:
        step += 1
        print(step, file=log, flush=True)
        if options.print:
            print(f"step {step}", flush=True)  # noqa: T201
        if step == options.crash_at and attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        saved = commit_checkpoint(root, step, {"count.json": [json.dumps({"step": step}).encode()]}, facts)
        send(type=messages.PROGRESS, step=step, total=options.steps)
        send(type=messages.CHECKPOINT, step=step, path=str(saved.path))
        if asked_to_park.is_set():
            stand_still(step)
        if told_to_stop:
            sys.exit(exits.RUN_AGAIN)
        time.sleep(options.pause)
sys.exit(options.exit)
