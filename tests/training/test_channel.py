"""The line to the keeper: what is told, and that training neither waits for it nor dies of it."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import progress
from perdure.channel import Channel
from perdured.contract import environment, messages
from perdured.contract.checkpoint import verify_checkpoint
from support.keepers import Listener, listening
from support.processes import wait_until
from support.toy import Counter


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.chdir(tmp_path)
    with listening(tmp_path / "keeper.sock") as listener:
        monkeypatch.setenv(environment.CHANNEL, str(listener.path))
        yield listener


def test_a_run_says_hello_its_progress_and_its_checkpoints(keeper: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    with perdure.Run(counter=Counter(), every="2 steps") as run:
        for number in run.batches(range(3)):
            run.report(loss=0.5, total=3, accuracy=number, broken=math.nan)
    keeper.wait_for(messages.CHECKPOINT, 2)
    beside = (messages.MEMORY, messages.PACE, messages.PHASE, messages.STACKS, messages.CAN_PARK)
    hello, *rest = [message for message in keeper.messages if message["type"] not in beside]
    assert hello == {"type": "hello", "role": "job", "version": messages.VERSION}
    assert [(message["type"], message["step"]) for message in rest] == [
        ("progress", 1), ("progress", 2), ("saving", 2), ("checkpoint", 2), ("progress", 3), ("saving", 3),
        ("checkpoint", 3),
    ]  # fmt: skip
    assert rest[0].pop("at") <= time.monotonic()
    assert rest[0] == {"type": "progress", "step": 1, "loss": 0.5, "total": 3, "metrics": {"accuracy": 0.0}}
    assert all(verify_checkpoint(Path(told["path"])).is_valid for told in keeper.of_type("checkpoint"))


@pytest.mark.parametrize("epochs", [None, 2])
def test_after_a_pass_that_was_left_no_step_is_waited_for(keeper: Listener, epochs: int | None) -> None:
    """A loop that was left by `break` is as over as one that came to its end: what follows it is no hang."""
    with perdure.Run(counter=Counter()) as run:
        for _ in run.batches(range(3), epochs=epochs):
            run.report()
            if run.step == 2:
                break
        keeper.wait_for(messages.PROGRESS, 2)
        step = next(message for message in keeper.messages if message.get("step") == 2)
        wait_until(lambda: messages.PHASE in [m["type"] for m in keeper.messages[keeper.messages.index(step) :]])


def test_types_are_those_of_the_contract(keeper: Listener) -> None:
    with perdure.Run() as run:
        run.report(loss=1)
    (told,) = keeper.wait_for(messages.PROGRESS)
    assert type(told["loss"]) is float


@pytest.mark.parametrize("loss", [math.nan, math.inf, None])
def test_a_loss_that_is_no_number_is_not_told(loss: Any, keeper: Listener) -> None:
    with perdure.Run() as run:
        run.report(loss=loss)
    (told,) = keeper.wait_for(messages.PROGRESS)
    assert "loss" not in told
    assert told.get("finite", True) == (loss is None)


def test_a_fast_loop_tells_ten_times_a_second_and_always_before_a_save(keeper: Listener) -> None:
    with perdure.Run(counter=Counter(), every="400 steps") as run:
        start = time.monotonic()
        for _ in range(999):
            run.report()
        seconds = time.monotonic() - start
    keeper.wait_for(messages.CHECKPOINT, 3)
    steps = [told["step"] for told in keeper.of_type("progress")]
    assert {1, 400, 800, 999} <= set(steps)
    assert len(steps) <= seconds * 10 + 5


def test_the_keepers_wish_makes_a_checkpoint_at_the_next_safe_point(keeper: Listener) -> None:
    with perdure.Run(counter=Counter()) as run:
        run.report()
        keeper.say(b'garbage\n[1]\n{"type": "other"}\n{"type": "sa')
        keeper.say(b've"}\n')
        deadline = time.monotonic() + 10
        while not keeper.of_type("checkpoint") and time.monotonic() < deadline:
            run.safe_point()
            time.sleep(0.005)
        assert [told["step"] for told in keeper.of_type("checkpoint")] == [1]
        run.report()
        run.report()
    assert [told["step"] for told in keeper.wait_for("checkpoint", 2)] == [1, 3], "one wish, one checkpoint"


def test_a_keeper_that_dies_is_not_missed(keeper: Listener) -> None:
    with perdure.Run(counter=Counter(), every="2 steps") as run:
        run.report()
        keeper.wait_for("progress")
        keeper.die()
        for _ in range(5):
            run.report(loss=1.0)
    assert run.step == 6


def test_a_keeper_that_is_not_there_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(environment.CHANNEL, str(tmp_path / "nobody.sock"))
    with perdure.Run(counter=Counter()) as run:
        run.report()


def test_a_keeper_that_does_not_read_stops_nobody(tmp_path: Path) -> None:
    """Its buffer runs full: progress is dropped, what matters waits, and comes when it reads again."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "s"))
    server.listen(1)
    channel = Channel(str(tmp_path / "s"))
    job, _ = server.accept()
    start = time.monotonic()
    for step in range(20_000):
        channel.send({"type": messages.PROGRESS, "step": step, "filling": "x" * 200})
    channel.send({"type": messages.CHECKPOINT, "step": 7, "path": "/p"})
    assert time.monotonic() - start < 10
    received = bytearray()

    def read() -> None:
        while data := job.recv(65536):
            received.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    deadline = time.monotonic() + 10
    while b"checkpoint" not in received and time.monotonic() < deadline:
        channel.take_save_wish()
        time.sleep(0.01)
    channel.close()
    reader.join(10)
    job.close()
    server.close()
    assert received.endswith(b'{"type": "checkpoint", "step": 7, "path": "/p"}\n')
