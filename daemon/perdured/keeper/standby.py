"""A keeper that stands by: it holds the next attempt's process, which waits, before there is a next attempt.

Its directory is the standby's own, beside those of the attempts, with a `want.json` of what is to be started early. It
holds no attempt, no checkpoint directory and nothing that another could need. On `take` it becomes the keeper of the
attempt in the directory that it is told, from the first step on (`main.py`): locks, socket, `ready`, `go`, run.json.
Only that the leader need not be made: it is there, at a gate as every leader is. `perdure.standby.gate` in the job's
half is the other side.

    daemon → keeper   take <directory>      be the keeper of this attempt
    keeper → daemon   standing              the process waits at its gate
                      failed <text>         there is none; the keeper ends

The end of the channel, the death of the process and SIGTERM end both.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
from pathlib import Path
from typing import NoReturn

from perdured.contract import environment

from . import records, tree
from .channel import STANDING, TAKE, Channel
from .leader import StartError, forget_keeper
from .records import Want

LOG = "standby.log"
"""What it printed while it imported."""
ENDED = "its process ended before it was needed"
_LONGEST_WORD = 64 * 1024


class Unready(Exception):
    """Why there is no standby."""


class WaitingStandby:
    """A leader that was started early; it stands at its gate like one that was not (`leader.WaitingLeader`)."""

    def __init__(self, pid: int, gate: socket.socket) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.gate = gate
        self._waits = True
        self._go = b""
        self._output = -1

    def equip(self, want: Want, output: int) -> WaitingStandby:
        """With what the attempt is to have, from the moment at which it is released."""
        self._go, self._output = format_go(want), os.dup(output)
        return self

    def release(self) -> StartError | None:
        """Lets the program begin. The reason when the command had to be executed anew and could not be."""
        self._waits = False
        with contextlib.suppress(OSError):  # dead: its end is about to be seen
            sent = socket.send_fds(self.gate, [self._go], [self._output])
            self.gate.sendall(self._go[sent:])
        os.close(self._output)
        words = _read_all(self.gate).decode("utf-8", "replace")
        self.gate.close()
        if "\0" not in words:
            return None
        stage, number, text = words.split("\0", 2)
        return StartError(stage, int(number), text)

    def abandon(self) -> None:
        """Ends it without having run anything, and what its imports have started. Nothing, once it was released."""
        if not self._waits:
            return
        self._waits = False
        self.gate.close()
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        while tree.has_children():
            tree.kill_children()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)
        os.close(self.pidfd)


def format_go(want: Want) -> bytes:
    """Bytes, as the kernel will have them: no text of a user's needs a decoder on the way."""
    env = [f"{name}={value}" for name, value in want.env.items()]
    payload = b"".join(os.fsencode(field) + b"\0" for field in (want.workdir, *want.argv, *env))
    return b"%d %d %d\n" % (len(want.argv), len(env), len(payload)) + payload


def fork_standby(want: Want, directory: Path, oom_score: str | None) -> WaitingStandby:
    """`oom_score` is what the keeper had before it protected itself. Raises OSError."""
    ours, theirs = socket.socketpair()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC | os.O_NOFOLLOW
    output = os.open(directory / LOG, flags, 0o600)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become_standby(want, output, oom_score, theirs)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        os.close(output)
    return WaitingStandby(pid, ours)


def _become_standby(want: Want, output: int, oom_score: str | None, gate: socket.socket) -> NoReturn:
    try:
        forget_keeper(output, oom_score)
        os.chdir(want.workdir)
        # As long as it imports, the end of the keeper reaches it as a signal: it may hang, and cannot read.
        fcntl.fcntl(gate, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(gate, fcntl.F_SETFL, fcntl.fcntl(gate, fcntl.F_GETFL) | os.O_ASYNC)
        gate.set_inheritable(True)
        env = {**want.env, environment.STANDBY: str(gate.fileno())}
        os.execvpe(want.argv[0], want.argv, env)  # noqa: S606 - the user's command, and never through a shell
    except BaseException as error:  # noqa: BLE001 - whatever it is, two keepers must not come of it
        gate.sendall(f"unfit it could not be started: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(127)


def wait_until_taken(standby: WaitingStandby, channel: Channel, wakeup: int) -> Path | None:
    """The attempt's directory; None when the daemon has gone, or a signal came, first. Raises Unready."""
    poll = select.poll()
    for descriptor in (channel.fileno(), standby.gate.fileno(), wakeup):
        poll.register(descriptor, select.POLLIN)
    is_ready, heard = False, b""
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if wakeup in ready and signal.SIGTERM in os.read(wakeup, 4096):
            return None
        tree.reap_all(keep=standby.pid)
        if standby.gate.fileno() in ready:
            heard += _hear(standby)
            *lines, heard = heard.split(b"\n")
            for line in lines:
                is_ready = _understand(line, standby.pid) or is_ready
            if is_ready:
                channel.tell(STANDING)
        elif os.waitid(os.P_PIDFD, standby.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            raise Unready(ENDED)
        if channel.fileno() in ready:
            word, _, text = channel.hear().partition(" ")
            if word != TAKE or not is_ready:
                return None
            return Path(text)


def _hear(standby: WaitingStandby) -> bytes:
    data = standby.gate.recv(_LONGEST_WORD)
    if not data:
        raise Unready(ENDED)
    return data


def _understand(line: bytes, pid: int) -> bool:
    """True at `ready`. Raises Unready."""
    word, _, text = line.decode("utf-8", "replace").partition(" ")
    if word == "unfit":
        raise Unready(text)
    if word == "here" and text != str(pid):
        raise Unready("its command starts the interpreter as a process of its own")
    return word == "ready"


def _read_all(gate: socket.socket) -> bytes:
    pieces = []
    with contextlib.suppress(ConnectionError):
        while piece := gate.recv(4096):
            pieces.append(piece)
    return b"".join(pieces)


def load_standby(directory: Path) -> Want:
    try:
        return records.load_want(directory)
    except (OSError, ValueError) as error:
        raise Unready(str(error)) from error
