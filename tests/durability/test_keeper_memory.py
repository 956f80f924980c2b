"""What the keeper does with an arena, without a job: its writer is forked from here, so every rule can be taken out."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.contract.checkpoint import list_checkpoints
from perdured.contract.deadline import LATE, RESERVE
from perdured.keeper import memory as memory_module
from perdured.keeper.loop import Loop, read_clock
from perdured.keeper.memory import REPLACEMENTS, Memory
from perdured.keeper.priority import Priority
from perdured.keeper.talk import Committed
from perdured.keeper.writer import _Writer
from perdured.keeper.writer_link import WriterLink
from support.crashes import load_tree
from support.processes import is_alive, wait_until
from support.stores import commit, is_whole, small_chunks
from support.writers import KEEP, STEP, held_arena

# Other threads of the test runner hold nothing that the writer needs.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
_IOPRIO_GET = {"x86_64": 252, "aarch64": 31, "riscv64": 31}.get(os.uname().machine)


class Holder:
    """A keeper's memory, and all that it was told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.strayed = root.with_name("the writer came back into the keeper's code")
        self.answers: list[tuple[Committed, int | None]] = []
        self.ends = 0
        self.left = -1
        """Writers that were there when the end of the last one was told."""
        self.loop = Loop()
        self.lock = os.open(root.parent, os.O_RDONLY)
        locks = frozenset({self.lock})
        self.memory = Memory(self.loop, locks, lambda answer, client: self.answers.append((answer, client)), self._end)

    def _end(self) -> None:
        self.ends += 1
        self.left = len(self.memory.pids)

    def take_over(self, client: int = 1) -> bool:
        with held_arena() as arena, small_chunks():
            return self.take_over_memory(os.dup(arena.descriptor), client)

    def take_over_memory(self, descriptor: int, client: int = 1) -> bool:
        me = os.getpid()
        try:
            return self.memory.take_over(descriptor, {"root": str(self.root), "keep": KEEP}, client)
        finally:
            if os.getpid() != me:
                self.strayed.touch()
                os._exit(1)

    def commit(self, client: int = 1, generation: int = 1, **fields: object) -> None:
        self.memory.commit({"generation": generation, **fields}, client)

    def turn_until(self, answers: int = 0, ends: int = 0) -> None:
        wait_until(lambda: self._turn() and len(self.answers) >= answers and self.ends >= ends)

    def _turn(self) -> bool:
        for fd, events in self.loop._epoll.poll(0):
            self.loop._callbacks[fd](events)
        self.loop._call_due()
        return True

    def kill_writer(self) -> None:
        """And waits until its end was heard."""
        pid = self.writer
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self._turn() and pid not in self.memory.pids)

    @property
    def writer(self) -> int:
        (pid,) = self.memory.pids
        return pid

    def close(self) -> None:
        self.memory.finish()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self._turn() and not self.memory.pids)
        for pid in self.memory.pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.loop.close()
        os.close(self.lock)
        assert not self.strayed.exists()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    made = Holder(tmp_path / "root")
    yield made
    made.close()


def _steps(root: Path) -> list[int]:
    found = list_checkpoints(root) if root.exists() else []
    assert all(is_whole(load_tree(each.path), each.step) for each in found)
    return [each.step for each in found]


def _read_priority(pid: int) -> int:
    assert _IOPRIO_GET is not None
    return int(ctypes.CDLL(None).syscall(_IOPRIO_GET, 1, pid))


def _list_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


# Orders ----------------------------------------------------------------------------------------------------------


def test_a_commit_is_answered_to_the_one_who_asked(holder: Holder) -> None:
    assert holder.take_over(7)
    holder.commit(7, protect=None, urgent=False)
    holder.turn_until(answers=1)
    assert _steps(holder.root) == [STEP]
    path = str(list_checkpoints(holder.root)[0].path)
    ((answer, client),) = holder.answers
    assert (answer._replace(seconds=None), client) == (Committed(1, STEP, path), 7)
    assert answer.seconds is not None


@pytest.mark.parametrize("why", ["nothing was handed over", "another's", "released"])
def test_a_commit_that_nobody_can_make_is_answered(why: str, holder: Holder) -> None:
    if why != "nothing was handed over":
        holder.take_over(2 if why == "another's" else 1)
    if why == "released":
        holder.memory.release(1)
    holder.commit()
    assert Committed(1, None, None, "there is nobody to write it") in [answer for answer, _ in holder.answers]


def test_a_snapshot_that_is_not_there_is_not_committed(holder: Holder) -> None:
    holder.take_over()
    holder.commit(generation=2)
    holder.turn_until(answers=1)
    assert holder.answers == [(Committed(2, None, None, None), 1)]
    assert _steps(holder.root) == []


