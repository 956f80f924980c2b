"""The keeper's writer without a keeper's job: an arena with a snapshot in it, and orders to commit it.

In this process, for faults at each of its calls; or forked from a stand-in for the keeper, for kills.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from perdured.contract.checkpoint import choose_checkpoint, list_checkpoints, retention
from perdured.contract.checkpoint.arena import Arena, Part, Snapshot, create_arena
from perdured.contract.checkpoint.gather import round_up
from perdured.keeper import writer as writer_module
from perdured.keeper.loop import Loop
from perdured.keeper.memory import Memory
from perdured.keeper.priority import Priority
from perdured.keeper.talk import Committed
from perdured.keeper.writer import _Writer
from support.crashes import load_tree
from support.faults import Fault, Kernel, Place, installed
from support.stores import commit, debris_in, facts_of, is_whole, large_payload_of, small_chunks
from support.sweeps import Outcome, Sweep, check_commit

KEEP = 2
STEP = 20


class Refused(OSError):
    """The writer said that it did not commit, and this is why."""


@contextmanager
def held_arena() -> Iterator[Arena]:
    """Holds the large payload of the step as generation 1, and as the writer sees it."""
    files = large_payload_of(STEP)
    with closing(create_arena(sum(round_up(len(data)) for data in files.values()))) as arena:
        parts, begin = [], 0
        arena.begin(1)
        for name, data in files.items():
            arena.slot(1)[begin : begin + len(data)] = data
            parts.append(Part(name, begin, len(data)))
            begin += round_up(len(data))
        arena.finish(1, Snapshot(1, STEP, tuple(parts), facts_of()))
        with closing(Arena(os.dup(arena.descriptor), is_writer=False)) as seen:
            yield seen


def order_of(root: Path, *, last: bool, urgent: bool = False) -> dict[str, object]:
    return {"generation": None if last else 1, "last": last, "root": str(root), "keep": KEEP, "urgent": urgent}


# Faults ----------------------------------------------------------------------------------------------------------


def _obey(root: Path, *, last: bool) -> None:
    """As the writer does: the commit, and then what is old."""
    with held_arena() as arena:
        writer = _Writer(arena)
        answer = give(writer, order_of(root, last=last, urgent=last))
        if "why" in answer:
            raise Refused(answer["why"])
        assert (answer["generation"], answer["step"]) == (1, STEP)
        assert is_whole(load_tree(Path(str(answer["path"]))), STEP)
        again = give(writer, order_of(root, last=True))
        assert (again["generation"], again["path"]) == (None, None), "what was committed is committed again"


def give(writer: _Writer, order: dict[str, object]) -> dict[str, object]:
    with small_chunks(), noted_priorities():
        answer = writer.obey(order)
        writer.tidy_up(order)
        return answer


@contextmanager
def noted_priorities() -> Iterator[list[Priority]]:
    """Those that the writer gave itself, which this process does not take over."""
    module, noted = vars(writer_module), list[Priority]()
    set_priority = module["set_priority"]
    module["set_priority"] = lambda pid, priority: noted.append(priority)
    try:
        yield noted
    finally:
        module["set_priority"] = set_priority


def check_writer(outcome: Outcome) -> Iterator[str]:
    error, fault = outcome.error, outcome.fault
    if (
        isinstance(error, Refused)
        and fault.way in ("refuse", "lose the answer")
        and str(error) != os.strerror(fault.error)
    ):
        yield f"the job is told {error}"
    yield from check_commit(outcome)
    retention._verified.clear()
    with held_arena() as arena:
        answer = give(_Writer(arena), order_of(outcome.root, last=True))
    if not is_whole(load_tree(Path(str(answer["path"]))), STEP):
        yield "the next writer does not commit it"


def _prepare_one(root: Path) -> None:
    commit(root, 10)


WRITER_SWEEPS = [
    Sweep("the writer's commit on request", _prepare_one, partial(_obey, last=False), check_writer),
    Sweep("the writer's commit of the last snapshot", _prepare_one, partial(_obey, last=True), check_writer),
    Sweep(
        "the writer's commit without O_DIRECT",
        _prepare_one,
        partial(_obey, last=False),
        check_writer,
        partial(Kernel, has_direct=False),
    ),
]


# Kills -----------------------------------------------------------------------------------------------------------


def kill_at_each_call(scratch: Path, whom: str, *, last: bool) -> Iterator[str]:
    """For a process of its own: the writer, or the stand-in for its keeper, is killed at each call of the writer."""
    template, root = scratch / "template", scratch / "root"
    for step in (5, 8, 10):
        commit(template, step)
    for number, place in enumerate(_list_places(template, root, last=last), 1):
        shutil.copytree(template, root)
        answers = _run_keeper(scratch, root, whom, place, last=last)
        for complaint in _judge_kill(root, whom, answers):
            yield f"call {number} ({place}): {complaint}"
        shutil.rmtree(root)


def _list_places(template: Path, root: Path, *, last: bool) -> list[Place]:
    shutil.copytree(template, root)
    with held_arena() as arena, installed(Kernel()) as kernel:
        give(_Writer(arena), order_of(root, last=last, urgent=last))
    shutil.rmtree(root)
    return kernel.places


def _run_keeper(scratch: Path, root: Path, whom: str, place: Place, *, last: bool) -> list[list[object]]:
    """What it was answered; returns when neither it nor its writer is there any more."""
    lock = os.open(scratch / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    keeper = os.fork()
    if keeper == 0:
        _be_keeper(scratch, root, whom, place, last=last)
    status = os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
    assert status == (-signal.SIGKILL if whom == "keeper" else 0), status
    fcntl.flock(lock, fcntl.LOCK_EX)  # the writer holds it with the keeper
    os.close(lock)
    return json.loads((scratch / "answers").read_text() or "[]")  # type: ignore[no-any-return]


def _be_keeper(scratch: Path, root: Path, whom: str, place: Place, *, last: bool) -> None:
    try:
        lock = os.open(scratch / "lock", os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        (scratch / "answers").write_text("")
        me = os.getpid()
        with small_chunks(), installed(Kernel(Fault(0, "really kill", place=place))) as kernel:
            if whom == "keeper":
                kernel.at_strike = lambda: os.kill(me, signal.SIGKILL)
            answers = _order(lock, root, last=last)
        (scratch / "answers").write_text(json.dumps([list(answer) for answer in answers]))
    finally:
        os._exit(0)


def _order(lock: int, root: Path, *, last: bool) -> list[Committed]:
    answers: list[Committed] = []
    loop = Loop()
    memory = Memory(loop, frozenset({lock}), lambda answer, client: answers.append(answer), loop.stop)
    with held_arena() as arena:
        memory.take_over(os.dup(arena.descriptor), {"root": str(root), "keep": KEEP}, 1)
    if not last:
        memory.commit(order_of(root, last=False), 1)
    memory.finish()
    loop.run()
    return answers


def _judge_kill(root: Path, whom: str, answers: list[list[object]]) -> Iterator[str]:
    choice = choose_checkpoint(root)
    step = choice.chosen.step if choice.chosen is not None else None
    if choice.rejected or step not in (10, STEP):
        yield f"step {step} is chosen, rejected {choice.rejected}"
    elif choice.chosen is not None and not is_whole(load_tree(choice.chosen.path), step):
        yield "what is chosen is not whole"
    if whom == "keeper" and (step != STEP or any(name.startswith(".") for name in debris_in(root))):
        yield f"the writer did not go on to its end: step {step}, {debris_in(root)}"
    if whom == "writer":
        first = Committed(*answers[0])  # type: ignore[arg-type]
        if (first.path is None) != (first.why == "its writer died") or (first.path is not None and step != STEP):
            yield f"the keeper is told {answers}"
    if len(list_checkpoints(root)) < KEEP:
        yield "too few are left"
    commit(root, 30)
    if [name for name in debris_in(root) if name.startswith(".")]:
        yield f"the next commit left {debris_in(root)}"


def main(scratch: str, whom: str, last: str) -> None:
    for complaint in kill_at_each_call(Path(scratch), whom, last=last == "last"):
        sys.stdout.write(complaint + "\n")
