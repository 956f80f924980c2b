"""A classifier of handwritten digits: batch norm has buffers and dropout has random numbers, and both must survive.

    python digits.py                   alone: saves as it goes, goes on when started again
    perdure run digits.toml            supervised

Batch norm's running mean and variance are no parameters: a checkpoint of parameters alone brings back a model that
looks right and classifies wrongly. The data are the 1,797 images of 8 x 8 pixels that come with scikit-learn.
"""

import argparse
import os

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import perdure

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
add = parser.add_argument
add("--epochs", type=int, default=15)
add("--channels", type=int, default=16)
add("--dropout", type=float, default=0.3)
add("--batch", type=int, default=64)
add("--lr", type=float, default=0.05)
add("--workers", type=int, default=0, help="processes that load data")
add("--threads", type=int, default=1, help="keep the same for the same bits")
add("--every", default=None, help='between checkpoints: "50 steps", "10min"')
add("--dir", default=os.environ.get("PERDURE_CHECKPOINT_DIR", "checkpoints/digits"), help="of the checkpoints")
add("--out", default=None, help="write the final weights to this file")


def make_model(channels: int, dropout: float) -> nn.Sequential:
    """Images (B, 1, 8, 8) -> logits (B, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * channels),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(2 * channels * 2 * 2, 10),
    )


def load_data() -> tuple[TensorDataset, tuple[Tensor, Tensor]]:
    """The training set, and the images (360, 1, 8, 8) in 0..1 and labels (360,) of every fifth digit for the test."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    is_test = torch.arange(len(labels)) % 5 == 0
    return TensorDataset(images[~is_test], labels[~is_test]), (images[is_test], labels[is_test])


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    return (model(images).argmax(-1) == labels).float().mean().item()


def main() -> None:
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)

    training, test = load_data()
    loader = DataLoader(training, batch_size=args.batch, shuffle=True, num_workers=args.workers)
    total = args.epochs * len(loader)
    model = make_model(args.channels, args.dropout)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True)

    with perdure.Run(model=model, optimizer=optimizer, data=loader, every=args.every, dir=args.dir) as run:
        if run.resumed_from_step is not None:
            print(f"resumed at step {run.resumed_from_step}, in epoch {run.epoch}", flush=True)
        for epoch in run.epochs(args.epochs):
            for images, labels in run.batches(loader):
                model.train()
                optimizer.zero_grad()
                loss = cross_entropy(model(images), labels)
                loss.backward()
                optimizer.step()
                run.report(loss=loss.item(), total=total)
            print(f"epoch {epoch}: accuracy {accuracy(model, *test):.3f}", flush=True)

    if args.out:
        torch.save(model.state_dict(), args.out)
    print(f"done: accuracy {accuracy(model, *test):.3f}", flush=True)


if __name__ == "__main__":
    main()
