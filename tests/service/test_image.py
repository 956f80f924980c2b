"""The image runs a job as process 1 under a read-only root: signals arrive, the dead are collected, the status is the
job's. Built without an engine (`support/container.py`)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.container import Container, Image, built_image
from support.daemons import wait_for
from support.layers import can_mount

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(not can_mount(), reason="may not mount here"),
]

Start = Callable[..., Container]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    with built_image(tmp_path_factory.mktemp("image") / "i") as image:
        yield image


@pytest.fixture
def start(image: Image, tmp_path: Path) -> Iterator[Start]:
    """A container with `/data`, which the next one finds as this one left it."""
    started: list[Container] = []

    def start(*arguments: str) -> Container:
        started.append(image.start(f"{tmp_path.name}-{len(started)}", tmp_path / "data", *arguments))
        return started[-1]

    yield start
    for container in started:
        container.close()


def job(*lines: str) -> tuple[str, ...]:
    return ("--", sys.executable, "-c", "\n".join(("import os, signal, sys, time", *lines)))


SAVES = (
    "def save(*_):",
    "    print('saved', flush=True)",
    "    sys.exit(75)",
    "signal.signal(signal.SIGTERM, save)",
    "print('attempt', os.environ['PERDURE_ATTEMPT'], flush=True)",
    "while True: signal.pause()",
)


def wait_for_line(data: Path, text: str) -> None:
    def is_there() -> bool:
        return any(text in log.read_text() for log in data.rglob("output.log"))

    wait_for(is_there, f"the job to print {text!r}")


def test_without_arguments_it_helps(start: Start) -> None:
    status, said = start().wait()
    assert (status, "Usage: perdure run" in said) == (0, True)


@pytest.mark.parametrize("code", [0, 78])
def test_the_exit_status_is_the_jobs(start: Start, code: int) -> None:
    assert start(*job(f"sys.exit({code})")).wait()[0] == code


def test_a_job_that_was_killed_ends_the_container_as_a_shell_would_say(start: Start) -> None:
    assert start("--failures", "1", *job("os.kill(os.getpid(), 9)")).wait()[0] == 137


def test_the_root_is_read_only_and_nothing_there_is_needed(start: Start) -> None:
    probe = (
        "assert os.getuid() == 10001 and os.getpid() != 1",
        "try: open('/usr/probe', 'w')",
        "except OSError as error: print(error.strerror)",
        "open('/data/probe', 'w').close()",
    )
    status, said = start(*job(*probe)).wait()
    assert (status, "Read-only file system" in said) == (0, True)


def test_a_stop_lets_the_job_save_and_the_next_container_goes_on(start: Start, tmp_path: Path) -> None:
    container = start(*job(*SAVES))
    wait_for_line(tmp_path / "data", "attempt 1")
    container.stop()
    status, said = container.wait()
    assert (status, "saved" in said) == (75, True)
    again = start(*job(*SAVES))
    wait_for_line(tmp_path / "data", "attempt 2")
    again.stop()
    assert again.wait()[0] == 75


def test_a_daemon_that_is_process_1_parks_its_jobs_when_it_is_told_to_stop(image: Image, tmp_path: Path) -> None:
    """Nothing outlives it there."""
    place = ("--state-dir", "/data/state", "--socket", "/data/perdured.sock")
    container = image.start_other(tmp_path.name, tmp_path / "data", "perdured", *place)
    try:
        wait_for((tmp_path / "data" / "perdured.sock").exists, "the daemon")
        container.stop()
        status, said = container.wait()
        assert (status, "the container is told to stop: every job is asked to save" in said) == (0, True)
    finally:
        container.close()


def test_the_dead_are_collected_also_when_their_keeper_is_gone(start: Start, tmp_path: Path) -> None:
    """Whoever loses its parent is a child of process 1 then."""
    lines = (
        "child = os.fork()",
        "if child == 0:",
        "    if os.fork() == 0: time.sleep(0.5)",
        "    os._exit(0)",
        "os.waitpid(child, 0)",
        "os.kill(os.getppid(), 9)",
        "time.sleep(2)",
        "pids = [name for name in os.listdir('/proc') if name.isdigit()]",
        "states = [open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0] for pid in pids]",
        "print('states', *states, flush=True)",
        "sys.exit(78)",
    )
    container = start(*job(*lines))
    wait_for_line(tmp_path / "data", "states")
    container.stop()
    _, said = container.wait()
    assert "Z" not in said.split("states", 1)[1].split()
