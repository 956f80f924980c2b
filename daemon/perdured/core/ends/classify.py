"""Names the class of an end, from evidence. `classify_end` is the whole of it; its order is the argument.

1. What somebody decided comes before what the program says: exit 0, 75, 78, a stop, a reboot.
2. Then what the kernel says of our own process: killed for memory, a fault of the GPU.
3. Then the error that the program printed. It is looked for in the last traceback and those that led to it, never in
   the whole output, since programs survive and print errors all the time. Launchers' own tracebacks (torchrun's
   ChildFailedError) are passed over in favour of the rank's; of several ranks that failed, the first one that does not
   merely complain of having lost another.
4. A program that a signal ended printed no traceback for it; only what an abort says on its last lines counts.
5. What is left is the signal or the exit code itself.

Known limits. A SIGKILL has no visible sender: the kernel tells only of its own. A memory cgroup may be shared with
others, so its count of kills is strong evidence, not proof. Programs in other languages are known by their last lines.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from perdured.contract import exits
from perdured.core.observation import AttemptSeen, Ended, Exit, Lost, Refused
from perdured.core.queue.turn import ASIDE
from perdured.core.words import say_end

from .cause import Cause
from .end import End
from .error_texts import BY_TYPE, LAUNCHERS, LIKELY_BY_TYPE, TRANSIENT, find_cause
from .evidence import Evidence
from .kernel_log import KernelFact, parse_kernel_lines
from .tracebacks import Traceback, drop_volatile, find_tracebacks, hash_parts, make_fingerprint
from .xid import ADVICE_TEXT, Advice, find_advice, say_xid

STOP_FOR_HANG = "hang"
"""The reason of a stop that the daemon asks for when an attempt makes no step any more."""
STOP_FOR_LOSS = "non_finite"
"""The same, where its loss is not finite any more."""
STOP_FOR_LEASE = "lease"
"""The same, where the lease of its job ran out (`perdured.core.lease`)."""
STACKS_TITLE = "what its processes are doing:"
"""Ends the line in the output below which the stacks of an attempt that hangs are written."""
SHOWN_LINES = 12
SHOWN_TRACEBACK = 40
_LONGEST_LINE = 300
_LONGEST_ERROR = 200
_LAST_WORDS = 40
"""Lines before an abort that may tell its reason."""
_VERY_LAST_WORDS = 8
"""The same before a plain exit, which may have printed much that has nothing to do with it."""
_FAULTS = {
    signal.Signals[name].value for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS", "SIGTRAP")
}
"""Signals by which a program ends itself, or the processor ends it for what it did: the same again is no accident."""
_HOPELESS_WORD = re.compile(r"(?i:error|cannot|can't|not found|no such|unrecogni[sz]ed|invalid|failed|denied|usage)")
_DIED_OF = re.compile(r"exitcode\s*:\s*-(\d+)|terminated with signal SIG(\w+)|died with <Signals\.SIG(\w+)")


@lru_cache(maxsize=1)
def classify_end(seen: AttemptSeen) -> End:
    """The class of an attempt's end, whatever is known of it. The last one is remembered: a decision's trigger and
    its step both ask, and to read so many lines takes milliseconds."""
    match seen:
        case Ended():
            return _classify_exit(seen)
        case Refused():
            return End(cause=seen.cause, why=seen.why)
        case Lost(rebooted=True):
            return End(cause=Cause.REBOOTED, why=say_end(seen))
        case Lost():
            return _add_evidence(End(cause=Cause.UNKNOWN, why=say_end(seen)), seen.evidence)
    return End(cause=Cause.UNKNOWN, why=say_end(seen))


def _classify_exit(seen: Ended) -> End:
    exit, why = seen.exit, say_end(seen)
    status = exit.exit_code if exit.reason == "exited" else None
    if exit.reason == "not_started":
        return End(cause=Cause.NOT_STARTED, why=why)
    if status == exits.PERMANENT:
        return _add_evidence(End(cause=Cause.PERMANENT, why=f"exit code {status}"), seen.evidence)
    if exit.stop_reason is not None:
        return _add_evidence(_end_by_stop(exit, why, seen.evidence.output), seen.evidence)
    if status in (exits.DONE, exits.RUN_AGAIN):
        cause = Cause.DONE if status == exits.DONE else Cause.RUN_AGAIN
        return End(cause=cause, why="done" if status == exits.DONE else "saved and asked to run again")
    return _add_evidence(_classify_failure(seen), seen.evidence)


def _end_by_stop(exit: Exit, why: str, output: Sequence[str]) -> End:
    reason = exit.stop_reason or ""
    stacks = _find_stacks(output) if reason == STOP_FOR_HANG else ()
    return End(cause=_cause_of_stop(reason), why=why, sender=_sender(exit), traceback=stacks)


def _find_stacks(lines: Sequence[str]) -> tuple[str, ...]:
    titles = [number for number, line in enumerate(lines) if line.endswith(STACKS_TITLE)]
    shown = [line for line in lines[titles[-1] + 1 :] if line.strip()] if titles else []
    return tuple(_shorten(line, _LONGEST_LINE) for line in shown[:SHOWN_TRACEBACK])


def _cause_of_stop(reason: str) -> Cause:
    causes = {
        "preempted": Cause.PREEMPTED,
        ASIDE: Cause.PREEMPTED,
        STOP_FOR_LEASE: Cause.PREEMPTED,
        STOP_FOR_HANG: Cause.HANG,
        STOP_FOR_LOSS: Cause.NON_FINITE,
    }
    return causes.get(reason, Cause.STOPPED)


def _sender(exit: Exit) -> Literal["perdure"] | None:
    return "perdure" if exit.signal is not None else None


# Failures -------------------------------------------------------------------------------------------------------------


def _classify_failure(seen: Ended) -> End:
    exit, facts = seen.exit, parse_kernel_lines(seen.evidence.kernel)
    number = _signal_of(exit)
    chain = [] if number in _FAULTS or exit.signal is not None else _find_chain(seen.evidence.output)
    end = _end_by_memory(seen, number, facts) or (_end_by_error(chain) if chain else _end_by_words(seen, number))
    return _blame_gpu(end, facts, seen.pid)


def _signal_of(exit: Exit) -> int | None:
    """Also of a child's death that a shell, or another launcher, reports as 128 + n."""
    if exit.signal is not None:
        return exit.signal
    code = exit.exit_code or 0
    return code - 128 if 128 < code < 160 else None


