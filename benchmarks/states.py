"""A state as a training has it, for the benchmarks that save one; and what makes a peer's file durable."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from perdured.contract.durable import fsync_directory

WIDTH = 2048
LAYER_BYTES = WIDTH * WIDTH * 4 * 3
"""About: weights and AdamW's two moments, float32."""


def make_state(layers: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """float32 weights, and AdamW's two moments of each, after one update."""
    model, optimizer = make_model(layers)
    model(torch.randn(1, WIDTH)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def make_model(layers: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """As a process has them that has just started."""
    model = torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH) for _ in range(layers)))
    return model, torch.optim.AdamW(model.parameters(), lr=1e-4)


def collect_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    moments = {f"{i}.{k}": t for i, s in optimizer.state_dict()["state"].items() for k, t in s.items()}
    return {**model.state_dict(), **moments}


def sync(path: Path) -> None:
    """The fsync of the file and of its directory that its writer left out."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    fsync_directory(path.parent)