def test_the_last_snapshot_is_committed_once_and_then_the_writer_is_gone(holder: Holder) -> None:
    holder.take_over()
    pid = holder.writer
    assert holder.memory.finish()
    assert holder.memory.finish()
    holder.turn_until(ends=1)
    assert not holder.memory.finish()
    assert [answer.step for answer, _ in holder.answers] == [STEP]
    assert (holder.ends, holder.left) == (1, 0)
    assert _steps(holder.root) == [STEP]
    with pytest.raises(ProcessLookupError):  # collected, too
        os.kill(pid, 0)


def test_what_was_committed_is_no_last_snapshot_any_more(holder: Holder) -> None:
    holder.take_over()
    holder.commit()
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert [(answer.generation, answer.step) for answer, _ in holder.answers] == [(1, STEP), (None, None)]
    assert _steps(holder.root) == [STEP]


def test_a_disk_that_refuses_is_told_and_the_last_snapshot_tried_again(
    holder: Holder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is the system's; and once there is room, the snapshot is not lost."""
    monkeypatch.setattr(sys, "stderr", open(2, "w", closefd=False))  # noqa: SIM115
    holder.root.write_text("in the way")
    holder.take_over()
    holder.commit()
    holder.turn_until(answers=1)
    assert holder.answers == [(Committed(1, None, None, "Not a directory"), 1)]
    assert f"snapshot 1 (step {STEP}) was not committed" in capfd.readouterr().err
    holder.root.unlink()
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert _steps(holder.root) == [STEP]


def test_what_is_old_goes_after_a_commit_but_what_is_protected(holder: Holder) -> None:
    paths = [commit(holder.root, step).path for step in (2, 4, 6, 8)]
    holder.take_over()
    holder.commit(protect=str(paths[1]))
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert _steps(holder.root) == [STEP, 8, 4]


@pytest.mark.parametrize("last", [False, True])
def test_when_it_is_urgent_nothing_old_is_read(last: bool, holder: Holder) -> None:
    for step in (2, 4, 6):
        commit(holder.root, step)
    holder.take_over()
    if not last:
        holder.commit(urgent=True)
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert _steps(holder.root) == [STEP, 6, 4, 2]


def test_the_answer_does_not_wait_for_what_is_old(holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    """To drop it, the newest is read again; and the job does not touch the slot until it is answered."""
    way = holder.root.with_name("way")
    os.mkfifo(way)
    monkeypatch.setattr("perdured.contract.checkpoint.retain", lambda *_, **__: way.read_bytes())
    holder.take_over()
    holder.commit()
    holder.turn_until(answers=1)
    way.write_bytes(b"")


# Deadlines -------------------------------------------------------------------------------------------------------


def test_what_is_late_is_not_committed(holder: Holder) -> None:
    holder.take_over()
    holder.commit(deadline=read_clock() - 1)
    holder.turn_until(answers=1)
    assert holder.answers == [(Committed(1, why=LATE), 1)]
    assert _steps(holder.root) == []


def test_what_is_in_time_is_committed(holder: Holder) -> None:
    holder.take_over()
    holder.commit(deadline=read_clock() + 3600)
    holder.turn_until(answers=1)
    assert _steps(holder.root) == [STEP]


@pytest.mark.skipif(_IOPRIO_GET is None, reason="no number for ioprio_get")
def test_with_a_deadline_it_hurries_where_nobody_knows_how_long_it_takes(holder: Holder) -> None:
    holder.take_over()
    wait_until(lambda: _read_priority(holder.writer) == Priority.IDLE)
    os.kill(holder.writer, signal.SIGSTOP)
    holder.commit(deadline=read_clock() + 3600)
    assert _read_priority(holder.writer) == Priority.NORMAL
    assert not holder.loop.is_waiting("hurry")
    os.kill(holder.writer, signal.SIGCONT)


@pytest.mark.skipif(_IOPRIO_GET is None, reason="no number for ioprio_get")
def test_it_stands_back_until_its_deadline_comes_near(holder: Holder) -> None:
    """By what the commits so far have taken; one that was not made took nothing."""
    holder.take_over()
    holder.commit(generation=2)
    holder.commit()
    holder.turn_until(answers=2)
    os.kill(holder.writer, signal.SIGSTOP)
    holder.commit(deadline=read_clock() + 3600)
    holder._turn()
    assert _read_priority(holder.writer) == Priority.IDLE
    assert holder.loop.is_waiting("hurry")
    took = holder.answers[-1][0].seconds
    assert took is not None
    holder.commit(deadline=read_clock() + RESERVE + 2 * took + 0.2)
    wait_until(lambda: holder._turn() and _read_priority(holder.writer) == Priority.NORMAL)
    os.kill(holder.writer, signal.SIGCONT)


# Writers that die ------------------------------------------------------------------------------------------------

DIED = "its writer died"


def test_a_writer_that_is_killed_has_answered_no_and_the_next_commits_the_last_snapshot(holder: Holder) -> None:
    holder.take_over()
    os.kill(holder.writer, signal.SIGSTOP)
    holder.commit()
    holder.memory.finish()
    os.kill(holder.writer, signal.SIGKILL)
    holder.turn_until(ends=1)
    assert [(answer.generation, answer.step, answer.why) for answer, _ in holder.answers] == [
        (1, None, DIED),
        (1, STEP, None),
    ]
    assert _steps(holder.root) == [STEP]
    holder.commit()
    assert holder.answers[-1][0].why is not None


def test_a_writer_that_is_killed_while_nothing_is_asked_is_replaced(
    holder: Holder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one obeys, and does not commit again what is on the disk."""
    monkeypatch.setattr(sys, "stderr", open(2, "w", closefd=False))  # noqa: SIM115
    holder.take_over()
    holder.commit()
    holder.turn_until(answers=1)
    holder.kill_writer()
    assert holder.ends == 0
    assert "the writer of the memory tier died" in capfd.readouterr().err
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert [(answer.step, answer.why) for answer, _ in holder.answers] == [(STEP, None), (None, None)]
    assert _steps(holder.root) == [STEP]


def test_what_a_dead_writer_could_not_commit_is_committed_by_the_next(holder: Holder) -> None:
    holder.root.write_text("in the way")
    holder.take_over()
    holder.commit()
    holder.turn_until(answers=1)
    holder.kill_writer()
    holder.root.unlink()
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert _steps(holder.root) == [STEP]


def test_the_next_writer_takes_orders(holder: Holder) -> None:
    holder.take_over(7)
    holder.kill_writer()
    holder.commit(7)
    holder.turn_until(answers=1)
    assert [(answer.step, client) for answer, client in holder.answers] == [(STEP, 7)]


def test_writers_that_die_are_not_replaced_for_ever(holder: Holder) -> None:
    before = _list_descriptors()
    holder.take_over()
    for _ in range(REPLACEMENTS):
        holder.kill_writer()
        assert holder.ends == 0
    holder.kill_writer()
    assert (holder.ends, holder.left, holder.answers) == (1, 0, [])
    assert _list_descriptors() == before
    holder.commit()
    assert holder.answers[-1][0].why == "there is nobody to write it"


def test_a_last_snapshot_that_nobody_can_write_is_told_as_not_saved(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Writer, "obey", lambda *_: os._exit(1))
    holder.take_over()
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert holder.answers == [(Committed(None, why=DIED), 1)]


def test_one_that_ends_as_it_was_told_has_not_died(
    holder: Holder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", open(2, "w", closefd=False))  # noqa: SIM115
    holder.take_over()
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert "died" not in capfd.readouterr().err


def test_where_no_process_can_be_started_at_all_nothing_is_taken_over(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _list_descriptors()

    def refuse(*_: object) -> None:
        raise OSError(errno.EAGAIN, "no more")

    monkeypatch.setattr(memory_module, "fork_writer", refuse)
    with pytest.raises(OSError, match="no more"):
        holder.take_over()
    assert _list_descriptors() == before
    assert not holder.memory.pids


def test_where_no_process_can_be_started_the_arena_is_let_go(
    holder: Holder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", open(2, "w", closefd=False))  # noqa: SIM115
    before = _list_descriptors()
    holder.take_over()
    os.kill(holder.writer, signal.SIGSTOP)
    holder.memory.finish()

    def refuse(*_: object) -> None:
        raise OSError(errno.EAGAIN, "no more")

    monkeypatch.setattr(memory_module, "fork_writer", refuse)
    os.kill(holder.writer, signal.SIGKILL)
    holder.turn_until(ends=1)
    assert holder.answers == [(Committed(None, why=DIED), 1)]
    assert "no writer can be started" in capfd.readouterr().err
    assert _list_descriptors() == before


# Whose it is -----------------------------------------------------------------------------------------------------


def test_while_one_process_of_the_job_has_an_arena_another_is_refused(holder: Holder) -> None:
    assert holder.take_over(1)
    assert not holder.take_over(2)
    assert len(holder.memory.pids) == 1
    assert not holder.memory.is_writing  # the first one's arena is not taken from it
    holder.memory.lose(2)
    assert not holder.take_over(2)
    holder.memory.lose(1)
    assert holder.take_over(2)
    holder.turn_until(answers=1)
    assert [client for _, client in holder.answers] == [None]
    assert _steps(holder.root) == [STEP]


def test_a_new_arena_takes_the_place_of_the_old_one_whose_snapshot_is_kept(holder: Holder) -> None:
    assert holder.take_over(1)
    assert holder.take_over(1)
    holder.turn_until(ends=1)
    holder.memory.release(2)  # another's
    holder.commit(1)
    holder.turn_until(answers=2)
    assert _steps(holder.root) == [STEP, STEP]
    assert [client for _, client in holder.answers] == [1, 1]


def test_others_are_told_where_the_arena_is_while_the_job_uses_it(holder: Holder) -> None:
    assert holder.memory.place is None
    holder.take_over()
    place = holder.memory.place
    assert place is not None
    assert place.pid == holder.writer
    holder.memory.finish()
    assert holder.memory.place is None


def test_no_descriptor_is_kept_of_what_was_taken_over_or_refused(holder: Holder) -> None:
    """It would be the memory of two copies, for as long as the keeper lives."""
    before = _list_descriptors()
    holder.take_over(1)
    assert len(_list_descriptors() - before) == 2  # the socket to the writer, and the arena for the next one
    holder.take_over(2)
    holder.memory.finish()
    holder.turn_until(ends=1)
    assert _list_descriptors() == before
    assert not holder.loop._callbacks


def test_the_writer_has_nothing_of_the_keepers_but_the_lock_and_the_arena(holder: Holder, tmp_path: Path) -> None:
    """Neither its listener nor the pipe of its output: they would never end."""
    with (tmp_path / "of the keeper").open("w"):
        holder.take_over()
        place = Path(f"/proc/{holder.writer}/fd")
        wait_until(lambda: str(tmp_path / "of the keeper") not in [os.readlink(each) for each in place.iterdir()])
        assert str(tmp_path) in [os.readlink(each) for each in place.iterdir()]


def test_what_is_no_arena_ends_its_writer_and_is_logged(
    holder: Holder, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", open(2, "w", closefd=False))  # noqa: SIM115  the runner's own is closed with the rest
    holder.take_over_memory(os.memfd_create("no arena"))
    holder.commit()
    holder.turn_until(ends=1)
    assert holder.answers == [(Committed(1, None, None, "its writer died"), 1)]
    assert "failed while writing snapshots" in capfd.readouterr().err


# Signals and priorities ------------------------------------------------------------------------------------------


def test_a_stop_of_the_whole_unit_does_not_stop_the_writer(holder: Holder) -> None:
    holder.take_over()
    status = Path(f"/proc/{holder.writer}/status")
    bit = 1 << (signal.SIGTERM - 1)
    wait_until(lambda: int(status.read_text().split("SigIgn:")[1].split()[0], 16) & bit)


@pytest.mark.skipif(_IOPRIO_GET is None, reason="no number for ioprio_get")
def test_the_writer_stands_back_until_it_is_told_to_hurry(holder: Holder) -> None:
    holder.take_over()
    wait_until(lambda: _read_priority(holder.writer) == Priority.IDLE)
    holder.memory.hurry()
    assert _read_priority(holder.writer) == Priority.NORMAL


@pytest.mark.skipif(_IOPRIO_GET is None, reason="no number for ioprio_get")
@pytest.mark.parametrize("how", ["an urgent order", "the end"])
def test_what_is_under_way_hurries_with_what_is_urgent(how: str, holder: Holder) -> None:
    """The order alone would be read after the one before it."""
    holder.take_over()
    wait_until(lambda: _read_priority(holder.writer) == Priority.IDLE)
    os.kill(holder.writer, signal.SIGSTOP)
    if how == "the end":
        holder.memory.finish()
    else:
        holder.commit(urgent=True)
    assert _read_priority(holder.writer) == Priority.NORMAL
    os.kill(holder.writer, signal.SIGCONT)


# Answers ---------------------------------------------------------------------------------------------------------


def _link(control: socket.socket) -> WriterLink:
    link = WriterLink(-1, 1, {})
    link.begin(0, control)
    return link


def test_an_answer_may_come_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    link = _link(ours)
    link._unanswered = [1, 2]
    theirs.sendall(b'{"generation": 1, "step": 3, "pa')
    assert link.read_answers() == []
    theirs.sendall(b'th": "/a"}\n{"gen')
    assert link.read_answers() == [Committed(1, 3, "/a", None)]
    assert not link.is_closed
    theirs.close()
    assert link.read_answers() == [Committed(2, None, None, "its writer died")]
    assert link.is_closed
    ours.close()


def test_a_writer_that_hung_up_takes_no_orders_and_costs_nothing() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    link = _link(ours)
    link.order(1)
    assert link.read_answers() == [Committed(1, None, None, "its writer died")]
    ours.close()


def test_with_the_keeper_gone_the_writer_ends(holder: Holder) -> None:
    holder.take_over()
    pid = holder.writer
    holder.memory._writers[0].control.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: not is_alive(pid))
