"""What is taken from a model and all around it, and put back: all of it, or nothing and a clear word."""

from __future__ import annotations

import ctypes
import shutil
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import lr_scheduler

from perdure.codec import KIND
from perdure.directory import find_newest, set_aside_broken
from perdure.errors import CannotRestore
from perdure.restore import Damaged, restore_state
from perdure.rng import take_snapshot
from perdure.safetensors_file import OnePass, TensorFile
from perdure.state import STATE, TENSORS, Capture, Moment, Objects, capture_state
from perdure.tensors import find_places
from perdured.contract.checkpoint import Facts, FileEntry, commit_checkpoint, verify
from perdured.contract.checkpoint.chunks import find_wrong_chunk
from support.trees import freeze

pytestmark = pytest.mark.torch


def moment(**values: Any) -> Moment:
    return Moment(3, 1, values, take_snapshot(), {"epoch": 1})


def write(capture: Capture, root: Path) -> Path:
    """The checkpoint. There is one, from now on."""
    shutil.rmtree(root, ignore_errors=True)
    return commit_checkpoint(root, 3, capture.files(), Facts(None, None, "run")).path


def restore(root: Path, objects: Objects) -> Moment:
    found = find_newest(root, "run", "", hashes=False)
    assert found is not None
    return restore_state(found, objects).moment


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.Linear(4, 2))


def learn(model: nn.Module, optimizer: torch.optim.Optimizer, times: int = 3) -> None:
    for _ in range(times):
        optimizer.zero_grad()

        def loss() -> Tensor:
            result: Tensor = model(torch.randn(5, 3)).square().mean()
            result.backward()  # type: ignore[no-untyped-call]
            return result

        optimizer.step(loss)  # type: ignore[arg-type]  # its overloads know float only


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, amsgrad=True),
    "AdamW": torch.optim.AdamW,
    "AdamW, tensor lr": lambda p: torch.optim.AdamW(p, lr=torch.tensor(0.01)),
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "Adagrad": torch.optim.Adagrad,
    "Adadelta": torch.optim.Adadelta,
    "Adamax": torch.optim.Adamax,
    "Adafactor": torch.optim.Adafactor,
    "ASGD": torch.optim.ASGD,
    "RMSprop": lambda p: torch.optim.RMSprop(p, momentum=0.1, centered=True),
    "Rprop": torch.optim.Rprop,
    "LBFGS": lambda p: torch.optim.LBFGS(p, max_iter=2),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_as_if_never_broken_off(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = net()
    optimizer = OPTIMIZERS[name](model.parameters())
    learn(model, optimizer)
    write(capture_state({"model": model, "optimizer": optimizer}, moment()), tmp_path)
    torch.manual_seed(7)
    learn(model, optimizer)

    torch.manual_seed(2)
    other = net()
    its_optimizer = OPTIMIZERS[name](other.parameters())
    restore(tmp_path, {"model": other, "optimizer": its_optimizer})
    torch.manual_seed(7)
    learn(other, its_optimizer)
    assert freeze(other.state_dict()) == freeze(model.state_dict())
    assert freeze(its_optimizer.state_dict()) == freeze(optimizer.state_dict())


SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda n: 0.9**n),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda n: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 4]),
    "ConstantLR": lr_scheduler.ConstantLR,
    "LinearLR": lr_scheduler.LinearLR,
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 8),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 8),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=3),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, 0.05),
}


def rates(optimizer: torch.optim.Optimizer, scheduler: Any, times: int) -> list[Any]:
    seen = []
    for _ in range(times):
        optimizer.step()
        scheduler.step(*[1.0] * isinstance(scheduler, lr_scheduler.ReduceLROnPlateau))
        seen.append([group["lr"] for group in optimizer.param_groups])
    return seen


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_goes_on_as_if_never_broken_off(name: str, tmp_path: Path) -> None:
    def make() -> tuple[torch.optim.Optimizer, Any]:
        optimizer = torch.optim.SGD(net().parameters(), lr=0.1, momentum=0.5)
        return optimizer, SCHEDULERS[name](optimizer)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its parts in a way that torch itself warns of
        optimizer, scheduler = make()
        rates(optimizer, scheduler, 3)
        write(capture_state({"optimizer": optimizer, "scheduler": scheduler}, moment()), tmp_path)
        expected = rates(optimizer, scheduler, 6)
        its_optimizer, its_scheduler = make()
        restore(tmp_path, {"optimizer": its_optimizer, "scheduler": its_scheduler})
        assert rates(its_optimizer, its_scheduler, 6) == expected


