"""A small training that prints its last step and the hash of its weights and moments, for runs that are disturbed."""

from __future__ import annotations

_TEXT = """
import hashlib, sys, time, torch, perdure

torch.manual_seed(1)
layers = torch.nn.Linear(16, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3), torch.nn.Linear(32, 2)
model = torch.nn.Sequential(*layers)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
source = torch.Generator().manual_seed(5)
data = torch.utils.data.TensorDataset(torch.randn(800, 16, generator=source))
loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
with perdure.Run(model=model, optimizer=optimizer, data=loader, every=EVERY) as run:
    for (rows,) in run.batches(epochs=EPOCHS):
        model(rows).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        time.sleep(float(sys.argv[1]))
        run.report()
found = hashlib.sha256()
moments = [tensor for state in optimizer.state_dict()["state"].values() for tensor in state.values()]
for tensor in [*model.state_dict().values(), *moments]:
    found.update(tensor.numpy().tobytes())
print(run.step, found.hexdigest())
"""


def format_training(every: str, *, epochs: int) -> str:
    """A script; its argument is the seconds that each step takes besides."""
    return _TEXT.replace("EVERY", repr(every)).replace("EPOCHS", str(epochs))
