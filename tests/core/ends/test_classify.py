"""The class of each end, from evidence as values: the cases that no program of `tests/ends` can make by itself."""

from __future__ import annotations

from typing import Any

import pytest

from perdured.core.decide import decide
from perdured.core.ends.cause import Cause
from perdured.core.ends.classify import classify_end
from perdured.core.ends.evidence import Evidence
from perdured.core.ends.xid import ADVICE_TEXT, CATALOGUE, Advice, find_advice
from perdured.core.observation import Absent, AttemptSeen, Ended, Exit
from support.jobs import NOW, PID, ended, killed, lost, make_record, make_spec, not_started, observed, refused

OOM_LINE = "Out of memory: Killed process {} (python) total-vm:1234kB, anon-rss:99kB, file-rss:0kB, UID:0"
XID = "NVRM: Xid (PCI:0000:3b:00): {}, pid={}, name=python, GPU has fallen off the bus."
XID_WITHOUT_PID = "NVRM: Xid (PCI:0000:3b:00): {}, pid='<unknown>', name=<unknown>, Graphics Exception"
ILLEGAL = (
    "Traceback (most recent call last):",
    '  File "train.py", line 5, in <module>',
    "RuntimeError: CUDA error: an illegal memory access was encountered",
)
WORKER = (
    "Traceback (most recent call last):",
    '  File "train.py", line 5, in <module>',
    "RuntimeError: DataLoader worker (pid 77) is killed by signal: Killed. ",
)


def fell(
    output: tuple[str, ...] = (), kernel: tuple[str, ...] = (), *, oom_kills: int | None = None, **exit: Any
) -> Ended:
    """It ended with exit code 1 unless told otherwise."""
    facts: dict[str, Any] = {"reason": "exited", "exit_code": 1} | exit | {"oom_kills": oom_kills}
    return Ended(pid=PID, exit=Exit(at=NOW, **facts), evidence=Evidence(output=output, kernel=kernel))


def shot(output: tuple[str, ...] = (), kernel: tuple[str, ...] = (), number: int = 9, **more: Any) -> Ended:
    return fell(output, kernel, **({"reason": "signaled", "exit_code": None, "signal": number} | more))