def _end_by_memory(seen: Ended, number: int | None, facts: Sequence[KernelFact]) -> End | None:
    """The kernel killed for memory, by its own word or by the counter of the cgroup."""
    is_named = any(fact.kind == "oom_kill" and fact.pid == seen.pid for fact in facts)
    is_counted = bool(seen.exit.oom_kills) and (number == signal.Signals.SIGKILL or _lost_child(seen.evidence.output))
    if not (is_named or is_counted):
        return None
    why = f"out of memory: {'the kernel' if number == signal.Signals.SIGKILL else 'a worker; the kernel'} killed it"
    return End(cause=Cause.HOST_MEMORY, why=why, sender="kernel")


def _lost_child(lines: Sequence[str]) -> bool:
    """The last words are about a child, such as a data worker, that was killed."""
    text = "\n".join(lines[-_LAST_WORDS:])
    return bool(
        re.search(r"killed by signal: Killed|exited unexpectedly|terminated with signal SIGKILL|exitcode\s*: -9", text)
    )


def _find_chain(lines: Sequence[str]) -> list[Traceback]:
    """The tracebacks that tell of the end, the last one first, then those that led to it."""
    found = find_tracebacks(lines)
    own = [traceback for traceback in found if traceback.name not in LAUNCHERS]
    if not own:
        return []
    is_launched = len(own) < len(found)
    last = _find_first_failure(own) if is_launched else len(own) - 1
    chain = [own[last]]
    while last > 0 and own[last].is_chained:
        last -= 1
        chain.append(own[last])
    return chain


def _find_first_failure(tracebacks: Sequence[Traceback]) -> int:
    """Of several ranks: the first that does not merely complain of having lost another one."""
    ends = [i for i, _ in enumerate(tracebacks) if i + 1 == len(tracebacks) or not tracebacks[i + 1].is_chained]
    own = [i for i in ends if _cause_of(tracebacks[i]) != Cause.LOST_COLLECTIVE]
    return (own or ends)[0]


def _end_by_error(chain: Sequence[Traceback]) -> End:
    last = chain[0]
    cause = _cause_of(last)
    telling = last
    if cause is None:
        for earlier in chain[1:]:
            found = _cause_of(earlier)
            # One that was handled, such as the import of something optional, only led here.
            if found is not None and found not in (Cause.IMPORT_ERROR, Cause.SYNTAX_ERROR):
                cause, telling = found, earlier
                break
    return End(
        cause=cause or Cause.EXCEPTION,
        why=_shorten(_say_error(cause, telling), _LONGEST_ERROR),
        error=_shorten(last.error, _LONGEST_ERROR),
        fingerprint=make_fingerprint(last) if cause != Cause.SIGNAL else None,
        is_transient=any(t.name in TRANSIENT for t in chain) or _is_busy_port(last.text),
        traceback=tuple(_shorten(line, _LONGEST_LINE) for line in last.lines[-SHOWN_TRACEBACK:]),
    )


def _cause_of(traceback: Traceback) -> Cause | None:
    """None: an exception like any other."""
    if traceback.name in BY_TYPE:
        return BY_TYPE[traceback.name]
    cause = find_cause(traceback.text)
    if cause is not None:
        return None if cause == Cause.EXCEPTION else cause
    return LIKELY_BY_TYPE.get(traceback.name)


def _is_busy_port(text: str) -> bool:
    return "EADDRINUSE" in text or "Address already in use" in text


