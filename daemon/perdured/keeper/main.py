"""The keeper's life, from its first line to its last: one process per attempt, which outlives the daemon.

Rules
-----
- **The daemon is not needed.** Once started, a keeper needs nobody: it holds the process tree, the stop deadline and
  the exit status, and the daemon may die, be upgraded or hang meanwhile. Nor does the job need the keeper: what it
  prints goes to its own file, never through a pipe that somebody must read.
- **No command runs before its record is durable**, and no signal is sent before the stop is (`leader.py`, `keeper.py`).
  Where a record cannot be written, a start does not happen; a stop happens all the same, because a full disk is no
  reason to let a deadline pass; and an end is kept, told, and written again until it is durable. Nothing is ever killed
  for bookkeeping.
- **An exit is recorded before the leader is reaped**, and an exit that nobody saw is unknown, never a success.
- **The lock is the keeper's life.** It is taken before all else and released last, by the kernel if by nobody else.
  While it is held, nobody else starts, signals or clears anything of the attempt. It is free only when no process of
  the attempt is left.
- **The checkpoint directory is held as well** (`contract/holding.py`), against attempts of other jobs and daemons. It
  is let go of before the lock is, also by a kill: whoever finds the attempt over finds the directory free.
- **A stop asks the leader alone**, so that the helpers of a training process do not die under its checkpoint; at the
  deadline the whole tree is killed. A second stop can only bring the deadline nearer.
- **One thread, no ticks.** It waits for descriptors (pidfd, sockets, signals) and for deadlines on CLOCK_BOOTTIME, and
  does nothing in between. No client can hold it up (`clients.py`).
- **The job's last snapshot is committed before the lock is free**, by a child that holds it as well (`memory.py`).
- **All is imported before `ready`**, but for what that child needs: from the standard library and `perdured.contract`
  alone, with `-I -S`, so that neither an upgrade on disk nor the user's environment can change a keeper that runs.

Every crash on the way
----------------------
Daemon: D1 make the cgroup leaf and save want.json, D2 spawn the keeper, D3 send `go` when it is ready.
Keeper: K1 directory and lock, K2 (in a unit of its own) the leaf, socket, `ready`, K3 fork the leader, which waits at a
gate, K4 save run.json, K5 open the gate, K6 leader ends: save exit.json, K7 reap, K8 kill what is left, K9 save
exit.json with their number, release the locks.

| who dies | when | what is left | observed as |
|---|---|---|---|
| daemon | before D2 | want.json, an empty leaf | Absent: a new start is safe |
| daemon | D2 to D3 | the keeper reads the end of the channel, and ends | Held for a moment, then Absent |
| daemon | after D3 | all goes on | Held: adopt |
| keeper | before K4 | the gate closes: the leader ends without having run the command | Absent |
| keeper | K4 to K5 | the same, and run.json | Lost: clearing finds nothing |
| keeper | K5 to K6 | the job lives on, unsupervised | Orphaned, and Lost when it ends |
| keeper | K6 to K9 | exit.json, not `drained`; perhaps stray processes | Ended |
| both | any | as for the keeper | as for the keeper |
| machine | any | files | Absent, Ended, or Lost with another boot id |

Whatever was observed, `start_keeper` starts nothing before the attempt before is over: its lock is free, and its end is
`drained` or `perform_clean` has emptied its cgroup, or found what is left by the nonce in its environment.

A keeper may be there before its attempt is, with a process that waits to be its leader (`standby.py`). It holds nothing
of an attempt then, and ends with the daemon. Once it is told which attempt it is for, all is as above from K1 on, but
that K3 finds the process there.

Known limits
------------
- How an orphan ended stays unknown: its exit status belongs to whoever reaps it.
- A process that is stuck in the kernel (a dead network disk, a GPU driver) cannot be killed; the lock is held until it
  is gone. That is the point of the lock.
- Without a cgroup, what another program starts on the job's behalf (systemd-run, a container engine) is out of reach.
- PIDs are of the keeper's own PID namespace: a daemon in another one can neither adopt nor clear.
- A file system that hangs while a record is written holds up the keeper; the job goes on.
- `usage.max_rss_kib` starts at what the keeper itself had when it forked, some 12 MB.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path
from typing import NamedTuple

from perdured.contract import sockets
from perdured.contract.holding import DirectoryTaken, hold_directory

from . import cgroup, records, tree
from .channel import FAILED, NOT_STARTED, READY, STARTED, TAKEN, Channel
from .explain import explain
from .guard import Guard
from .identity import identify
from .keeper import Attempt, Keeper
from .leader import WaitingLeader, fork_leader, read_oom_score, write_oom_score
from .lock import take_lock
from .log import log, log_failure
from .loop import read_clock
from .records import ExitRecord, RunRecord, Want
from .standby import Unready, WaitingStandby, fork_standby, load_standby, wait_until_taken

_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_HANDLED = (signal.SIGTERM, signal.SIGCHLD)
_OOM_SCORE = "-900"
"""The kernel's out-of-memory killer takes nearly anything else first."""


class Refused(Exception):
    """Why nothing was started."""


class Stance(NamedTuple):
    """What makes a process a keeper, whatever it holds."""

    wakeup: int
    oom_score: str | None
    """That it had before."""


class Post(NamedTuple):
    """What the keeper has taken up before it may start anything."""

    directory: Path
    locks: frozenset[int]
    """Of the attempt, and of the checkpoint directory."""
    guard: Guard | None
    """Of the latter."""
    want: Want
    listener: socket.socket
    stance: Stance
    leaf: str | None
    """The cgroup for the command and all that it starts."""
    standby: WaitingStandby | None
    """The leader, where it was started early."""