CASES: dict[str, tuple[AttemptSeen, Cause, str]] = {
    "nothing was found": (Absent(), Cause.UNKNOWN, "unknown"),
    "nobody saw it": (lost(), Cause.UNKNOWN, "the exit is unknown"),
    "the machine was restarted": (lost(rebooted=True), Cause.REBOOTED, "restarted"),
    "the command is not there": (not_started(), Cause.NOT_STARTED, "pithon"),
    "the ground is unfit": (refused("no workdir"), Cause.REFUSED, "no workdir"),
    "stopped": (ended(75, stop_reason="stop"), Cause.STOPPED, "stop"),
    "stopped and deaf": (killed(9, stop_reason="stop", is_late=True), Cause.STOPPED, "grace was over"),
    "preempted": (ended(1, stop_reason="preempted"), Cause.PREEMPTED, "preempted"),
    "it hung": (killed(9, stop_reason="hang", is_late=True), Cause.HANG, "hang"),
    "exit 78 though it was asked to stop": (ended(78, stop_reason="stop"), Cause.PERMANENT, "exit code 78"),
    "the kernel names it": (shot(kernel=(OOM_LINE.format(PID),)), Cause.HOST_MEMORY, "the kernel killed it"),
    "the kernel names another": (shot(kernel=(OOM_LINE.format(PID + 1),)), Cause.SIGNAL, "signal 9"),
    "the cgroup counted": (shot(oom_kills=1), Cause.HOST_MEMORY, "the kernel killed it"),
    "the cgroup counted nothing": (shot(oom_kills=0), Cause.SIGNAL, "signal 9"),
    "the cgroup counted, and it is another signal": (shot(number=15, oom_kills=1), Cause.SIGNAL, "signal 15"),
    "the cgroup counted a worker": (fell(WORKER, oom_kills=1), Cause.HOST_MEMORY, "worker"),
    "a worker was killed": (fell(WORKER, oom_kills=0), Cause.SIGNAL, "is killed by signal: Killed"),
    "the cgroup counted a stranger": (fell(ILLEGAL, oom_kills=1), Cause.CUDA_ERROR, "illegal memory access"),
    "a shell tells of a kill": (fell(exit_code=137, oom_kills=1), Cause.HOST_MEMORY, "the kernel killed it"),
    "the GPU is gone": (
        shot(kernel=(XID.format(79, PID),)),
        Cause.GPU_FAULT,
        "Xid 79 (the GPU has fallen off the bus)",
    ),
    "the GPU of another is gone": (shot(kernel=(XID.format(79, PID + 1),)), Cause.SIGNAL, "signal 9"),
    "the GPU of nobody in particular": (shot(kernel=(XID_WITHOUT_PID.format(48),)), Cause.GPU_FAULT, "Xid 48"),
    "a CUDA error and a GPU": (fell(ILLEGAL, (XID.format(95, 7),)), Cause.GPU_FAULT, "Xid 95"),
    "a CUDA error of its own making": (fell(ILLEGAL, (XID.format(31, PID),)), Cause.CUDA_ERROR, "illegal memory"),
    "a page fault alone": (shot(kernel=(XID.format(31, PID),), number=6), Cause.GPU_FAULT, "Xid 31"),
    "an echo alone": (shot(kernel=(XID.format(45, PID),)), Cause.SIGNAL, "signal 9"),
    "a code of the future": (shot(kernel=(XID.format(999, PID),)), Cause.GPU_FAULT, "Xid 999"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_class_of_an_end(case: tuple[AttemptSeen, Cause, str]) -> None:
    seen, cause, said = case
    end = classify_end(seen)
    assert end.cause == cause
    assert said in end.why


def test_what_a_fault_of_the_gpu_asks_for_is_said() -> None:
    end = classify_end(fell(ILLEGAL, (XID.format(13, PID), XID.format(95, PID), XID.format(45, PID))))
    assert end.advice == ADVICE_TEXT[Advice.RESET], "of several codes the gravest counts"
    assert classify_end(fell(ILLEGAL)).advice is None


@pytest.mark.parametrize(
    ("codes", "advice"),
    [
        ((13, 31, 32, 39, 94, 133), Advice.RESTART_HERE),
        ((74, 145, 150), Advice.RESTART_ELSEWHERE),
        ((46, 48, 62, 64, 95, 109, 119, 120, 140, 143), Advice.RESET),
        ((54, 79), Advice.DRAIN),
        ((43, 45, 63, 92, 154), Advice.NOTHING),
        ((1, 2, 73, 162, 500), Advice.INVESTIGATE),
    ],
)
def test_each_published_code_has_its_advice(codes: tuple[int, ...], advice: Advice) -> None:
    assert [find_advice(code) for code in codes] == [advice] * len(codes)


def test_no_code_is_in_the_catalogue_twice() -> None:
    """A later entry would silently take the place of an earlier one."""
    from perdured.core.ends import xid

    parts = (xid._NOTHING, xid._RESTART_HERE, xid._ELSEWHERE, xid._RESET, xid._DRAIN)
    assert sum(map(len, parts)) == len(CATALOGUE)


def test_who_sent_the_signal_is_said_where_it_is_known() -> None:
    assert classify_end(shot(oom_kills=1)).sender == "kernel"
    assert classify_end(killed(9, stop_reason="stop", is_late=True)).sender == "perdure"
    assert classify_end(shot()).sender is None


def test_the_evidence_is_bounded_however_much_was_printed() -> None:
    lines = tuple(f"{n} " + "x" * 4000 for n in range(2000))
    end = classify_end(fell(lines, tuple(OOM_LINE.format(n) for n in range(2000))))
    assert len(end.model_dump_json()) < 10_000
    deep = (
        "Traceback (most recent call last):",
        *('  File "a.py", line 1, in f', "    f()") * 900,
        "ValueError: " + "y" * 9000,
    )
    assert len(classify_end(fell(deep)).model_dump_json()) < 10_000


def test_the_trigger_and_the_step_of_a_decision_read_an_end_once() -> None:
    seen = fell(("Traceback (most recent call last):", "ValueError: x"))
    classify_end.cache_clear()
    decide(make_spec(), make_record(), observed(seen), NOW)
    info = classify_end.cache_info()
    assert (info.misses, info.hits) == (1, 1)
