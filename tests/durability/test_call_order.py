"""The order of the system calls, from a record of the real ones.

`find_misorders` states the protocol as rules over a trace; it is given the trace of the shim, the trace of `strace`,
and traces in which one rule was broken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.faults import Call, Kernel, installed
from support.stores import Payload, commit, commit_large, large_payload_of, payload_of
from support.traces import find_misorders, parse_strace

SCRIPTS: dict[str, tuple[str, Callable[[int], Payload]]] = {
    "small": ("commit", payload_of),
    "several chunks": ("commit_large", large_payload_of),
}
each_size = pytest.mark.parametrize("size", list(SCRIPTS))


def _record_commit(root: Path, size: str = "small") -> list[Call]:
    commit(root, 10)
    with installed(Kernel()) as kernel:
        commit(root, 20) if size == "small" else commit_large(root, 20)
    return kernel.done


@each_size
def test_a_commit_makes_its_calls_in_the_order_of_the_protocol(size: str, tmp_path: Path) -> None:
    """The shim's record, with a file in a sub-directory and an older checkpoint beside."""
    root = tmp_path / "root"
    calls = _record_commit(root, size)
    assert not list(find_misorders(calls, root, set(SCRIPTS[size][1](20))))
    assert {call.name for call in calls} >= ({"pwrite", "truncate"} if size != "small" else set())


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@each_size
def test_the_kernel_sees_the_same_order(size: str, tmp_path: Path) -> None:
    """Nothing between Python and the kernel swallows or moves a call."""
    root, trace = tmp_path / "root", tmp_path / "trace"
    function, payload = SCRIPTS[size]
    script = f"from pathlib import Path; from support.stores import *; commit(Path({str(root)!r}), 10)"
    script += "; import os; os.write(2, b'BEGIN'); " + f"{function}(Path({str(root)!r}), 20)"
    calls = (
        "trace=openat,open,creat,mkdir,mkdirat,write,pwrite64,ftruncate,fsync,fdatasync,close,rename,renameat,renameat2"
        ",unlink,unlinkat"
    )
    done = subprocess.run(
        ["strace", *f"-f -qq -y -s 64 -e signal=none -e {calls} -o {trace}".split(), sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0 and "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    _, _, text = trace.read_text().partition('"BEGIN"')
    recorded = parse_strace(text)
    assert not list(find_misorders(recorded, root, set(payload(20))))
    assert len([call for call in recorded if call.name == "pwrite"]) == (6 if size != "small" else 0)


def _broken_traces(calls: list[Call]) -> Iterator[tuple[str, list[Call]]]:
    """Each sync and cut left out, and each moved behind the call after it that is not a close."""
    for index, call in enumerate(calls):
        if call.name == "truncate":
            yield f"{call} first", [call, *calls[:index], *calls[index + 1 :]]
        if call.name not in ("fsync", "fsyncdir"):
            continue
        rest = calls[:index] + calls[index + 1 :]
        yield f"without {call}", rest
        after = next((i for i in range(index, len(rest)) if rest[i].name in ("rename", "create", "mkdir")), None)
        if after is not None:
            yield f"{call} after {rest[after]}", [*rest[: after + 1], call, *rest[after + 1 :]]


@each_size
def test_the_rules_see_each_sync_that_is_missing_or_late(size: str, tmp_path: Path) -> None:
    """Every one of them, or the rules would not be what the protocol rests on."""
    root = tmp_path / "root"
    calls = _record_commit(root, size)
    broken = list(_broken_traces(calls))
    assert len(broken) > 10
    missed = [what for what, trace in broken if not list(find_misorders(trace, root, set(SCRIPTS[size][1](20))))]
    # A file's sync may come after the next file was begun: what counts is that it is before the rename.
    assert not [what for what in missed if not re.search(r"name='fsync'.* after .*name='create'", what)]
