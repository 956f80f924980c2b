"""A tiny model: loads its checkpoint, makes one optimizer step, notes when, saves, and waits.

    python job_torch.py STAMPS

The same script for everybody: `perdure.save` and `perdure.load` need no Perdure around them.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import torch

import perdure

model = torch.nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
state = perdure.load("checkpoint.pth", default=None)
if state is not None:
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
step = state["step"] if state is not None else 0

model(torch.randn(8, 10)).square().mean().backward()
optimizer.step()
done_at = time.clock_gettime(time.CLOCK_BOOTTIME)

perdure.save({"step": step + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, "checkpoint.pth")
with Path(sys.argv[1]).open("a") as stamps:
    stamps.write(f"{os.getpid()} {done_at}\n")
time.sleep(3600)
