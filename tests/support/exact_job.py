"""A training with everything that is hard to resume, for tests that compare it, bit by bit, with one left alone.

Dropout, batch norm, AdamW, schedules by step and by epoch, an average of the weights, shuffling, augmentation drawn
from three libraries in the dataset, code of its own around the loops, and evaluations that draw random numbers and
have safe points.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import perdure

parser = argparse.ArgumentParser()
parser.add_argument("--form", choices=["nested", "flat"], default="nested")
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--persistent", action="store_true")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--every", default="3 steps")
parser.add_argument("--pause", type=float, default=0.0, help="seconds in each step")
parser.add_argument("--out", required=True)
args = parser.parse_args()


class Noisy(Dataset[tuple[int, Tensor, Tensor]]):
    """Points with a number each; every look at one adds other noise."""

    def __init__(self, length: int) -> None:
        generator = torch.Generator().manual_seed(5)
        self.points = torch.randn(length, 6, generator=generator)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> tuple[int, Tensor, Tensor]:
        noise = torch.randn(6) * 0.1 + random.random() * 0.1 + float(np.random.normal()) * 0.1
        point = self.points[index]
        return index, point + noise, point.sum().reshape(1)


torch.manual_seed(1)
random.seed(1)
np.random.seed(1)
data = Noisy(52)
loader = DataLoader(
    data, batch_size=8, shuffle=True, num_workers=args.workers, persistent_workers=args.persistent and args.workers > 0
)
held_out = DataLoader(TensorDataset(torch.randn(12, 6)), batch_size=4, shuffle=True)
model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
average = torch.optim.swa_utils.AveragedModel(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
by_step = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
by_epoch = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.7)


def evaluate(run: perdure.Run) -> float:
    model.eval()
    total = 0.0
    for (points,) in held_out:
        total += model(points).abs().mean().item() + float(np.random.random()) * 1e-3
        time.sleep(args.pause / 4)
        run.safe_point()
    model.train()
    return total


def update(run: perdure.Run, batch: Any, scale: float) -> None:
    numbers, points, targets = batch
    optimizer.zero_grad()
    loss = ((model(points) - targets * scale) ** 2).mean()
    loss.backward()
    optimizer.step()
    by_step.step()
    average.update_parameters(model)
    time.sleep(args.pause)
    run.values["seen"].append(numbers.tolist())
    run.report(loss=loss, total=args.epochs * len(loader))
    if run.step % 4 == 0:
        evaluate(run)


def train_nested(run: perdure.Run) -> None:
    for epoch in run.epochs(args.epochs):
        scale = 1 + random.random() / 10
        for batch in run.batches(loader):
            update(run, batch, scale)
        by_epoch.step()
        run.values["scores"][epoch] = evaluate(run)
        run.safe_point()


def train_flat(run: perdure.Run) -> None:
    for batch in run.batches(loader, epochs=args.epochs):
        update(run, batch, 1.0)


with perdure.Run(
    model=model, average=average, optimizer=optimizer, by_step=by_step, by_epoch=by_epoch,
    data=loader, values={"seen": [], "scores": {}}, every=args.every,
) as run:  # fmt: skip
    {"nested": train_nested, "flat": train_flat}[args.form](run)

torch.save(
    {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "values": run.values,
        "step": run.step,
        "drawn": [random.random(), float(np.random.random()), torch.rand(2)],
    },
    args.out,
)
