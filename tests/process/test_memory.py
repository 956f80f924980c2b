"""The memory tier from the keeper's side: what a job left in its arena reaches the disk, however the job ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from perdured.contract.checkpoint import Listed, list_checkpoints, verify_checkpoint
from perdured.keeper import records
from perdured.keeper.lock import is_locked
from perdured.processes import start_keeper
from support.memory_job import JOB
from support.processes import (
    Daemon,
    Peer,
    get_run,
    is_alive,
    kill_keeper,
    make_script,
    read_output,
    run,
    wait_for_end,
    wait_for_output,
    wait_until,
)

Connect = Callable[[], Peer]


def _start(directory: Path, *lines: str, grace: float = 10.0) -> Path:
    """Starts the job; returns where its checkpoints will be."""
    run(start_keeper(make_script(directory, JOB, *lines, grace=grace)))
    return directory.parent / "checkpoints"


def _find(root: Path) -> list[tuple[int, bytes]]:
    """Every checkpoint, newest first: its step and its bytes, and all of them are valid."""
    found: list[Listed] = list_checkpoints(root) if root.exists() else []
    assert all(verify_checkpoint(listed.path).is_valid for listed in found)
    return [(listed.step, (listed.path / "a.bin").read_bytes()) for listed in found]


# The last snapshot -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["die()", "os._exit(1)", "os.abort()"])
def test_the_last_snapshot_of_a_job_that_died_is_committed(end: str, directory: Path) -> None:
    root = _start(directory, "hand_over(); take(10, 1); take(20, 2); take(30, 3)", end)
    wait_for_end(directory)
    assert _find(root) == [(30, b"state of step 30")]
    record = records.load_exit(directory)
    assert record is not None
    assert (record.checkpoint_step, record.checkpoint_path) == (30, str(list_checkpoints(root)[0].path))


def test_a_copy_that_was_not_finished_is_not_committed(directory: Path) -> None:
    root = _start(
        directory, "hand_over(); take(10, 1); take(20, 2); arena.begin(1); arena.slot(1)[:4] = b'torn'; die()"
    )
    wait_for_end(directory)
    assert _find(root) == [(20, b"state of step 20")]


def test_without_a_snapshot_nothing_is_committed(directory: Path) -> None:
    root = _start(directory, "hand_over(); die()")
    wait_for_end(directory)
    assert _find(root) == []


def test_what_was_committed_is_not_committed_again(directory: Path) -> None:
    root = _start(directory, "hand_over(); take(10, 1); say(commit(1)['path'])", "os._exit(0)")
    wait_for_end(directory)
    assert [step for step, _ in _find(root)] == [10]
    assert read_output(directory) == [str(list_checkpoints(root)[0].path)]


def test_a_job_that_hangs_loses_no_more_than_one_that_dies(directory: Path) -> None:
    """It is killed at its deadline, and what it left in memory is safe."""

    async def stop() -> None:
        daemon = await Daemon().connect(directory)
        daemon.link.ask_stop("stop", 0.1)
        await daemon.until_gone()

    lines = "signal.signal(signal.SIGTERM, signal.SIG_IGN); hand_over(); take(10, 1); say('hangs'); stay()"
    root = _start(directory, lines)
    wait_for_output(directory)
    run(stop())
    exit = wait_for_end(directory)
    assert exit.reason == "timed_out"
    assert _find(root) == [(10, b"state of step 10")]


def test_nothing_starts_before_the_last_snapshot_is_safe(directory: Path) -> None:
    """The lock is held until it is: whoever finds it free finds the checkpoint."""
    root = _start(directory, "hand_over(); take(10, 1); say('ready'); stay()")
    wait_for_output(directory)
    os.kill(get_run(directory).leader.pid, signal.SIGKILL)
    wait_until(lambda: not is_locked(directory / records.LOCK))
    assert [step for step, _ in _find(root)] == [10]


def test_a_process_of_the_job_that_outlives_its_leader_writes_no_more_when_it_is_committed(directory: Path) -> None:
    """The job's shell dies, the one that takes the snapshots goes on: it is killed first."""
    lines = (
        "if os.fork() == 0:",
        "    hand_over(); generation = 0; say('begun')",
        "    while True: generation += 1; take(generation, generation)",
        "while not os.path.exists('go'): time.sleep(0.001)",
        "die()",
    )
    root = _start(directory, *lines)
    wait_for_output(directory)
    (directory.parent / "go").touch()
    wait_for_end(directory)
    ((step, content),) = _find(root)
    assert content == f"state of step {step}".encode()


# Commits that are asked for --------------------------------------------------------------------------------------


