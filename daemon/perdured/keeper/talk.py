"""What the keeper's clients say and hear, as pure functions: lines to values, values to the next value.

Whatever is not understood as a whole is a ValueError, and costs that client its connection. A type of message that is
not known is ignored: it may come from a newer version.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Mapping
from typing import NamedTuple

from perdured.contract import messages
from perdured.contract.pacing import Pace, parse_pace

from .pulse import Pulse, describe_pulse, end_save, hear_pulse
from .records import ExitRecord, RunRecord, StopRecord, take, take_optional, to_plain
from .tally import Tally, describe_tally, end_save_of, hear_tally

_LONGEST_PATH = 4096
_LONGEST_REASON = 1000
_LARGEST_STEP = 2**63 - 1


class Stand(NamedTuple):
    """Where a client of the job stands still."""

    client: int
    step: int
    is_saved: bool


class Told(NamedTuple):
    """All that the job has told so far."""

    step: int | None = None
    loss: float | None = None
    total: int | None = None
    saving_by: int | None = None
    """The client that is saving."""
    checkpoint_step: int | None = None
    checkpoint_path: str | None = None
    pace: Pace | None = None
    is_writing: bool = False
    """A snapshot of it is being committed."""
    unhealthy_since: int | None = None
    """The step from which on every loss that was told was not finite."""
    pulse: Pulse | None = None
    """None while no process of the job is there to tell."""
    stacks: tuple[int, int] | None = None
    """A process that writes its stacks on a signal: (client, signal)."""
    can_park: int | None = None
    """The client that stands still when it is asked to."""
    parked: Stand | None = None
    tally: Tally = Tally()
    """What its time has gone into."""


class StopAsked(NamedTuple):
    reason: str
    signal: int
    grace: float


class Hello(NamedTuple):
    role: str
    epoch: int


def parse_line(line: bytes) -> dict[str, object]:
    try:
        message = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(message, dict):
        raise ValueError("a message must be an object")
    take(message, "type", str)
    return message


def parse_hello(message: Mapping[str, object], nonce: str) -> Hello:
    """ValueError unless it is a job's, or a daemon's that knows this attempt's nonce."""
    if message["type"] != messages.HELLO:
        raise ValueError("the first message must be a hello")
    role = take(message, "role", str)
    if role == messages.ROLE_JOB:
        return Hello(role, 0)
    if role != messages.ROLE_DAEMON or take(message, "nonce", str) != nonce:
        raise ValueError("neither a job nor this attempt's daemon")
    return Hello(role, take_optional(message, "epoch", int) or 0)


def parse_stop(message: Mapping[str, object], default_signal: int) -> StopAsked:
    grace = take(message, "grace", float)
    if not (math.isfinite(grace) and grace >= 0):
        raise ValueError("grace must be a number of seconds")
    number = take_optional(message, "signal", int) or default_signal
    if number not in signal.valid_signals():
        raise ValueError("no such signal")
    return StopAsked(take(message, "reason", str)[:_LONGEST_REASON], number, grace)


def parse_deadline(message: Mapping[str, object], now: float) -> float | None:
    """Of a save that has to end "before" so many seconds are over; None: it has the time it needs."""
    before = take_optional(message, "before", float)
    if before is None:
        return None
    if not (math.isfinite(before) and before >= 0):
        raise ValueError("before must be a number of seconds")
    return now + before


def make_order(kind: str, deadline: float | None) -> dict[str, object]:
    """To the job: a checkpoint is wanted, or that it stands still, or goes on."""
    return {"type": kind} | ({} if deadline is None else {"deadline": deadline})


def hear_job(told: Told, message: Mapping[str, object], client: int, now: float) -> Told:
    """What is known after a message of the job that came at `now` (CLOCK_MONOTONIC). Any of its processes may tell; the
    last word counts."""
    told = _hear_news(told._replace(pulse=hear_pulse(told.pulse, message, client, now)), message, client, now)
    return told._replace(tally=hear_tally(told.tally, message, told.pulse, now))


def _hear_news(told: Told, message: Mapping[str, object], client: int, now: float) -> Told:
    match message["type"]:
        case messages.PROGRESS:
            told = _end_saving(told, client, now)
            loss, step = take_optional(message, "loss", float), _take_step(message, "step")
            is_unhealthy = message.get("finite") is False
            return told._replace(
                step=step,
                unhealthy_since=(told.unhealthy_since if told.unhealthy_since is not None else step)
                if is_unhealthy
                else None,
                loss=loss if loss is not None and math.isfinite(loss) else None,
                total=_take_step(message, "total") if message.get("total") is not None else None,
            )
        case messages.SAVING:
            return told._replace(saving_by=client)
        case messages.CHECKPOINT:
            path = take(message, "path", str)
            if len(path) > _LONGEST_PATH:
                raise ValueError("path too long")
            told = _end_saving(told, client, now)
            return told._replace(checkpoint_step=_take_step(message, "step"), checkpoint_path=path)
        case messages.PACE:
            return told._replace(pace=parse_pace(message))
        case messages.STACKS:
            number = take(message, "signal", int)
            if number not in range(signal.SIGRTMIN, signal.SIGRTMAX + 1):
                raise ValueError("not a real-time signal")
            return told._replace(stacks=(client, number))
    return _hear_of_parking(told, message, client)


