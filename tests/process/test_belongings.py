"""What an attempt had and has to give back before the next one starts: ports and the memory of GPUs."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from perdured.processes import belongings
from perdured.processes.belongings import (
    Belongings,
    Surveyor,
    find_gpu_memory,
    find_port_holder,
    find_unreturned,
    parse_listening,
    wait_for_return,
)

DEAD = 2**22 + 7
"""Beyond the largest PID."""


@contextmanager
def listening(port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Iterator[int]:
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("localhost", port))
        listener.listen()
        yield listener.getsockname()[1]


def find_free_port() -> int:
    """One that nobody is given by chance."""
    for port in range(20_000, 30_000):
        try:
            with listening(port):
                return port
        except OSError:
            continue
    raise AssertionError("no port is free")


def test_the_ports_that_an_attempt_listens_on_by_choice_are_found() -> None:
    port = find_free_port()
    with listening(port), listening() as given:
        had = Surveyor().survey(os.getpid())
    assert port in had.ports
    assert given not in had.ports, "the next attempt is given another one"
    assert os.getpid() in had.pids


def test_a_port_that_is_taken_is_waited_for_and_its_holder_named() -> None:
    port = find_free_port()
    had = Belongings(ports=frozenset({port}))
    assert find_unreturned(had) is None
    with listening(port):
        holder = f"process {os.getpid()} ("
        assert (find_port_holder(port) or "").startswith(holder)
        said = wait_for_return(had, 0.0, lambda _: None)
        assert said is not None
        assert said.startswith(f"port {port}, on which the attempt before listened, is taken by {holder}")


def test_as_soon_as_it_is_free_the_wait_is_over() -> None:
    port, looks = find_free_port(), list[float]()
    with ExitStack() as holding:
        holding.enter_context(listening(port))

        def pause(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 3:
                holding.close()

        assert wait_for_return(Belongings(ports=frozenset({port})), 60.0, pause) is None
    assert len(looks) == 3


def test_what_connects_and_what_has_ended_is_not_listening() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    line = "   0: 0100007F:{} 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 {} 1 0 100\n"
    text = head + line.format("733C", "0A", 11) + line.format("733D", "01", 12) + line.format("733E", "06", 0)
    assert list(parse_listening(text)) == [(11, 29500)]
    assert list(parse_listening(head)) == []


# GPUs -----------------------------------------------------------------------------------------------------------------


class FakeNvml:
    """Two GPUs; the driver still has these processes on the second."""

    def __init__(self, *pids: int) -> None:
        self.pids = pids
        self.is_open = False

    def nvmlInit(self) -> None:  # noqa: N802
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=5 << 30) for pid in self.pids] if device == 1 else []


def test_memory_of_a_gpu_that_a_dead_process_still_holds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml(DEAD)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert find_gpu_memory({DEAD}) == f"5120 MiB of GPU 1 are still held by process {DEAD}, which is gone"
    assert not nvml.is_open
    assert find_gpu_memory({DEAD + 1}) is None


def test_who_lives_under_an_old_pid_is_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(os.getpid()))
    assert find_gpu_memory({os.getpid()}) is None


def test_without_a_driver_nothing_is_known_and_nothing_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_gpu_memory({DEAD}) is None


def test_one_look_at_all_processes_serves_every_job_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def look() -> dict[int, list[int]]:
        looks.append(0.0)
        return {}

    monkeypatch.setattr(belongings, "_observe_children", look)
    surveyor = Surveyor()
    for pid in (1, 2, 3):
        surveyor.survey(pid)
    assert len(looks) == 1
