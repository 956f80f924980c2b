"""The memory tier from the run's side, under real keepers: what a death costs, and what happens where there is none.

The scripts hold no tensors, so that they start in a blink; that tensors of every kind are copied as they are written is
tested beside.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from perdure.rng import take_snapshot
from perdure.safetensors_file import copy_file, format_file, plan_file
from perdure.state import Capture, Moment, capture_state
from perdured.contract import environment
from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from perdured.processes import start_keeper
from support.processes import (
    attempt_directory,
    get_run,
    is_alive,
    kill_keeper,
    make_order,
    read_output,
    run,
    wait_for_end,
    wait_for_output,
    wait_until,
)

SCRIPT = """
import os, signal, time
import perdure
from perdure import memory
memory.SHARE = 0  # a snapshot at every step

class Counter:
    value = 0
    rows = [0.0] * 50
    def state_dict(self): return {"value": self.value, "rows": self.rows}
    def load_state_dict(self, state): self.value, self.rows = state["value"], state["rows"]

def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def die(): os.kill(os.getpid(), signal.SIGKILL)
def wait_until_held(run):
    while not run._saver._memory.is_held:
        run.report(); counter.value += 1; time.sleep(0.001)

counter = Counter()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    with attempt_directory(tmp_path) as directory:
        yield directory


def _start(directory: Path, body: str, **env: str) -> Path:
    """Starts the script under a keeper; returns where its checkpoints will be."""
    root = directory.parent / "checkpoints"
    script = directory.parent / "script.py"
    script.write_text(SCRIPT + body)
    variables = {environment.CHECKPOINT_DIR: str(root), **env}
    run(start_keeper(make_order(directory, sys.executable, str(script), grace=10.0, **variables)))
    return root


def _steps(root: Path) -> list[int]:
    """Of all checkpoints, newest first; all of them are valid."""
    found = list_checkpoints(root) if root.exists() else []
    assert all(verify_checkpoint(listed.path).is_valid for listed in found)
    return [listed.step for listed in found]


# A death ---------------------------------------------------------------------------------------------------------

RESUME = """
with perdure.Run(counter=counter, every="1000000 steps") as run:
    say("from", run.resumed_from_step, counter.value)
    if run.resumed_from_step is None:
        wait_until_held(run)
        counter.value = 12345
        run.report(); say("at", run.step); die()
"""


def test_a_killed_run_goes_on_from_its_last_snapshot_though_nothing_was_saved(directory: Path) -> None:
    """The next one has every step, and the values of that moment."""
    root = _start(directory, RESUME)
    wait_for_end(directory)
    first, second = read_output(directory)
    assert first == "from None 0"
    step = int(second.removeprefix("at "))
    assert _steps(root) == [step]
    again = directory.with_name("2")
    again.mkdir()
    _start(again, RESUME)
    wait_for_end(again)
    assert read_output(again)[-1] == f"from {step} 12345"


def test_a_step_that_was_not_finished_is_not_in_the_snapshot(directory: Path) -> None:
    """The process dies in the middle of an update."""
    body = """
with perdure.Run(counter=counter, every="1000000 steps") as run:
    wait_until_held(run)
    for number in run.batches(range(3)):
        counter.value = -1
        if number == 2: die()
        counter.value = run.step + 1
        run.report()
"""
    root = _start(directory, body)
    wait_for_end(directory)
    ((path, step),) = [(listed.path, listed.step) for listed in list_checkpoints(root)]
    assert f'"value":{step}' in (path / "state.json").read_text().replace(" ", "")


def test_a_state_whose_loss_is_not_finite_takes_the_place_of_no_healthy_one(directory: Path) -> None:
    body = """
with perdure.Run(counter=counter, every="1000000 steps") as run:
    wait_until_held(run)
    run.report(loss=1.0); say(run.step)
    run.report(loss=float("nan")); run.report(loss=float("nan")); die()
"""
    root = _start(directory, body)
    wait_for_end(directory)
    assert _steps(root) == [int(line) for line in read_output(directory) if line.isdecimal()]


def test_a_state_that_is_laid_out_anew_is_kept_as_it_is_now(directory: Path) -> None:
    """An optimizer makes its state at its first step; a layer is added. Until then the old one counts."""
    body = """
import numpy
with perdure.Run(counter=counter, every="1000000 steps") as run:
    counter.rows = numpy.arange(10.0)
    wait_until_held(run)
    counter.rows = numpy.arange(100_000.0)
    run.report()
    wait_until_held(run)
    run.report(); say(run.step); die()
"""
    root = _start(directory, body)
    wait_for_end(directory)
    last = int(read_output(directory)[-1])
    assert _steps(root)[0] == last
    assert (list_checkpoints(root)[0].path / "tensors.safetensors").stat().st_size > 800_000


# Saves -----------------------------------------------------------------------------------------------------------


def test_periodic_saves_are_committed_while_training_goes_on(directory: Path) -> None:
    body = """
with perdure.Run(counter=counter, every="10 steps", keep=2) as run:
    wait_until_held(run)
    while run.step < 200: run.report(); time.sleep(0.001)
    say("done", run.step)
"""
    root = _start(directory, body)
    assert wait_for_end(directory).exit_code == 0
    last = int(read_output(directory)[-1].removeprefix("done "))
    assert _steps(root)[0] == last
    assert len(_steps(root)) <= 3


