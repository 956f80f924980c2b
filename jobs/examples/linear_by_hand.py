"""Linear regression, saved and resumed as PyTorch users write it by hand. This script knows nothing of Perdure.

    python linear_by_hand.py                             from the start
    python linear_by_hand.py --resume checkpoint.pth     on from a checkpoint
    perdure run linear_by_hand.toml                      supervised, the script unchanged

Under Perdure the spec names the file (`pattern`) and how this script is told to resume (`resume_args`); the rest is
the script's own. What it cannot have by hand is in linear.py: here a crash in the middle of `torch.save` leaves half
a file where the only checkpoint was.
"""

import argparse
import time

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=100)
parser.add_argument("--pause", type=float, default=0.0, help="seconds to wait after each epoch, to be interrupted in")
parser.add_argument("--path", default="checkpoint.pth")
parser.add_argument("--resume", metavar="PATH", help="go on from this checkpoint")
args = parser.parse_args()

# The data: y = X w + noise, the same in each run.
torch.manual_seed(0)
inputs = torch.randn(256, 10)
targets = inputs @ torch.arange(1.0, 11.0).unsqueeze(1) + 0.1 * torch.randn(256, 1)

model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
criterion = nn.MSELoss()
first_epoch = 0

if args.resume:
    optimizer.zero_grad()  # no gradient from before the load may reach the first step after it
    checkpoint = torch.load(args.resume, map_location="cpu", weights_only=True)
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
    torch.save(
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
