"""The files of an attempt's directory: the truth about what happened.

| file | written by | says |
|---|---|---|
| `want.json` | daemon, before anything is started | what to start, and the nonce that proves who was asked |
| `run.json` | keeper, before the command runs | who the keeper and the leader are |
| `stop.json` | keeper, before it signals | that a stop was accepted, why, and until when |
| `exit.json` | keeper, before it reaps the leader | how it ended; written again when nothing of the attempt is left |

Each is JSON, written durably and replaced whole. Unknown keys are ignored, so that an older reader survives a newer
writer. `load_want` raises FileNotFoundError where there is none, the others return None; what cannot be understood is
a ValueError, never a guess.

All are private to their owner (mode 0600): the environment of a job holds keys and tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from perdured.contract import durable
from perdured.contract.pacing import Pace, parse_pace

from .identity import Identity

VERSION = 1

WANT = "want.json"
RUN = "run.json"
STOP = "stop.json"
EXIT = "exit.json"
LOCK = "lock"
SOCKET = "keeper.sock"
KEEPER_LOG = "keeper.log"
OUTPUT_LOG = "output.log"

EXITED = "exited"
SIGNALED = "signaled"
TIMED_OUT = "timed_out"
NOT_STARTED = "not_started"


Data = Mapping[str, object]
R = TypeVar("R")
T = TypeVar("T", str, int, float, bool, "list[object]", "dict[str, object]")


class Leash(NamedTuple):
    """Until when an attempt may run, where its job is leased."""

    until: float
    """Seconds of CLOCK_BOOTTIME."""
    grace: float
    """So early before, it is asked to end."""


class Want(NamedTuple):
    job: str
    attempt: int
    nonce: str
    argv: tuple[str, ...]
    env: dict[str, str]
    """The whole environment of the command: nothing of the keeper's own is added."""
    workdir: str
    stop_signal: int
    grace: float
    """Seconds, for a stop that the keeper is told of by SIGTERM."""
    cgroup: str | None
    """An empty cgroup v2 directory for the command and all that it starts."""
    checkpoint_dir: str | None = None
    """The directory that the keeper holds for the attempt, so that nobody else writes checkpoints there."""
    unit: str | None = None
    """The unit of systemd that the keeper is; then the cgroup around it is its own, and it makes the leaf itself."""
    leash: Leash | None = None


class RunRecord(NamedTuple):
    keeper: Identity
    leader: Identity
    started_at: float
    """Seconds since the epoch."""
    cgroup: str | None
    """Where the leader really is; None when it could not be moved there."""


class StopRecord(NamedTuple):
    reason: str
    signal: int
    grace: float
    asked_at: float
    """Seconds since the epoch, for people."""
    deadline: float
    """Seconds of CLOCK_BOOTTIME, for the keeper."""


class Usage(NamedTuple):
    """What the leader and the children it waited for have used (getrusage(2))."""

    user_seconds: float
    system_seconds: float
    max_rss_kib: int


class ExitRecord(NamedTuple):
    reason: str
    at: float
    """Seconds since the epoch."""
    at_boot: float
    """Seconds of CLOCK_BOOTTIME: comparable with other records of the same boot, whatever the wall clock did."""
    exit_code: int | None = None
    signal: int | None = None
    raw_status: int | None = None
    """As wait(2) encodes it; tells a core dump from a plain death."""
    error: str | None = None
    stop_reason: str | None = None
    leftover: int = 0
    """Processes that outlived the leader and had to be killed."""
    drained: bool = False
    """True once nothing of the attempt is left. The first record of an end is made before that."""
    oom_kills: int | None = None
    """Kills by the kernel for memory in the leader's memory cgroup during the attempt; None when it cannot be read."""
    usage: Usage | None = None
    step: int | None = None
    loss: float | None = None
    total: int | None = None
    checkpoint_step: int | None = None
    checkpoint_path: str | None = None
    not_saved: str | None = None
    """Why the last snapshot that the job left in memory was not committed."""
    pace: Pace | None = None
    """As the job last told it, for the next attempt."""
    tally: dict[str, object] | None = None
    """What the time of the attempt went into (`perdured.keeper.tally`)."""


def load_want(directory: Path) -> Want:
    want = _load(directory, WANT, _parse_want)
    if want is None:
        raise FileNotFoundError(f"{WANT} is missing in {directory}")
    return want


def load_run(directory: Path) -> RunRecord | None:
    return _load(directory, RUN, _parse_run)


def load_stop(directory: Path) -> StopRecord | None:
    return _load(directory, STOP, _parse_stop)


def load_exit(directory: Path) -> ExitRecord | None:
    return _load(directory, EXIT, parse_exit)


def save_want(directory: Path, want: Want) -> None:
    _save(directory, WANT, want)


def save_run(directory: Path, run: RunRecord) -> None:
    _save(directory, RUN, run)