def test_buffers_scaler_and_average_are_in_it(tmp_path: Path) -> None:
    model = net()
    average = torch.optim.swa_utils.AveragedModel(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    model(torch.randn(4, 3))
    average.update_parameters(model)
    objects: dict[str, Any] = {"model": model, "average": average, "scaler": scaler}
    path = write(capture_state(objects, moment()), tmp_path)
    other: dict[str, Any] = {
        "model": net(),
        "average": torch.optim.swa_utils.AveragedModel(net()),
        "scaler": torch.amp.GradScaler("cpu"),
    }
    restore(tmp_path, other)
    assert freeze({k: v.state_dict() for k, v in other.items()}) == freeze(
        {k: v.state_dict() for k, v in objects.items()}
    )
    assert "model.1.running_mean" in load_file(path / TENSORS)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inward, self.outward = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.outward.weight = self.inward.weight


def test_tied_weights_are_written_once_and_stay_tied(tmp_path: Path) -> None:
    model = Tied()
    path = write(capture_state({"model": model}, moment()), tmp_path)
    assert set(load_file(path / TENSORS)) & {"model.inward.weight", "model.outward.weight"} == {"model.inward.weight"}
    other = Tied()
    restore(tmp_path, {"model": other})
    assert other.inward.weight is other.outward.weight
    assert torch.equal(other.inward.weight, model.inward.weight)


class Extra(nn.Module):
    extra: Any = None

    def get_extra_state(self) -> Any:
        return self.extra

    def set_extra_state(self, state: Any) -> None:
        self.extra = state


def test_extra_state_of_a_module_comes_along(tmp_path: Path) -> None:
    model, other = Extra(), Extra()
    model.extra = {"seen": 3}
    write(capture_state({"model": model}, moment()), tmp_path)
    restore(tmp_path, {"model": other})
    assert other.extra == {"seen": 3}


def test_the_resumed_model_holds_no_gradient_of_before(tmp_path: Path) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    write(capture_state({"model": model, "optimizer": optimizer}, moment()), tmp_path)
    model(torch.randn(4, 3)).sum().backward()
    restore(tmp_path, {"model": model, "optimizer": optimizer})
    assert all(parameter.grad is None for parameter in model.parameters())


def test_parameters_stay_the_same_objects(tmp_path: Path) -> None:
    """The optimizer, and whoever else holds them, goes on to hold the model's."""
    model = net()
    write(capture_state({"model": model}, moment()), tmp_path)
    before = [(id(p), p.data_ptr()) for p in model.parameters()]
    restore(tmp_path, {"model": model})
    assert [(id(p), p.data_ptr()) for p in model.parameters()] == before


def test_the_moment_comes_back(tmp_path: Path) -> None:
    written = moment(best=0.5, table=torch.arange(3))
    write(capture_state({}, written), tmp_path)
    assert freeze(restore(tmp_path, {})._asdict()) == freeze(written._asdict())


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (nn.Sequential(nn.Linear(3, 4)), r"it also has 1.bias, 1.num_batches_tracked.*and 2 more|it also has"),
        (nn.Sequential(*net(), nn.Linear(2, 2)), r"it has no 4.bias, 4.weight"),
        (nn.Sequential(nn.Linear(3, 9), *list(net())[1:]), r"0.weight has shape \(4, 3\) there and \(9, 3\) here"),
        (net().double(), r"0.weight is torch.float32 there and torch.float64 here"),
    ],
)
def test_a_model_that_does_not_fit_is_left_as_it_was(other: nn.Module, says: str, tmp_path: Path) -> None:
    optimizer = torch.optim.SGD(net().parameters(), lr=0.5)
    write(capture_state({"first": net(), "model": net()}, moment()), tmp_path)
    first, before = net(), freeze(other.state_dict())
    first_before = freeze(first.state_dict())
    with pytest.raises(CannotRestore, match=says) as refused:
        restore(tmp_path, {"first": first, "model": other})
    assert "does not fit model" in refused.value.what
    assert "Build model as it was" in refused.value.todo
    assert (freeze(other.state_dict()), freeze(first.state_dict())) == (before, first_before), "nothing was loaded"
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_an_optimizer_of_other_parameters_is_refused(tmp_path: Path) -> None:
    write(capture_state({"optimizer": torch.optim.SGD(net().parameters())}, moment()), tmp_path)
    other = torch.optim.SGD(nn.Linear(2, 2).parameters())
    with pytest.raises(CannotRestore, match=r"\[6\] parameters there and \[2\] here"):
        restore(tmp_path, {"optimizer": other})


def test_comparing_reads_no_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(capture_state({"model": net()}, moment()), tmp_path)
    read: list[str] = []
    monkeypatch.setattr(OnePass, "read_into", lambda self, name, target: read.append(name))
    with pytest.raises(CannotRestore):
        restore(tmp_path, {"model": nn.Linear(1, 1)})
    assert read == []


# One pass --------------------------------------------------------------------------------------------------------