@pytest.mark.parametrize("urgent", [False, True])
def test_a_job_trains_on_while_its_snapshot_is_committed(urgent: bool, directory: Path) -> None:
    lines = f"hand_over(); take(10, 1); answer = commit(1, {urgent}); say(answer['type'], answer['step']); stay()"
    root = _start(directory, lines)
    assert wait_for_output(directory) == ["committed 10"]
    assert _find(root) == [(10, b"state of step 10")]


def test_the_daemon_hears_of_it(directory: Path) -> None:
    _start(directory, "hand_over(); take(10, 1); commit(1); say('done'); stay()")
    wait_for_output(directory)

    async def look() -> tuple[int | None, bool]:
        daemon = await Daemon().connect(directory)
        return daemon.statuses[-1].checkpoint_step, daemon.statuses[-1].saving

    assert run(look()) == (10, False)


def test_the_daemon_sees_that_a_snapshot_is_being_written(directory: Path) -> None:
    """So that nothing else reads that disk meanwhile."""
    lines = (
        "arena = create_arena(100 << 20); hand_over(); arena.begin(1)",
        "parts = (Part('a.bin', 0, 100 << 20),)",
        "arena.finish(1, Snapshot(1, 10, parts, Facts('j', 1, 'run')))",
        "while not os.path.exists('go'): time.sleep(0.001)",
        "commit(1); say('done'); stay()",
    )
    _start(directory, *lines)

    async def look() -> list[bool]:
        daemon = await Daemon().connect(directory)
        (directory.parent / "go").touch()
        await daemon.until(lambda: daemon.last.checkpoint_step == 10)
        return [status.saving for status in daemon.statuses]

    seen = run(look())
    assert True in seen
    assert seen[-1] is False


def test_old_checkpoints_are_dropped_but_the_one_that_was_resumed_from(directory: Path) -> None:
    lines = "hand_over()\nfor n in range(1, 8): take(10 * n, n); commit(n)\nsay('done'); stay()"
    root = _start(directory, lines)
    wait_for_output(directory)
    # Only listed: one that is being dropped at this moment is not valid any more.
    wait_until(lambda: [listed.step for listed in list_checkpoints(root)] == [70, 60, 50])
    _find(root)


def test_a_disk_that_refuses_is_told_and_costs_nothing(directory: Path) -> None:
    (directory.parent / "checkpoints").write_text("in the way")
    _start(directory, "hand_over(); take(10, 1); answer = commit(1); say(answer['type'], answer['why']); die()")
    exit = wait_for_end(directory)
    assert exit.signal == signal.SIGKILL
    assert read_output(directory) == ["not_committed Not a directory"]


def test_why_the_last_snapshot_was_not_committed_is_in_the_record_of_the_end(directory: Path) -> None:
    """It stood only in the keeper's log: nobody had known that something was lost."""
    (directory.parent / "checkpoints").write_text("in the way")
    _start(directory, "hand_over(); take(10, 1); die()")
    wait_for_end(directory)
    record = records.load_exit(directory)
    assert record is not None
    assert (record.checkpoint_path, record.not_saved) == (None, "Not a directory")


def test_a_last_snapshot_that_was_committed_leaves_nothing_to_be_told(directory: Path) -> None:
    _start(directory, "hand_over(); take(10, 1); die()")
    wait_for_end(directory)
    record = records.load_exit(directory)
    assert record is not None
    assert (record.checkpoint_step, record.not_saved) == (10, None)


def test_a_snapshot_that_is_gone_is_not_committed(directory: Path) -> None:
    root = _start(directory, "hand_over(); take(10, 1); say(commit(7)['type']); stay()")
    assert wait_for_output(directory) == ["not_committed"]
    assert _find(root) == []


def test_a_commit_without_an_arena_is_answered(directory: Path) -> None:
    _start(directory, "say(commit(1)['type']); stay()")
    assert wait_for_output(directory) == ["not_committed"]


KILL_WRITER = """
for pid in open(f'/proc/{os.getppid()}/task/{os.getppid()}/children').read().split():
    if int(pid) != os.getpid(): os.kill(int(pid), 9)
"""


def test_a_writer_that_is_killed_is_replaced_and_the_next_commit_is_made(directory: Path) -> None:
    """The kernel may take it where memory runs out. What it died of, if anything, was answered with no."""
    lines = "hand_over(); take(10, 1)", KILL_WRITER, "answers_so_far = [commit(1)['type'], commit(1)['type']]"
    root = _start(directory, *lines, "say(answers_so_far[-1]); stay()")
    assert wait_for_output(directory) == ["committed"]
    assert _find(root)[0] == (10, b"state of step 10")


