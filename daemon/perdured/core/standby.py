"""Whether a job has a standby now, and why it has none. Pure.

A standby is worth its memory where the start is dear: where the attempt was seen to have what the spec preloads. It is
started once the attempt has shown that it runs, so that it does not take from a start what it is to save from the
next one, one at a time on the whole machine, when that is quiet, and only where there is memory for it. Each attempt
has one try.

Its memory is what nobody has asked for: what jobs are promised by their `resources.memory` is theirs, so a standby is
ended where a job that starts takes the place of it. A machine that is never quiet gets its standbys all the same, a
little later: otherwise the busiest machines, where a start is dearest, would have none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from .spec import Spec

STEADY = 3.0
"""Seconds after its start from which an attempt that tells steps, and has told one, counts as one that runs."""
STEADY_UNTOLD = 30.0
"""The same for one that tells none."""
LOOK_AGAIN = 15.0
ROOM = 1536 << 20
"""Bytes of memory that must be available for one to be started."""
LEAST_ROOM = 384 << 20
"""With less, one that is there is ended."""
SIZE = 320 << 20
"""Bytes that one counts for: with torch for CPUs it has 304 MiB, 214 of them shared with nobody (measured)."""
PATIENCE = 15.0
"""Seconds for which one waits until the machine is quiet."""
LOOK_FOR_QUIET = 2.0

LAUNCHERS = ("torchrun", "accelerate", "deepspeed")
LAUNCHER_MODULES = ("torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch")

_INTERPRETER = re.compile(r"python(\d+(\.\d+)*)?t?$")
_WITH_VALUE = "WX"
_CLOSED = {"I": "isolated", "E": "ignoring PYTHONPATH", "S": "without site"}

_READY = "the next attempt waits, with its imports done"
_LAUNCHER_READY = "the launcher waits, with its imports done; the processes that it starts import as ever"

State = Literal["none", "preparing", "ready"]


class StandbyWord(NamedTuple):
    """What a person is told of a job's standby."""

    state: State
    why: str


class Program(NamedTuple):
    """A command that runs a program of Python."""

    interpreter: tuple[str, ...]
    """Its first words: the interpreter, with its options."""
    is_launcher: bool
    """It starts the processes that train; these have nothing of a standby."""


class StandbySeen(NamedTuple):
    """What is known when it is decided."""

    phase: str
    state: State
    failed: str | None
    """Why the try of this attempt came to nothing."""
    started_at: float | None
    """Of the attempt that runs."""
    has_stepped: bool
    is_useful: bool | None
    """Whether the attempt has something of what would be preloaded; None: it was not looked."""
    is_as_asked: bool
    """What stands ready is of this command, environment and place."""
    is_launcher: bool
    """What stands ready is only to start the processes that train."""
    others_prepare: bool
    available: int
    """Bytes of memory."""
    unpromised: float
    """Bytes that neither a job was promised nor another's standby takes."""
    is_quiet: bool
    """The machine has CPUs to spare."""


class StandbyDecision(NamedTuple):
    do: Literal["start", "end", "look", "nothing"]
    """"look": it has to be looked whether it is useful."""
    why: str
    look_at: float | None = None


def decide_standby(spec: Spec, seen: StandbySeen, now: float) -> StandbyDecision:
    """What is to be done at `now`, on the clock of `started_at`; and why there is none, or what one is there for."""
    ends = _find_end(spec, seen)
    if ends is not None:
        return StandbyDecision("end" if seen.state != "none" else "nothing", ends)
    if seen.state == "ready":
        return StandbyDecision("nothing", _LAUNCHER_READY if seen.is_launcher else _READY, now + LOOK_AGAIN)
    if seen.state == "preparing":
        return StandbyDecision("nothing", "it is being prepared", now + LOOK_AGAIN)
    return _decide_start(seen, now)


def _find_end(spec: Spec, seen: StandbySeen) -> str | None:
    """Why there shall be none, be there one or not."""
    if not spec.standby.enabled:
        return "standby.enabled is false"
    if seen.phase not in ("starting", "running", "saving", "waiting"):
        return f"the job is {seen.phase}"
    if seen.available < LEAST_ROOM:
        return "memory is short"
    if seen.unpromised < SIZE:
        return "the memory is promised to jobs (resources.memory)"
    if seen.state != "none" and not seen.is_as_asked:
        return "the job's environment has changed"
    return None


def _decide_start(seen: StandbySeen, now: float) -> StandbyDecision:
    if seen.phase != "running" or seen.started_at is None:
        return StandbyDecision("nothing", "no attempt runs")
    if seen.failed is not None:
        return StandbyDecision("nothing", seen.failed)
    steady_at = seen.started_at + (STEADY if seen.has_stepped else STEADY_UNTOLD)
    if now < steady_at:
        return StandbyDecision("nothing", "the attempt has only just started", steady_at)
    if seen.is_useful is None:
        return StandbyDecision("look", "it is not known yet whether it is of use")
    if not seen.is_useful:
        return StandbyDecision("nothing", "the attempt has nothing loaded of what standby.preload names")
    if seen.available < ROOM:
        return StandbyDecision("nothing", "memory is short", now + LOOK_AGAIN)
    if seen.others_prepare:
        return StandbyDecision("nothing", "another job's is being prepared", now + 1.0)
    if not seen.is_quiet and now < steady_at + PATIENCE:
        return StandbyDecision("nothing", "the machine is busy", min(now + LOOK_FOR_QUIET, steady_at + PATIENCE))
    return StandbyDecision("start", "it is being prepared", now + LOOK_AGAIN)


def find_program(words: Sequence[str]) -> Program | str:
    """What Python is to run by this command; or why it can have no standby, in words."""
    if not _INTERPRETER.match(words[0].rsplit("/", 1)[-1]):
        return f"its command is not one of Python ({words[0]})"
    at = 1
    while at < len(words) and words[at].startswith("-") and words[at] != "-":
        letters, step = words[at][1:], 1
        for number, letter in enumerate(letters):
            if letter in "mc":
                return _found(words, at, letters[number + 1 :] or "".join(words[at + 1 : at + 2]), letter)
            if letter in _CLOSED:
                return f"its interpreter is started {_CLOSED[letter]} (-{letter})"
            if letter in "-iVh?":
                return f"its interpreter has an option that is not known here, or runs no program ({words[at]})"
            if letter in _WITH_VALUE:
                step = 1 if letters[number + 1 :] else 2
                break
        at += step
    if at >= len(words) or words[at] == "-":
        return "its program comes from the standard input"
    is_launcher = words[at].rsplit("/", 1)[-1] in LAUNCHERS
    return Program(tuple(words[:at]), is_launcher)


def _found(words: Sequence[str], at: int, name: str, letter: str) -> Program:
    """With -m or -c. Options that share a word with it count as well."""
    before = words[at].partition(letter)[0]
    options = (before,) if before != "-" else ()
    return Program((*words[:at], *options), letter == "m" and name in LAUNCHER_MODULES)