def test_a_module_is_read_into_itself_and_an_optimizer_keeps_what_was_read(tmp_path: Path) -> None:
    """No second copy of the state: what is read is where it stays."""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters())
    learn(model, optimizer)
    write(capture_state({"model": model, "optimizer": optimizer}, moment()), tmp_path)
    other = net()
    its_optimizer = torch.optim.AdamW(other.parameters())
    targets: list[int] = []

    def remember(descriptor: int, file: FileEntry, chunk_size: int, wanted: Any) -> int | None:
        wanted = list(wanted)
        targets.extend(ctypes.addressof(ctypes.c_char.from_buffer(each.memory)) for each in wanted if each.memory)
        return find_wrong_chunk(descriptor, file, chunk_size, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "find_wrong_chunk", remember)
        restore(tmp_path, {"model": other, "optimizer": its_optimizer})
    kept = [t for state in its_optimizer.state.values() for name, t in state.items() if name != "step"]
    assert {t.data_ptr() for t in [*other.state_dict().values(), *kept]} <= set(targets)


class Alike(nn.Module):
    """Two names for two tensors, or for one."""

    def __init__(self, *, is_tied: bool) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(6))
        self.b = self.a if is_tied else nn.Parameter(torch.randn(6))


def test_what_was_two_and_is_one_becomes_the_last_as_load_state_dict_does(tmp_path: Path) -> None:
    two, one = Alike(is_tied=False), Alike(is_tied=True)
    write(capture_state({"model": two}, moment()), tmp_path)
    restore(tmp_path, {"model": one})
    assert torch.equal(one.a, two.b)


def test_what_was_one_and_is_two_becomes_the_same_twice(tmp_path: Path) -> None:
    one, two = Alike(is_tied=True), Alike(is_tied=False)
    write(capture_state({"model": one}, moment()), tmp_path)
    restore(tmp_path, {"model": two})
    assert torch.equal(two.a, one.a)
    assert torch.equal(two.b, one.a)
    assert two.a.data_ptr() != two.b.data_ptr()


def test_views_of_one_memory_are_not_written_to_at_once() -> None:
    whole = torch.zeros(8)
    nodes = [{KIND: "torch.Tensor", "block": name} for name in "abc"]
    places = find_places(zip(nodes, [whole[:6], whole[2:], torch.zeros(2, 3).t()], strict=True))
    assert list(places) == ["a"], "the second shares its memory, the third is laid out otherwise"


class Box:
    """Keeps what it is given, as it is given it."""

    def __init__(self, **state: Any) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state


def test_two_objects_that_shared_memory_come_back_with_their_own(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    write(capture_state({"model": model, "box": Box(copy=model.weight.detach())}, moment()), tmp_path)
    other, box = nn.Linear(2, 2), Box()
    restore(tmp_path, {"model": other, "box": box})
    assert torch.equal(box.state["copy"], model.weight)
    assert torch.equal(other.weight, model.weight)
    assert box.state["copy"].data_ptr() != other.weight.data_ptr()


@pytest.mark.parametrize("name", [STATE, TENSORS])
def test_no_flipped_bit_is_loaded_or_taken_for_something_else(name: str, tmp_path: Path) -> None:
    """Wherever it is, in a header too: Damaged, and nobody's load_state_dict was called."""
    path = write(capture_state({"box": Box(a=torch.arange(5), n=7)}, moment(best=1)), tmp_path)
    data = (path / name).read_bytes()
    for at in range(len(data)):
        box = Box()
        (path / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(Damaged, match="has other bytes than were written"):
            restore(tmp_path, {"box": box})
        assert box.state == {}, at


def test_a_broken_one_that_left_garbage_is_overwritten_by_the_one_before(tmp_path: Path) -> None:
    model = net()
    write(capture_state({"model": model}, moment()), tmp_path)
    newer = commit_checkpoint(tmp_path, 9, capture_state({"model": net()}, moment()).files(), Facts(None, None, "run"))
    data = bytearray((newer.path / TENSORS).read_bytes())
    data[-1] ^= 1
    (newer.path / TENSORS).write_bytes(data)
    other = net()
    with pytest.raises(Damaged) as damaged:
        restore(tmp_path, {"model": other})
    set_aside_broken(newer.path, damaged.value.verdict)
    restore(tmp_path, {"model": other})
    assert freeze(other.state_dict()) == freeze(model.state_dict())


def test_the_state_is_readable_without_perdure(tmp_path: Path) -> None:
    import json

    model = net()
    path = write(capture_state({"model": model}, moment(best=0.25)), tmp_path)
    tree = json.loads((path / STATE).read_text())
    assert (tree["step"], tree["epoch"], tree["values"]) == (3, 1, {"best": 0.25})
    tensors = load_file(path / TENSORS)
    assert all(torch.equal(tensors[f"model.{name}"], tensor) for name, tensor in model.state_dict().items())
    with closing(TensorFile(path / TENSORS)) as file:
        assert set(file.entries) == set(tensors)
