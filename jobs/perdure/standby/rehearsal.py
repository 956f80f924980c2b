"""A throw-away step of a tiny model: much of torch is imported, registered and allocated at its first use.

No trace of it is left: random numbers are as before, and it is too small to start a thread. Where a GPU may be there,
nothing is done that would look for it, neither the backward pass nor the optimizer's step: that would open the driver,
and a program that forks could not use the GPU in its children any more.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg", "/dev/dri")


def rehearse(torch: Any) -> None:
    state = torch.get_rng_state()
    try:
        _make_step(torch, may_look=not may_have_a_gpu(torch))
    finally:
        torch.set_rng_state(state)


def may_have_a_gpu(torch: Any) -> bool:
    is_built_for_one = any(getattr(torch.version, kind, None) for kind in ("cuda", "hip", "xpu"))
    return is_built_for_one and any(os.path.exists(path) for path in _DEVICES)


def _make_step(torch: Any, *, may_look: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 4))
    optimizers = (torch.optim.AdamW(model.parameters()), torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    loss = torch.nn.functional.mse_loss(model(torch.ones(2, 4)), torch.zeros(2, 4))
    if may_look:
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


if __name__ == "perdure_rehearsal":
    rehearse(sys.modules["torch"])