_SAID = {
    Cause.HOST_MEMORY: "out of memory",
    Cause.GPU_MEMORY: "out of GPU memory",
    Cause.CUDA_ERROR: "CUDA error",
    Cause.GPU_FAULT: "GPU fault",
    Cause.LOST_COLLECTIVE: "another rank was lost",
    Cause.NON_FINITE: "a number is not finite",
    Cause.DISK_FULL: "the disk is full",
    Cause.QUOTA: "the disk quota is used up",
    Cause.READ_ONLY: "the disk cannot be written to",
}


def _say_error(cause: Cause | None, traceback: Traceback) -> str:
    return f"{_SAID[cause]}: {traceback.error}" if cause in _SAID else traceback.error


def _end_by_words(seen: Ended, number: int | None) -> End:
    """No traceback: a signal, or an exit status, and perhaps a reason on the last lines."""
    lines = [line for line in seen.evidence.output if line.strip()][-_LAST_WORDS:]
    why, last = say_end(seen), lines[-1].strip() if lines else ""
    is_own_death = seen.exit.signal is None or number in _FAULTS
    heard = lines if number in _FAULTS else lines[-_VERY_LAST_WORDS:]
    telling = _find_telling(heard) if is_own_death else None
    if telling is not None:
        cause, line = telling
        fingerprint = hash_parts((cause.value, drop_volatile(line)))
        why = _shorten(f"{_SAID.get(cause, cause.value)}: {line.strip()}", _LONGEST_ERROR)
        return End(cause=cause, why=why, fingerprint=fingerprint)
    if number is not None or (number := _signal_told(lines)) is not None:
        said = why if seen.exit.signal is not None else f"{why}: a process was killed by signal {number}"
        is_late = seen.exit.reason == "timed_out"
        return End(
            cause=Cause.SIGNAL,
            why=said,
            fingerprint=_fingerprint_of_fault(number, lines),
            sender="perdure" if is_late else None,
        )
    is_error = bool(_HOPELESS_WORD.search(last))
    return End(
        cause=Cause.EXIT_CODE,
        why=_shorten(f"{why}: {last}", _LONGEST_ERROR) if is_error else why,
        fingerprint=hash_parts((why, drop_volatile(last))) if is_error else None,
    )


def _find_telling(lines: Sequence[str]) -> tuple[Cause, str] | None:
    """The last line that names a class."""
    for line in reversed(lines):
        cause = find_cause(line)
        if cause is not None and cause != Cause.EXCEPTION:
            return cause, line
    return None


def _signal_told(lines: Sequence[str]) -> int | None:
    """The signal that a launcher reports of one of its ranks."""
    for line in reversed(lines):
        if found := _DIED_OF.search(line):
            if found[1]:
                return int(found[1])
            name = f"SIG{found[2] or found[3]}"
            return signal.Signals[name].value if name in signal.Signals.__members__ else None
    return None


def _fingerprint_of_fault(number: int, lines: Sequence[str]) -> str | None:
    """Of a program's own fault, with the frames that faulthandler printed; a signal from outside has none."""
    if number not in _FAULTS:
        return None
    frames = [re.sub(r"line \d+", "", line.strip()) for line in lines if line.startswith('  File "')]
    return hash_parts((str(number), *(drop_volatile(frame) for frame in frames)))


# The GPU and what is shown --------------------------------------------------------------------------------------------

_OF_THE_GPU = (Cause.CUDA_ERROR, Cause.GPU_FAULT, Cause.LOST_COLLECTIVE)


def _blame_gpu(end: End, facts: Sequence[KernelFact], pid: int | None) -> End:
    """A code that names our process, or no process, or comes with an error of CUDA, is about this attempt."""
    is_about_us = end.cause in _OF_THE_GPU
    codes = [fact.xid for fact in facts if fact.xid is not None and (is_about_us or fact.pid in (None, pid))]
    worst = max(codes, key=find_advice, default=None)
    advice = find_advice(worst) if worst is not None else Advice.NOTHING
    if worst is None or advice == Advice.NOTHING:
        return _ask_for_reset(end) if end.cause == Cause.GPU_FAULT else end
    said = {"advice": ADVICE_TEXT[advice]}
    if advice == Advice.RESTART_HERE and end.cause not in (Cause.SIGNAL, Cause.EXIT_CODE):
        return end.model_copy(update=said)
    why = _shorten(f"{say_xid(worst)}; {end.why}", _LONGEST_ERROR)
    return end.model_copy(update=said | {"cause": Cause.GPU_FAULT, "why": why})


def _ask_for_reset(end: End) -> End:
    return end.model_copy(update={"advice": ADVICE_TEXT[Advice.RESET]})


def _add_evidence(end: End, evidence: Evidence) -> End:
    shown = [_shorten(line, _LONGEST_LINE) for line in evidence.output if line.strip()]
    kernel = tuple(_shorten(line, _LONGEST_LINE) for line in evidence.kernel[-SHOWN_LINES:])
    return end.model_copy(update={"output": tuple(shown[-SHOWN_LINES:]), "kernel": kernel})


def _shorten(text: str, length: int) -> str:
    line = " ".join(text.splitlines())
    return line if len(line) <= length else line[: length - 1] + "…"