def test_told_to_stop_it_ends_with_a_committed_checkpoint_of_its_last_step(directory: Path) -> None:
    body = """
with perdure.Run(counter=counter, every="1000000 steps") as run:
    wait_until_held(run)
    say("held")
    while True: run.report(); say(run.step); time.sleep(0.001)
"""
    root = _start(directory, body)
    wait_for_output(directory, 3)
    os.kill(get_run(directory).leader.pid, signal.SIGTERM)
    assert wait_for_end(directory).exit_code == 75
    steps = [int(line) for line in read_output(directory) if line.isdecimal()]
    assert _steps(root) == [steps[-1] + 1]


def test_a_save_that_is_asked_for_is_durable_when_it_returns(directory: Path) -> None:
    body = """
from perdured.contract.checkpoint import verify_checkpoint
with perdure.Run(counter=counter, every="1000000 steps") as run:
    wait_until_held(run)
    path = run.save()
    say(path.name, verify_checkpoint(path).is_valid, run._saver._memory.is_held)
    os._exit(0)
"""
    root = _start(directory, body)
    wait_for_end(directory)
    assert read_output(directory) == [f"{list_checkpoints(root)[0].path.name} True True"]
    assert len(_steps(root)) == 1


def test_a_disk_that_refuses_is_told_and_training_goes_on(directory: Path) -> None:
    body = """
with perdure.Run(counter=counter, every="5 steps") as run:
    wait_until_held(run)
    os.rename(run._saver.root, str(run._saver.root) + "-away")
    open(run._saver.root, "w").close()
    for _ in range(500): run.report(); time.sleep(0.001)
    say("went on"); os._exit(0)
"""
    _start(directory, body)
    assert wait_for_end(directory).exit_code == 0
    output = "\n".join(read_output(directory))
    assert "could not be written" in output
    assert "training goes on" in output
    assert output.endswith("went on")


# Without a tier --------------------------------------------------------------------------------------------------


def test_when_the_keeper_is_killed_the_run_saves_by_itself(directory: Path) -> None:
    body = """
with perdure.Run(counter=counter, every="1000000 steps") as run:
    wait_until_held(run)
    say("held")
    while not os.path.exists("go"): run.report(); time.sleep(0.001)
    say(run.save())
"""
    root = _start(directory, body)
    wait_for_output(directory)
    leader = get_run(directory).leader.pid
    kill_keeper(directory)
    (directory.parent / "go").touch()
    wait_until(lambda: not is_alive(leader), "the run ends")
    assert read_output(directory)[-1] == str(list_checkpoints(root)[0].path)


NEVER = """
with perdure.Run(counter=counter, every="1000000 steps") as run:
    for _ in range(100): run.report(); time.sleep(0.001)
    say(run._saver._memory.is_held); die()
"""


def test_the_spec_can_do_without(directory: Path) -> None:
    root = _start(directory, NEVER, **{environment.CHECKPOINT_MEMORY: "0"})
    wait_for_end(directory)
    assert read_output(directory) == ["False"]
    assert _steps(root) == []


def test_where_memory_is_short_it_is_said_and_all_is_saved_to_the_disk(directory: Path) -> None:
    """It is accounted for before it is taken."""
    _start(directory, "memory.observe_headroom = lambda: 100_000\n" + NEVER)
    wait_for_end(directory)
    *told, held = read_output(directory)
    assert held == "False"
    assert "the state is not kept in memory" in told[0]
    assert "0 MB are free" in told[1]


# What is copied --------------------------------------------------------------------------------------------------


class Odd:
    def state_dict(self) -> dict[str, object]:
        base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
        return {
            "plain": base,
            "tied": base,
            "view": base[1:3, 2:5],
            "transposed": base.t(),
            "expanded": torch.ones(1).expand(5),
            "none": torch.empty(0, 3),
            "scalar": torch.tensor(3.5, dtype=torch.float64),
            "bool": torch.tensor([True, False]),
            "half": torch.ones(3, dtype=torch.bfloat16),
            "eighth": torch.ones(3).to(torch.float8_e4m3fn),
            "other eighth": torch.ones(3).to(torch.float8_e4m3fnuz),
            "complex": torch.tensor([1 + 2j, 3j]),
            "conjugate": torch.tensor([1 + 2j, 3j]).conj(),
            "negative": torch.tensor([1 + 2j, 3j]).conj().imag,
            "wants a gradient": torch.ones(2, requires_grad=True),
            "array": np.arange(5, dtype=np.int16)[::2],
            "text": np.array(["ab", "c"]),
        }

    def load_state_dict(self, state_dict: object, /) -> None:
        raise NotImplementedError


def _capture(value: Odd) -> Capture:
    return capture_state({"odd": value}, Moment(1, 0, {}, take_snapshot(), {}))


def test_a_copy_has_the_bytes_that_a_file_would_have() -> None:
    """Tied tensors, views, all dtypes; whatever its layout."""
    blocks = _capture(Odd()).blocks
    layout = plan_file(blocks)
    memory = bytearray(layout.length)
    copy_file(layout, blocks, memoryview(memory))
    assert bytes(memory) == b"".join(map(bytes, format_file(blocks)))


def test_a_layout_fits_what_has_the_same_names_types_and_shapes() -> None:
    layout = plan_file(_capture(Odd()).blocks)
    assert layout.fits(_capture(Odd()).blocks)
    other = dict(_capture(Odd()).blocks)
    other.popitem()
    assert not layout.fits(other)
