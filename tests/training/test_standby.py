"""A standby that has imported torch and made its throw-away step leaves no trace of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.processes import clear_standby
from support.processes import run
from support.standbys import python, run_both, start_by_standby, take_outcome

pytestmark = [pytest.mark.torch, pytest.mark.timeout(180)]

LOOK = """
import sys
had_imported = 'torch' in sys.modules and 'torch._dynamo' in sys.modules
import json, multiprocessing, os, random, warnings
environ = {k: v for k, v in os.environ.items() if not k.startswith('PERDURE_')}
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
threads = len(os.listdir('/proc/self/task'))
numbers = [torch.get_num_threads(), torch.get_num_interop_threads()]
torch.set_num_interop_threads(3)
started = multiprocessing.get_start_method(allow_none=True)
with warnings.catch_warnings(record=True) as seen:
    torch.tensor(torch.ones(2)); torch.nn.functional.softmax(torch.ones(2))
def train(seed):
    torch.manual_seed(seed); random.seed(seed)
    data = TensorDataset(torch.randn(64, 8), torch.randn(64, 1))
    loader = DataLoader(data, batch_size=16, shuffle=True, num_workers=2)
    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.1), nn.BatchNorm1d(16), nn.Linear(16, 1))
    optimizers = torch.optim.AdamW(model.parameters(), 0.01), torch.optim.SGD(model.parameters(), 0.01, 0.9)
    losses = []
    for inputs, targets in loader:
        loss = nn.functional.mse_loss(model(inputs), targets)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step(); optimizer.zero_grad()
        losses.append(loss.item().hex())
    return losses
def default(): return [torch.get_default_dtype(), torch.empty(0).device, torch.empty(0).dtype]
print(json.dumps({
    'numbers': numbers, 'default': str(default()), 'grad': [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
    'deterministic': [torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark,
        torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled, torch.is_anomaly_enabled()],
    'autocast': torch.is_autocast_enabled('cpu'), 'cuda': torch.cuda.is_initialized(), 'threads': threads,
    'start_method': started, 'warnings': [str(w.message)[:60] for w in seen],
    'losses': [train(0), train(1)], 'rest': [torch.rand(3).tolist(), random.random()],
    'environ': environ,
    'gpus': [n for n in os.listdir('/proc/self/fd') if 'nvidia' in os.path.realpath('/proc/self/fd/' + n)],
}))
print(had_imported, file=sys.stderr)
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "train.py").write_text(LOOK)
    yield tmp_path
    clear_standby(tmp_path / "standby")


def test_torch_is_as_in_a_fresh_interpreter(root: Path) -> None:
    """Random numbers, thread counts, defaults, warnings, and every bit of a training."""
    fresh, early = run_both(root, python("train.py"), "torch", "torch._dynamo", ceiling=120)
    words, told = early.output.splitlines()[0], early.told
    assert words == "True", "nothing had been imported early"
    assert told == fresh.told
    assert fresh.output.splitlines()[0] == "False"


def test_each_standby_draws_its_own_random_numbers(root: Path) -> None:
    """What a program has not seeded must not repeat from attempt to attempt."""
    code = "import random, numpy, torch\nprint([random.random(), numpy.random.random(), torch.rand(1).item()])"
    (root / "work" / "train.py").write_text(code)
    run(start_by_standby(root, python("train.py"), "torch", "numpy"), ceiling=120)
    first = take_outcome(root, 2).output
    (root / "attempts" / "2").rename(root / "attempts" / "one")
    run(start_by_standby(root, python("train.py"), "torch", "numpy"), ceiling=120)
    assert take_outcome(root, 2).output != first
