"""Processes that are told to stop: they save at a step boundary and end with a status that says so."""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path

import pytest

from perdured.contract import environment
from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from support.keepers import listening
from support.training import Ended, Life, Trainings

pytestmark = pytest.mark.torch

HEAD = """
import os, signal, sys, time
import perdure
from support.toy import Counter
def say(text): print(text, flush=True)
def wait(): time.sleep(0.01)
counter = Counter()
"""

ENDLESS = """
with perdure.Run(counter=counter) as run:
    for item in run.batches(range(10**9)):
        counter.learn(item)
        say(f"step {run.step}")
        wait()
        run.report()
"""


def start(trainings: Trainings, folder: Path, body: str, **env: str) -> Life:
    script = folder / "script.py"
    script.write_text(HEAD + textwrap.dedent(body))
    return trainings.start(script, cwd=folder, env={"PYTHONPATH": "", **env})


def run(trainings: Trainings, folder: Path, body: str, **env: str) -> Ended:
    return start(trainings, folder, body, **env).end()


def saved_steps(folder: Path) -> list[int]:
    found = list_checkpoints(folder / "checkpoints")
    assert all(verify_checkpoint(listed.path).is_valid for listed in found)
    return sorted(listed.step for listed in found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_saves_at_the_next_report_and_exits_with_75(
    number: signal.Signals, trainings: Trainings, tmp_path: Path
) -> None:
    life = start(trainings, tmp_path, ENDLESS)
    life.wait_for("step 3")
    life.send(number)
    ended = life.end()
    assert ended.code == 75, ended.output
    last = saved_steps(tmp_path)
    assert last[-1] >= 3
    assert f"perdure: stopped by {number.name} at step {last[-1]}" in ended.output
    again = start(trainings, tmp_path, ENDLESS)
    again.wait_for(f"resumed from step {last[-1]}")
    again.send(signal.SIGKILL)
    assert again.end().code == -signal.SIGKILL


def test_further_sigterms_do_not_cut_the_save_short(trainings: Trainings, tmp_path: Path) -> None:
    """Slurm sends several, and a container's shutdown one more: only the kill ends the grace."""
    body = """
    class Slow(Counter):
        def state_dict(self):
            say("saving")
            for _ in range(40): time.sleep(0.02)
            return super().state_dict()
    slow = Slow()
    with perdure.Run(counter=slow, every="1000000 steps") as run:
        say("begun")
        for item in run.batches(range(10**9)):
            slow.learn(item)
            run.report()
            say(f"step {run.step}")
            time.sleep(0.05)
    """
    life = start(trainings, tmp_path, body)
    life.wait_for("step 3")
    life.send(signal.SIGTERM)
    life.wait_for("saving\nsaving")
    for _ in range(3):
        life.send(signal.SIGTERM)
    ended = life.end()
    assert ended.code == 75, ended.output
    assert saved_steps(tmp_path)[-1] >= 3


def test_the_second_ctrl_c_does_not_wait(trainings: Trainings, tmp_path: Path) -> None:
    life = start(
        trainings,
        tmp_path,
        """
        with perdure.Run(counter=counter) as run:
            for _ in run.batches(range(9)):
                say("begun")
                try:
                    while not run.should_stop: wait()
                    say("asked")
                    while True: wait()
                except KeyboardInterrupt:
                    say("interrupted")
                    raise
        """,
    )
    life.wait_for("begun")
    life.send(signal.SIGINT)
    life.wait_for("asked")
    life.send(signal.SIGINT)
    ended = life.end()
    assert ended.code != 75
    assert "interrupted" in ended.output
    assert saved_steps(tmp_path) == []


def test_a_signal_in_the_background_of_a_shell_stays_ignored(trainings: Trainings, tmp_path: Path) -> None:
    ended = run(
        trainings,
        tmp_path,
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with perdure.Run(counter=counter) as run:
            os.kill(os.getpid(), signal.SIGINT)
            run.report()
        """,
    )
    assert ended.code == 0, ended.output


def test_it_stops_in_an_evaluation_after_an_epoch_and_repeats_what_came_after_the_last_batch(
    trainings: Trainings, tmp_path: Path
) -> None:
    body = """
    with perdure.Run(counter=counter, values={"closed": 0}) as run:
        for epoch in run.epochs(2):
            for item in run.batches([1, 2, 3]):
                counter.learn((epoch, item))
                run.report()
            run.values["closed"] += 1
            counter.total += 1
            for part in range(5):
                if part == 2 and not os.path.exists("told"):
                    open("told", "w").close()
                    os.kill(os.getpid(), signal.SIGTERM)
                say(f"evaluating {epoch} {part}")
                run.safe_point()
    say(f"done {counter.items} {run.values}")
    """
    first = run(trainings, tmp_path, body)
    assert first.code == 75, first.output
    assert first.output.count("evaluating") == 3
    assert saved_steps(tmp_path) == [3]
    second = run(trainings, tmp_path, body)
    assert second.code == 0, second.output
    assert second.output.count("evaluating 0") == 5, "the evaluation begins again"
    assert "done [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)] {'closed': 2}" in second.output


@pytest.mark.parametrize(
    ("change", "goes_on"),
    [
        ("weights.mul_(2)", True),
        ("weights.copy_(torch.ones(2))", True),
        ("counter.items.append(weights.clone())", False),
    ],
)
def test_where_tensors_have_changed_since_the_last_batch_it_stops_at_the_next_epoch(
    change: str, goes_on: bool, trainings: Trainings, tmp_path: Path
) -> None:
    """Weights are not copied at each boundary, so their state of that moment is gone; plain values are."""
    body = f"""
    import torch
    weights = torch.zeros(2)
    class Weights:
        state_dict = lambda self: {{"weights": weights}}
        load_state_dict = lambda self, state: weights.copy_(state["weights"])
    with perdure.Run(weights=Weights(), counter=counter) as run:
        for epoch in run.epochs(9):
            for item in run.batches([1, 2]):
                run.report()
            {change}
            os.kill(os.getpid(), signal.SIGTERM)
            run.safe_point()
            say(f"still there in epoch {{epoch}}")
    """
    ended = run(trainings, tmp_path, body)
    assert ended.code == 75, ended.output
    assert ("still there in epoch 0" in ended.output) == goes_on
    assert "still there in epoch 1" not in ended.output
    assert saved_steps(tmp_path) == [2]


def test_a_stop_that_comes_too_late_does_not_spoil_work_that_is_complete(trainings: Trainings, tmp_path: Path) -> None:
    body = """
    with perdure.Run(counter=counter) as run:
        for item in run.batches(range(3), epochs=1):
            run.report()
        os.kill(os.getpid(), signal.SIGTERM)
    say("after the block")
    """
    ended = run(trainings, tmp_path, body)
    assert (ended.code, "after the block" in ended.output) == (0, True), ended.output
    assert saved_steps(tmp_path) == [3]


@pytest.mark.parametrize(("with_keeper", "code"), [(True, 0), (False, -signal.SIGTERM)])
def test_after_the_block_a_complete_job_outlives_sigterm_under_a_keeper_alone(
    with_keeper: bool, code: int, trainings: Trainings, tmp_path: Path
) -> None:
    body = """
    with perdure.Run(counter=counter) as run:
        for item in run.batches(range(3), epochs=1):
            run.report()
    os.kill(os.getpid(), signal.SIGTERM)
    say("outlived")
    """
    with listening(tmp_path / "k.sock") as keeper:
        env = {environment.CHANNEL: str(keeper.path)} if with_keeper else {}
        ended = run(trainings, tmp_path, body, **env)
    assert ended.code == code, ended.output


def test_a_loop_left_for_the_stop_is_saved_and_run_again(trainings: Trainings, tmp_path: Path) -> None:
    body = """
    with perdure.Run(counter=counter) as run:
        while run.step < 9:
            run.report() if not run.should_stop else None
            if run.step == 4: os.kill(os.getpid(), signal.SIGTERM)
            if run.should_stop: break
    say("never here")
    """
    ended = run(trainings, tmp_path, body)
    assert ended.code == 75, ended.output
    assert "never here" not in ended.output
    assert saved_steps(tmp_path) == [4]


def test_told_before_the_first_step_it_still_leaves_a_checkpoint(trainings: Trainings, tmp_path: Path) -> None:
    body = """
    with perdure.Run(counter=counter) as run:
        os.kill(os.getpid(), signal.SIGTERM)
        for item in run.batches(range(3)):
            say("no")
    """
    ended = run(trainings, tmp_path, body)
    assert ended.code == 75, ended.output
    assert "no" not in ended.output.splitlines()
    assert saved_steps(tmp_path) == [0]


def test_a_stop_that_cannot_be_saved_is_no_75(trainings: Trainings, tmp_path: Path) -> None:
    body = """
    import errno
    from perdure import directory
    def fail(*_): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    directory.commit = fail
    with perdure.Run(counter=counter) as run:
        os.kill(os.getpid(), signal.SIGTERM)
        run.report()
    """
    ended = run(trainings, tmp_path, body)
    assert ended.code == 1, ended.output
    assert "No space left on device" in ended.output
    assert "run the job again" in ended.output


def test_two_processes_on_one_directory_are_kept_apart(trainings: Trainings, tmp_path: Path) -> None:
    life = start(trainings, tmp_path, ENDLESS)
    life.wait_for("step 1")
    other = run(trainings, tmp_path, "from perdure import directory\ndirectory._WAIT_SECONDS = 0.1\n" + ENDLESS)
    assert other.code == 1
    assert f"process {life.pid} writes its checkpoints there" in other.output
    life.send(signal.SIGKILL)
    life.end()


def test_a_killed_run_with_workers_leaves_the_directory_free_at_once(trainings: Trainings, tmp_path: Path) -> None:
    body = """
    from torch.utils.data import DataLoader
    loader = DataLoader(range(10**6), num_workers=1)
    with perdure.Run(counter=counter) as run:
        for item in run.batches(loader):
            say(f"step {run.step}")
            wait()
            run.report()
    """
    life = start(trainings, tmp_path, body)
    life.wait_for("step 2")
    life.send(signal.SIGKILL)
    life.end()
    again = start(
        trainings, tmp_path, "from perdure import directory\ndirectory._WAIT_SECONDS = 0.0\n" + textwrap.dedent(body)
    )
    again.wait_for("step 2")
    again.send(signal.SIGTERM)
    assert again.end().code == 75