def test_the_last_snapshot_is_committed_though_the_writer_was_killed_with_the_job(directory: Path) -> None:
    """Whoever is out of memory may lose both, and the snapshot is in the memory that the keeper holds."""
    root = _start(directory, "hand_over(); take(10, 1)", KILL_WRITER, "die()")
    wait_for_end(directory)
    assert _find(root) == [(10, b"state of step 10")]
    record = records.load_exit(directory)
    assert record is not None
    assert (record.checkpoint_step, record.not_saved) == (10, None)


# Deadlines -------------------------------------------------------------------------------------------------------


def test_a_commit_that_comes_in_time_is_made(directory: Path) -> None:
    root = _start(directory, "hand_over(); take(10, 1); say(commit(1, deadline=soon(60.0))['type']); stay()")
    assert wait_for_output(directory) == ["committed"]
    assert _find(root) == [(10, b"state of step 10")]


def test_a_commit_that_is_late_is_not_made_and_what_was_before_is_untouched(directory: Path) -> None:
    """Nor does it leave anything behind."""
    lines = "hand_over(); take(10, 1); commit(1); take(20, 2); answer = commit(2, deadline=soon(0.0))"
    root = _start(directory, lines, "say(answer['type'], answer['why']); stay()")
    assert wait_for_output(directory) == ["not_committed its deadline has come before its end"]
    assert _find(root) == [(10, b"state of step 10")]
    assert not [path for path in root.iterdir() if path.name.startswith((".tmp", ".trash"))]


def test_a_disk_that_is_too_slow_for_the_deadline_commits_nothing_and_the_next_save_is_as_ever(directory: Path) -> None:
    """Half a dozen chunks, and no disk writes them in ten milliseconds: it is begun, given up midway, and swept."""
    lines = (
        "arena = create_arena(100 << 20); hand_over(); take(10, 1); commit(1)",
        "def take_all(step, generation):",
        "    arena.begin(generation % 2)",
        "    parts = (Part('a.bin', 0, 100 << 20),)",
        "    arena.finish(generation % 2, Snapshot(generation, step, parts, Facts('j', 1, 'run')))",
        "take_all(20, 2)",
        "say(commit(2, deadline=soon(0.21))['type'])",
        "take_all(30, 3)",
        "say(commit(3, deadline=soon(600.0))['type']); stay()",
    )
    root = _start(directory, *lines)
    assert wait_for_output(directory, 2) == ["not_committed", "committed"]
    assert [listed.step for listed in list_checkpoints(root)] == [30, 10]


# Whose memory it is ----------------------------------------------------------------------------------------------


def test_a_second_process_of_the_job_is_refused(directory: Path) -> None:
    """Two states in one place would be neither."""
    lines = (
        "say(hand_over())",
        "first, keeper = keeper, connect_unix(os.environ[environment.CHANNEL], 20)",
        "answers = keeper.makefile('rb'); tell(type='hello', role='job', version=1)",
        "say(hand_over()); stay()",
    )
    _start(directory, *lines)
    assert wait_for_output(directory, 2) == ["memory_held", "memory_refused"]


def test_a_new_arena_takes_the_place_of_the_old_one_whose_last_snapshot_is_kept(directory: Path) -> None:
    """The state is laid out anew: a layer was added."""
    lines = (
        "hand_over(); take(10, 1)",
        "tell(type='release'); arena = create_arena(BLOCK)",
        "say(hand_over()); take(20, 1); die()",
    )
    root = _start(directory, *lines)
    wait_for_end(directory)
    assert sorted(_find(root)) == [(10, b"state of step 10"), (20, b"state of step 20")]


def test_what_is_no_arena_costs_the_job_nothing_but_the_tier(directory: Path) -> None:
    lines = (
        "descriptor = os.memfd_create('x')",
        "socket.send_fds(keeper, [json.dumps({'type': 'memory', **place}).encode() + b'\\n'], [descriptor])",
        "hear(); say(commit(1)['type']); os._exit(4)",
    )
    _start(directory, *lines)
    assert wait_for_end(directory).exit_code == 4
    assert read_output(directory) == ["not_committed"]


def test_with_the_keeper_its_writer_goes(directory: Path) -> None:
    _start(directory, "hand_over(); take(10, 1); say('ready'); stay()")
    wait_for_output(directory)
    keeper, leader = get_run(directory).keeper.pid, get_run(directory).leader.pid
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    (writer,) = (int(pid) for pid in children if int(pid) != leader)
    kill_keeper(directory)
    wait_until(lambda: not is_alive(writer))
    assert is_alive(leader)