def save_stop(directory: Path, stop: StopRecord) -> None:
    _save(directory, STOP, stop)


def save_exit(directory: Path, exit: ExitRecord) -> None:
    _save(directory, EXIT, exit)


def to_plain(value: object) -> object:
    """A record as JSON knows it: NamedTuples become objects, at any depth."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: to_plain(item) for key, item in value._asdict().items()}
    return value


def take(data: Data, key: str, kind: type[T]) -> T:
    """The value of `key`, which must be there and of this kind. An int will do for a float, a bool for nothing else."""
    value = data.get(key)
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or type(value) is not kind:  # True is an int to isinstance
        raise ValueError(f"{key} must be of kind {kind.__name__}, not {repr(value)[:100]}")
    return value


def take_optional(data: Data, key: str, kind: type[T]) -> T | None:
    return None if data.get(key) is None else take(data, key, kind)


def parse_exit(data: Data) -> ExitRecord:
    usage, pace = take_optional(data, "usage", dict), take_optional(data, "pace", dict)
    return ExitRecord(
        reason=take(data, "reason", str),
        at=take(data, "at", float),
        at_boot=take(data, "at_boot", float),
        exit_code=take_optional(data, "exit_code", int),
        signal=take_optional(data, "signal", int),
        raw_status=take_optional(data, "raw_status", int),
        error=take_optional(data, "error", str),
        stop_reason=take_optional(data, "stop_reason", str),
        leftover=take(data, "leftover", int),
        drained=take(data, "drained", bool),
        oom_kills=take_optional(data, "oom_kills", int),
        usage=_parse_usage(usage) if usage is not None else None,
        step=take_optional(data, "step", int),
        loss=take_optional(data, "loss", float),
        total=take_optional(data, "total", int),
        checkpoint_step=take_optional(data, "checkpoint_step", int),
        checkpoint_path=take_optional(data, "checkpoint_path", str),
        not_saved=take_optional(data, "not_saved", str),
        pace=parse_pace(pace) if pace is not None else None,
        tally=take_optional(data, "tally", dict),
    )


def _parse_want(data: Data) -> Want:
    env = take(data, "env", dict)
    argv = take(data, "argv", list)
    words = tuple(word for word in argv if isinstance(word, str))
    leash = take_optional(data, "leash", dict)
    if not words or len(words) != len(argv):
        raise ValueError("argv must be a list of strings, with at least the command")
    return Want(
        job=take(data, "job", str),
        attempt=take(data, "attempt", int),
        nonce=take(data, "nonce", str),
        argv=words,
        env={name: take(env, name, str) for name in env},
        workdir=take(data, "workdir", str),
        stop_signal=take(data, "stop_signal", int),
        grace=take(data, "grace", float),
        cgroup=take_optional(data, "cgroup", str),
        checkpoint_dir=take_optional(data, "checkpoint_dir", str),
        unit=take_optional(data, "unit", str),
        leash=parse_leash(leash) if leash is not None else None,
    )


def parse_leash(data: Data) -> Leash:
    leash = Leash(take(data, "until", float), take(data, "grace", float))
    if not (math.isfinite(leash.until) and math.isfinite(leash.grace) and leash.grace >= 0):
        raise ValueError("until and grace must be numbers of seconds")
    return leash


def _parse_run(data: Data) -> RunRecord:
    return RunRecord(
        keeper=_parse_identity(take(data, "keeper", dict)),
        leader=_parse_identity(take(data, "leader", dict)),
        started_at=take(data, "started_at", float),
        cgroup=take_optional(data, "cgroup", str),
    )


def _parse_stop(data: Data) -> StopRecord:
    return StopRecord(
        reason=take(data, "reason", str),
        signal=take(data, "signal", int),
        grace=take(data, "grace", float),
        asked_at=take(data, "asked_at", float),
        deadline=take(data, "deadline", float),
    )


def _parse_identity(data: Data) -> Identity:
    return Identity(take(data, "pid", int), take(data, "start_time", int), take(data, "boot_id", str))


def _parse_usage(data: Data) -> Usage:
    return Usage(take(data, "user_seconds", float), take(data, "system_seconds", float), take(data, "max_rss_kib", int))


def _load(directory: Path, name: str, parse: Callable[[Data], R]) -> R | None:
    try:
        data = durable.load_json(directory / name)
    except FileNotFoundError:
        return None
    if not isinstance(data, dict):
        raise ValueError(f"{name}: not an object")
    try:
        return parse(data)
    except ValueError as error:
        raise ValueError(f"{directory / name}: {error}") from None


def _save(directory: Path, name: str, record: NamedTuple) -> None:
    data = {"version": VERSION, **record._asdict()}
    text = json.dumps({key: to_plain(value) for key, value in data.items()})
    durable.write_file(directory / name, text.encode(), mode=0o600)
