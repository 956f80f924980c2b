"""Linear regression as in linear_by_hand.py, with `perdure.save` and `perdure.load` in place of torch's.

    python linear.py               from the start, or on from the newest checkpoint that is whole
    perdure run linear.toml        supervised

Two calls have changed, and with them: a save is complete and durable or it did not happen, what is loaded was
verified first, a damaged checkpoint is put aside and the one before is used, and nothing is unpickled but tensors.
"""

import argparse
import time

import torch
from torch import nn

import perdure

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--pause", type=float, default=0.0, help="seconds to wait after each epoch, to be interrupted in")
parser.add_argument("--path", default="checkpoints/linear/checkpoint.pth")
args = parser.parse_args()

# The data: y = X w + noise, the same in each run.
torch.manual_seed(0)
inputs = torch.randn(256, 10)
targets = inputs @ torch.arange(1.0, 11.0).unsqueeze(1) + 0.1 * torch.randn(256, 1)

model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
criterion = nn.MSELoss()
first_epoch = 0

checkpoint = perdure.load(args.path, map_location="cpu", default=None)
if checkpoint is not None:
    optimizer.zero_grad()  # no gradient from before the load may reach the first step after it
    model.load_state_dict(checkpoint["model_state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    first_epoch = checkpoint["epoch"] + 1
    print(f"resumed after epoch {checkpoint['epoch']}, loss {checkpoint['loss']:.6f}", flush=True)

model.train()
for epoch in range(first_epoch, args.epochs):
    optimizer.zero_grad()
    loss = criterion(model(inputs), targets)
    loss.backward()
    optimizer.step()
    perdure.save(
        {
            "epoch": epoch,
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "loss": loss.item(),
        },
        args.path,
    )
    print(f"epoch {epoch}: loss {loss.item():.6f}", flush=True)
    time.sleep(args.pause)
