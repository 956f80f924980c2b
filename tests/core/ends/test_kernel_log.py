"""Lines of the kernel's log, as kernels and drivers of several versions write them."""

from __future__ import annotations

import pytest

from perdured.core.ends.kernel_log import parse_kernel_line, parse_kmsg


@pytest.mark.parametrize(
    ("line", "kind", "pid", "xid"),
    [
        ("NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python, GPU has fallen off the bus.", "xid", 1234, 79),
        (
            "NVRM: Xid (PCI:0000:cb:00): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception",
            "xid",
            None,
            13,
        ),
        ("NVRM: Xid (PCI:0000:10:1c): 63, pid=1896, Row Remapper: New row marked for remapping", "xid", 1896, 63),
        ("NVRM: Xid (0000:03:00): 14, Channel 00000001", "xid", None, 14),
        ("NVRM: GPU at PCI:0000:3b:00: GPU-aaaa", None, None, None),
        ("Out of memory: Killed process 4242 (python) total-vm:1kB, anon-rss:2kB", "oom_kill", 4242, None),
        ("Memory cgroup out of memory: Killed process 4242 (python) total-vm:1kB", "oom_kill", 4242, None),
        (
            "Memory cgroup out of memory: Kill process 4242 (python) score 999 or sacrifice child",
            "oom_kill",
            4242,
            None,
        ),
        ("python[15969]: segfault at 0 ip 00007f67 sp 00007fff error 4 in libc.so.6", "fault", 15969, None),
        ("traps: python[15969] trap divide error ip:7f67 sp:7fff error:0 in x.so", "fault", 15969, None),
        ("traps: python[15969] general protection fault ip:7f67 sp:7fff", "fault", 15969, None),
        ("EXT4-fs (loop0): recovery complete", None, None, None),
    ],
)
def test_a_line_of_the_log(line: str, kind: str | None, pid: int | None, xid: int | None) -> None:
    fact = parse_kernel_line(line)
    assert (fact.kind, fact.pid, fact.xid) == (kind, pid, xid) if fact else kind is None


def test_a_record_of_kmsg() -> None:
    record = parse_kmsg("3,1234,5004003001,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1\n SUBSYSTEM=pci\n DEVICE=+pci:0000")
    assert record == (5004.003001, "NVRM: Xid (PCI:0000:3b:00): 79, pid=1")


@pytest.mark.parametrize("data", ["", "nonsense", "1,2;x", "1,2,x,-;text"])
def test_a_record_that_makes_no_sense_is_passed_over(data: str) -> None:
    assert parse_kmsg(data) is None
