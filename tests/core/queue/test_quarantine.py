"""A GPU that failed is set aside, a program that failed is no reason to; the kernel's word says which one it was."""

from __future__ import annotations

import pytest

from perdured.core.ends.cause import Cause
from perdured.core.ends.end import End
from perdured.core.ends.xid import ADVICE_TEXT, Advice
from perdured.core.queue.quarantine import find_faulty

BUSES = {"GPU-a": "00000000:65:00.0", "GPU-b": "00000000:CA:00.0"}


def fault(*kernel: str, advice: Advice = Advice.RESET, cause: Cause = Cause.GPU_FAULT) -> End:
    return End(cause=cause, why="it failed", advice=ADVICE_TEXT[advice], kernel=kernel)


def test_the_device_that_the_kernel_names_is_meant() -> None:
    end = fault("NVRM: Xid (PCI:0000:ca:00): 48, pid=4321, name=python, DBE")
    assert find_faulty(end, ("GPU-a", "GPU-b"), BUSES) == ("GPU-b",)


def test_where_nobody_knows_which_it_was_all_of_the_attempts_are() -> None:
    assert find_faulty(fault(), ("GPU-a", "GPU-b"), BUSES) == ("GPU-a", "GPU-b")
    elsewhere = fault("NVRM: Xid (PCI:0000:01:00): 48, pid=4321, name=python, DBE")
    assert find_faulty(elsewhere, ("GPU-a",), BUSES) == ("GPU-a",)


def test_a_code_that_asks_for_nothing_does_not_name_the_device_that_failed() -> None:
    lines = ("NVRM: Xid (PCI:0000:65:00): 45, cleanup", "NVRM: Xid (PCI:0000:CA:00): 79, GPU has fallen off the bus.")
    assert find_faulty(fault(*lines), ("GPU-a", "GPU-b"), BUSES) == ("GPU-b",)


@pytest.mark.parametrize(
    "end",
    [
        fault(advice=Advice.RESTART_HERE),
        fault(advice=Advice.NOTHING),
        fault(cause=Cause.CUDA_ERROR),
        fault(cause=Cause.GPU_MEMORY),
        End(cause=Cause.EXIT_CODE, why="exit code 1"),
    ],
)
def test_what_the_program_may_have_done_is_no_reason(end: End) -> None:
    assert find_faulty(end, ("GPU-a",), BUSES) == ()


def test_an_attempt_without_gpus_speaks_against_none() -> None:
    assert find_faulty(fault(), (), BUSES) == ()
