"""Asks py-spy, where it is installed, for the stacks of a process: those of Python, and of the C code beneath.

To read another's memory is a right that not everybody has, so it is tried in this order:

1. as a child of ours, with the frames of C code (`--native`);
2. where keepers are units, as a unit of its own: the sandbox of the machine's daemon forbids ptrace, and a unit of the
   account's own service manager is not in it;
3. without those frames, which needs less;
4. without stopping the process (`--nonblocking`), which needs no ptrace at all, and may see a stack that changes.

Known limit. Where the kernel lets nobody trace but a parent (`kernel.yama.ptrace_scope` of 1 or more, Ubuntu's usual
one) and the daemon is not root, none of them may: py-spy is no parent of the job. Nobody is let into all jobs for that;
what uses `perdure.Run` tells its Python stacks by itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from perdured.clock import read_uptime

from .systemd import CallRefused, Unanswered, call_manager, find_manager_socket
from .units import SLICE, Properties, make_start
from .waiting import read_all

if TYPE_CHECKING:
    from jeepney import Message

CEILING = 10.0
"""Seconds, for each way."""
_LONGEST_LINE = 200
"""Characters. A frame of C++ may have a thousand."""


def ask_spy(pid: int, *, by_unit: bool, until: float) -> str:
    """Empty where it is not installed, or may not look; `until` is when there is no more time, on the clock of uptime.
    Blocks."""
    spy = find_spy()
    if spy is None:
        return ""
    look = (spy, "dump", "--pid", str(pid))
    ways = [(_ask_child, "--native"), (_ask_unit, "--native"), (_ask_child, ""), (_ask_child, "--nonblocking")]
    for ask, option in ways:
        if read_uptime() >= until or (ask is _ask_unit and not by_unit):
            continue
        said = ask((*look, option) if option else look)
        if said:
            return "\n".join(line[:_LONGEST_LINE] for line in said.splitlines())
    return ""


def find_spy() -> str | None:
    """On the daemon's own path, or beside it. Never the job's: whoever writes that could have it run as the daemon."""
    return shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))


def _ask_child(command: tuple[str, ...]) -> str:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, timeout=CEILING, check=False)
        return done.stdout if done.returncode == 0 else ""
    return ""


def _ask_unit(command: tuple[str, ...]) -> str:
    """The manager tells nobody how it ended who does not listen; what failed has said nothing."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            path = find_manager_socket(os.environ.get("XDG_RUNTIME_DIR"), os.getuid())
            call_manager(path, _make_call(command, theirs))
        finally:
            os.close(theirs)
        return read_all(ours, CEILING).decode("utf-8", "replace")
    except (Unanswered, CallRefused, OSError):
        return ""
    finally:
        os.close(ours)


def _make_call(command: tuple[str, ...], output: int) -> Message:
    properties: Properties = [
        ("Description", ("s", f"Perdure: the stacks of process {command[-2]}")),
        ("Type", ("s", "exec")),
        ("ExecStart", ("a(sasb)", [(command[0], list(command), False)])),
        ("StandardOutputFileDescriptor", ("h", output)),
        ("RuntimeMaxUSec", ("t", round(CEILING * 1e6))),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("Slice", ("s", SLICE)),
    ]
    return make_start(f"perdure-stacks-{secrets.token_hex(4)}.service", properties)