def _hear_of_parking(told: Told, message: Mapping[str, object], client: int) -> Told:
    match message["type"]:
        case messages.CAN_PARK:
            return told._replace(can_park=client)
        case messages.PARKED:
            stand = Stand(client, _take_step(message, "step"), take(message, "saved", bool))
            return told._replace(parked=stand, saving_by=None)
        case messages.GOING_ON:
            return told._replace(parked=None)
    return told


def is_more_than_progress(before: Told, after: Told) -> bool:
    """Whether it is to be told at once: anything but another step like those before."""

    def rest(told: Told) -> tuple[object, ...]:
        bare = told._replace(step=None, loss=None, total=None, pulse=None, tally=Tally())
        return (bare, told.pulse.phase if told.pulse is not None else None)

    return rest(before) != rest(after)


def _take_step(message: Mapping[str, object], name: str) -> int:
    """Within 64 bits: a record with a longer number could be written, and never read again."""
    step = take(message, name, int)
    if abs(step) > _LARGEST_STEP:
        raise ValueError(f"{name} is too large")
    return step


def forget_saving(told: Told, client: int, now: float) -> Told:
    """What it was saving is saved, or not, by somebody else."""
    told = _end_saving(told, client, now)
    return told._replace(tally=end_save_of(told.tally, told.pulse, now))


def _end_saving(told: Told, client: int, now: float) -> Told:
    """A client that reports progress or a checkpoint, or is gone, is not saving any more."""
    return told._replace(saving_by=None, pulse=end_save(told.pulse, now)) if told.saving_by == client else told


def forget_client(told: Told, client: int, now: float) -> Told:
    """It has gone. What it does now, nobody tells: the time of it stays open in the tally."""
    told = _end_saving(told, client, now)
    is_its_pulse = told.pulse is not None and told.pulse.client == client
    is_its_stacks = told.stacks is not None and told.stacks[0] == client
    return told._replace(
        pulse=None if is_its_pulse else told.pulse,
        stacks=None if is_its_stacks else told.stacks,
        can_park=None if told.can_park == client else told.can_park,
        parked=None if told.parked is not None and told.parked.client == client else told.parked,
    )


def decide_stop(current: StopRecord | None, asked: StopAsked, now: float, wall: float) -> StopRecord:
    """The stop that holds from now on. A second one may only shorten the deadline; all else stays as first asked."""
    if current is None:
        return StopRecord(asked.reason, asked.signal, asked.grace, asked_at=wall, deadline=now + asked.grace)
    return current._replace(deadline=min(current.deadline, now + asked.grace))


class Committed(NamedTuple):
    """The writer's answer. Without a path there was nothing to commit, or `why` it was not."""

    generation: int | None
    step: int | None = None
    path: str | None = None
    why: str | None = None
    seconds: float | None = None
    """That it took."""


def make_answer(answer: Committed) -> dict[str, object]:
    """To the job, about a commit that it asked for."""
    if answer.path is not None:
        told = {"type": messages.COMMITTED, "generation": answer.generation}
        return {**told, "step": answer.step, "path": answer.path, "seconds": answer.seconds}
    why = answer.why or "the snapshot is gone"
    return {"type": messages.NOT_COMMITTED, "generation": answer.generation, "why": why}


def format_message(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


class MemoryPlace(NamedTuple):
    """An arena, as anybody who may can open it: /proc/PID/fd/DESCRIPTOR."""

    pid: int
    descriptor: int


class Situation(NamedTuple):
    """All that a status tells of."""

    nonce: str
    run: RunRecord
    told: Told
    stop: StopRecord | None
    exit: ExitRecord | None
    now: float
    """CLOCK_MONOTONIC."""
    slept: float
    """Seconds that the machine has slept since it was started."""
    stacks_pid: int | None
    """The process that `told.stacks` is about."""
    is_asked_to_park: bool = False
    memory: MemoryPlace | None = None


def format_status(of: Situation) -> bytes:
    """The whole status, so that a listener that reconnects has missed nothing."""
    told = of.told
    progress = {"step": told.step, "loss": told.loss, "total": told.total}
    checkpoint = {"step": told.checkpoint_step, "path": told.checkpoint_path}
    unhealthy = {"since": told.unhealthy_since, "step": told.step}
    stacks = {"pid": of.stacks_pid, "signal": told.stacks[1]} if told.stacks is not None and of.stacks_pid else None
    return format_message(
        {
            "type": messages.STATUS,
            "version": messages.VERSION,
            "nonce": of.nonce,
            "keeper": to_plain(of.run.keeper),
            "leader": to_plain(of.run.leader),
            "started_at": of.run.started_at,
            "progress": progress if told.step is not None else None,
            "checkpoint": checkpoint if told.checkpoint_step is not None else None,
            "pace": to_plain(told.pace),
            "saving": told.saving_by is not None or told.is_writing,
            "stop": to_plain(of.stop),
            "exit": to_plain(of.exit),
            "pulse": describe_pulse(told.pulse, of.now) if told.pulse is not None else None,
            "unhealthy": unhealthy if told.unhealthy_since is not None else None,
            "stacks": stacks,
            "tally": describe_tally(told.tally, of.now, of.slept),
            "can_park": told.can_park is not None,
            "asked_to_park": of.is_asked_to_park,
            "memory": {"pid": of.memory.pid, "descriptor": of.memory.descriptor} if of.memory is not None else None,
            "parked": {"step": told.parked.step, "saved": told.parked.is_saved} if told.parked is not None else None,
        }
    )
