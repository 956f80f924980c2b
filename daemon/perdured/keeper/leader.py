"""Starts the leader, the command of the attempt, in two steps, so that no command runs before its record is durable.

`fork_leader` makes the process, which then waits at a gate: a pipe. Its PID, start time and pidfd are known, it can be
moved into its cgroup, and `run.json` can be written; then `release` opens the gate and the command is executed. If the
keeper dies before, the pipe closes and the process ends without having run anything.

Why the command could not be executed comes back through a second pipe, which is close-on-exec: its end without a word
means that the command runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import NamedTuple, NoReturn

from .records import Want

OOM_SCORE = "/proc/self/oom_score_adj"
_GO = b"g"
_EXEC_FAILED = 127


class StartError(NamedTuple):
    stage: str
    """"workdir" or "exec"."""
    errno: int
    """0 when it was no system call that failed."""
    text: str


class WaitingLeader(NamedTuple):
    """A child that has not executed the command yet."""

    pid: int
    pidfd: int
    gate: int
    errors: int

    def release(self) -> StartError | None:
        """Lets it run. The reason when the command could not be executed; the child has ended, or is about to, then."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.gate, _GO)
        os.close(self.gate)
        with open(self.errors, encoding="utf-8", errors="replace") as pipe:
            words = pipe.read()
        if not words:
            return None
        stage, number, text = words.split("\0", 2)
        return StartError(stage, int(number), text)

    def abandon(self) -> None:
        """Ends it without having run anything."""
        os.close(self.gate)
        os.close(self.errors)
        os.waitpid(self.pid, 0)
        os.close(self.pidfd)


def fork_leader(want: Want, output: int, oom_score: str | None) -> WaitingLeader:
    """`output` becomes its stdout and stderr; `oom_score` is what the keeper had before it protected itself."""
    gate_out, gate_in = os.pipe()
    errors_out, errors_in = os.pipe()
    # Until the child has dropped the keeper's handlers, a signal to it would be written to the keeper's wakeup pipe.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            os.close(gate_in)
            _become_leader(want, output, oom_score, gate_out, errors_in)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(gate_out)
        os.close(errors_in)
    return WaitingLeader(pid, os.pidfd_open(pid), gate_in, errors_out)


def _become_leader(want: Want, output: int, oom_score: str | None, gate: int, errors: int) -> NoReturn:
    """The child's whole life up to the command. It must never return into the keeper's code."""
    stage = "exec"
    try:
        forget_keeper(output, oom_score)
        if os.read(gate, 1) != _GO:
            os._exit(0)
        stage = "workdir"
        os.chdir(want.workdir)
        stage = "exec"
        os.execvpe(want.argv[0], want.argv, want.env)  # noqa: S606 - the user's command, and never through a shell
    except OSError as error:
        os.write(errors, f"{stage}\0{error.errno or 0}\0{error.strerror or error}".encode())
    except BaseException as error:  # noqa: BLE001 - whatever it is, two keepers must not come of it
        os.write(errors, f"{stage}\0000\0{error}".encode())
    finally:
        os._exit(_EXEC_FAILED)


def forget_keeper(output: int, oom_score: str | None) -> None:
    """Own session, signals as in a fresh process, and no descriptor but the three; all others are close-on-exec."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    if oom_score is not None:
        with contextlib.suppress(OSError):
            write_oom_score(oom_score)


def write_oom_score(text: str) -> None:
    with open(OOM_SCORE, "w", encoding="ascii") as file:
        file.write(text)


def read_oom_score() -> str | None:
    try:
        with open(OOM_SCORE, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None