def main(directory: str, *, stands_by: bool = False) -> int:
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    channel = Channel()
    os.chdir("/")
    try:
        if stands_by:
            _stand_by(Path(directory), channel)
        else:
            _keep(Path(directory), channel, _take_stance(), None)
    except DirectoryTaken as taken:
        log(f"the checkpoint directory is held by {taken}")
        channel.tell(TAKEN, str(taken))
        return 1
    except (Refused, Unready) as refused:
        log(str(refused))
        channel.tell(FAILED, str(refused))
        return 1
    except Exception as error:  # noqa: BLE001 - the daemon must learn of it; the traceback is in keeper.log
        log_failure("holding the attempt")
        channel.tell(FAILED, f"{type(error).__name__}: {error}")
        return 1
    return 0


def _stand_by(directory: Path, channel: Channel) -> None:
    lock = take_lock(directory / records.LOCK)
    if lock is None:
        raise Refused("another keeper stands by")
    want, stance = load_standby(directory), _take_stance()
    standby = fork_standby(want, directory, stance.oom_score)
    try:
        attempt = wait_until_taken(standby, channel, stance.wakeup)
        if attempt is not None:
            _go_over_to(attempt)
            os.close(lock)  # another may stand by from now on
            _keep(attempt, channel, stance, standby)
    finally:
        standby.abandon()


def _go_over_to(attempt: Path) -> None:
    """What the keeper has to say belongs to the attempt."""
    log = os.open(attempt / records.KEEPER_LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def _keep(directory: Path, channel: Channel, stance: Stance, standby: WaitingStandby | None) -> None:
    with contextlib.ExitStack() as leaving:
        post = _take_post(directory, leaving, stance, standby)
        channel.tell(READY)
        if not channel.wait_for_go(stance.wakeup):
            log("told to end before anything was started")
            return
        has_run = _run_attempt(post, channel)
    if not has_run:
        channel.tell(NOT_STARTED)


def _take_stance() -> Stance:
    wakeup = _take_signals()
    tree.become_subreaper()
    oom_score = read_oom_score()
    with contextlib.suppress(OSError):  # not everybody may
        write_oom_score(_OOM_SCORE)
    return Stance(wakeup, oom_score)


def _take_post(directory: Path, leaving: contextlib.ExitStack, stance: Stance, standby: WaitingStandby | None) -> Post:
    """`leaving` undoes it in reverse, the lock last: whoever finds that free finds nothing else left."""
    want = records.load_want(directory)
    guard = _hold(want, want.checkpoint_dir) if want.checkpoint_dir is not None else None
    lock = take_lock(directory / records.LOCK)
    if lock is None:
        raise Refused("another keeper holds this attempt")
    leaving.callback(os.close, lock)
    if guard is not None:
        leaving.callback(os.close, guard.held)
    if (directory / records.RUN).exists() or (directory / records.EXIT).exists():
        raise Refused("this attempt has been started before; an attempt starts once")
    leaf = want.cgroup if want.unit is None else cgroup.make_leaf("attempt")
    if leaf is not None:
        leaving.callback(cgroup.remove, leaf)
    listener = sockets.bind_unix(directory / records.SOCKET)
    leaving.callback((directory / records.SOCKET).unlink, missing_ok=True)
    leaving.callback(listener.close)
    locks = frozenset({lock} if guard is None else {lock, guard.held})
    return Post(directory, locks, guard, want, listener, stance, leaf, standby)


def _hold(want: Want, root: str) -> Guard:
    """Before the attempt's lock is taken: a killed process lets go of its descriptors in their order."""
    name = f"job {want.job} (attempt {want.attempt})"
    try:
        return Guard(Path(root), hold_directory(Path(root), name), name)
    except OSError as error:
        raise Refused(f"the checkpoint directory {root} cannot be held: {error.strerror}") from error


def _take_signals() -> int:
    """A descriptor that becomes readable at each signal that matters, and holds their numbers."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    wakeup, signalled = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    for number in _HANDLED:
        signal.signal(number, lambda *_: None)
    return wakeup


def _run_attempt(post: Post, channel: Channel) -> bool:
    """False when the command could not be executed."""
    leader = _find_leader(post)
    try:
        run = _record_start(post, leader)
    except OSError as error:
        leader.abandon()
        raise Refused(f"cannot save {records.RUN}: {error.strerror}") from error
    oom_kills = cgroup.read_oom_kills()
    attempt = Attempt(post.directory, post.locks, post.guard, post.want, run, leader.pidfd, oom_kills)
    keeper = Keeper(attempt, post.listener, post.stance.wakeup)
    failure = leader.release()
    if failure is None:
        channel.tell(STARTED)
        channel.close()
        keeper.hold()
    else:
        os.waitpid(leader.pid, 0)
        text = explain(post.want, failure)
        keeper.conclude(ExitRecord(records.NOT_STARTED, time.time(), read_clock(), error=text, drained=True))
    keeper.close()
    return failure is None


def _find_leader(post: Post) -> WaitingLeader | WaitingStandby:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    try:
        output = os.open(post.directory / records.OUTPUT_LOG, flags, 0o600)
        try:
            if post.standby is None:
                return fork_leader(post.want, output, post.stance.oom_score)
            return post.standby.equip(post.want, output)
        finally:
            os.close(output)
    except OSError as error:
        raise Refused(f"cannot make a process for the command: {error}") from error


def _record_start(post: Post, leader: WaitingLeader | WaitingStandby) -> RunRecord:
    leaf = post.leaf
    try:
        if leaf is not None:
            cgroup.join(leaf, leader.pid)
    except OSError as error:
        log(f"cannot move the leader into {leaf}: {error}; going on without a cgroup")
        leaf = None
    run = RunRecord(identify(os.getpid()), identify(leader.pid), time.time(), leaf)
    records.save_run(post.directory, run)
    return run
