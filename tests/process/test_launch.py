"""Starting an attempt: what the command finds, and what every crash on the way leaves."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from perdured.contract import environment
from perdured.contract.holding import KEEPER
from perdured.core.observation import Absent, Ended, Held
from perdured.keeper import channel, records
from perdured.keeper.leader import read_oom_score
from perdured.keeper.lock import is_locked, take_lock
from perdured.processes import DirectoryInUse, KeeperFailed, NotClean, observe_attempt, perform_clean, start_keeper
from perdured.processes.launch import _save_want, spawn_keeper
from support.processes import (
    Daemon,
    attempt_directory,
    get_run,
    is_alive,
    kill_process,
    make_order,
    make_script,
    read_output,
    run,
    wait_for_end,
    wait_for_output,
    wait_until,
)

LOOK_AROUND = """
import json
status = dict(line.split(':', 1) for line in open('/proc/self/status'))
print(json.dumps({
    'env': dict(os.environ), 'cwd': os.getcwd(), 'umask': status['Umask'].strip(),
    'blocked': int(status['SigBlk'], 16), 'ignored': int(status['SigIgn'], 16), 'caught': int(status['SigCgt'], 16),
    'fds': sorted(set(os.listdir('/proc/self/fd')) - {'3'}), 'stdin': os.readlink('/proc/self/fd/0'),
    'session': os.getsid(0) == os.getpid(), 'oom': open('/proc/self/oom_score_adj').read().strip(),
}))
"""


def test_the_command_finds_a_fresh_process_with_exactly_its_environment(directory: Path) -> None:
    order = make_order(directory, "/bin/sh", "-c", 'exec $PYTHON -I -S -c "$CODE"', CODE="import os" + LOOK_AROUND)
    order.env["PYTHON"] = sys.executable
    run(start_keeper(order))
    wait_for_end(directory)
    found = json.loads(read_output(directory)[0])
    ties = {
        environment.CHANNEL: str(directory / records.SOCKET),
        environment.ATTEMPT_NONCE: records.load_want(directory).nonce,
    }
    # PWD, _ and the like are the shell's own.
    assert order.env.items() <= found["env"].items()
    assert set(found["env"]) - set(order.env) - {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"} == set(ties)
    assert ties.items() <= found["env"].items()
    assert found["cwd"] == order.workdir
    assert found["umask"] == f"{_read_umask():04o}"
    # Python itself ignores SIGPIPE and SIGXFSZ and catches SIGINT. 32 and 33 are the C library's; posix_spawn
    # ignores them in every child.
    own = sum(1 << (number - 1) for number in (signal.SIGPIPE, signal.SIGXFSZ, 32, 33))
    assert (found["blocked"], found["ignored"] & ~own, found["caught"] & ~(1 << (signal.SIGINT - 1))) == (0, 0, 0)
    assert found["fds"] == ["0", "1", "2"]
    assert found["stdin"] == os.devnull
    assert found["session"]
    assert found["oom"] == read_oom_score()


def _read_umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_nothing_leaks_into_the_job_from_a_daemon_with_inheritable_descriptors(directory: Path) -> None:
    leak = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        run(start_keeper(make_script(directory, "say(*sorted(os.listdir('/proc/self/fd')))")))
    finally:
        os.close(leak)
    wait_for_end(directory)
    assert read_output(directory) == ["0 1 2 3"], "3 is the listing itself"


def test_stdout_and_stderr_go_to_one_private_file_in_order(directory: Path) -> None:
    run(start_keeper(make_script(directory, "say('a')", "os.write(2, b'b\\n')", "say('c')")))
    wait_for_end(directory)
    assert read_output(directory) == ["a", "b", "c"]
    for name in (records.OUTPUT_LOG, records.WANT, records.RUN, records.EXIT, records.KEEPER_LOG, records.LOCK):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600, name


def test_the_files_of_an_attempt_say_who_runs(directory: Path) -> None:
    run(start_keeper(make_script(directory, "say(os.getpid(), os.getppid())", "stay()")))
    (line,) = wait_for_output(directory)
    record = get_run(directory)
    assert line == f"{record.leader.pid} {record.keeper.pid}"
    seen = observe_attempt(directory)
    assert isinstance(seen, Held)
    assert (seen.pid, seen.started_at) == (record.leader.pid, record.started_at)


def _make_program(path: Path, text: str, mode: int = 0o755) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("no-such-command", "no such command in PATH"),
        ("./no-such-file", "there is no such file (seen from"),
        ("{tmp}/attempts", "may not be executed"),
        ("{tmp}/not-executable", "may not be executed by this user; chmod +x it"),
        ("{tmp}/no-interpreter", "the interpreter its first line names is not"),
        ("{tmp}/no-program", "has no #! line; name its interpreter"),
        ("", "cannot be empty"),
        ("nul\0byte", "embedded null"),
    ],
)
def test_a_command_that_cannot_be_executed_ends_the_attempt_and_says_why(
    directory: Path, tmp_path: Path, name: str, expected: str
) -> None:
    _make_program(tmp_path / "not-executable", "#!/bin/sh\n", 0o644)
    _make_program(tmp_path / "no-interpreter", "#!/no/such/interpreter\n")
    _make_program(tmp_path / "no-program", "plain text\n")
    run(start_keeper(make_order(directory, name.format(tmp=tmp_path))))
    seen = observe_attempt(directory)
    assert isinstance(seen, Ended)
    assert seen.exit.reason == "not_started"
    assert seen.exit.error is not None
    assert expected in seen.exit.error
    assert repr(name.format(tmp=tmp_path)) in seen.exit.error
    assert (seen.exit.exit_code, seen.exit.signal) == (None, None)


def test_arguments_that_are_too_long_are_called_so(directory: Path) -> None:
    run(start_keeper(make_order(directory, "true", "x" * (1 << 20))))
    assert "too long together" in (wait_for_end(directory).error or "")


def test_a_working_directory_that_is_not_there_is_called_so(directory: Path, tmp_path: Path) -> None:
    order = make_order(directory, "true")
    run(start_keeper(order.__class__(**{**order.__dict__, "workdir": str(tmp_path / "gone")})))
    assert f"its working directory {tmp_path / 'gone'} does not exist" in (wait_for_end(directory).error or "")


def test_the_command_is_looked_for_in_the_path_of_the_job(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    _make_program(tmp_path / "bin" / "only-here", "#!/bin/sh\necho found\n")
    run(start_keeper(make_order(directory, "only-here", PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin")))
    assert wait_for_end(directory).exit_code == 0
    assert read_output(directory) == ["found"]


# Crashes ---------------------------------------------------------------------------------------------------------


def _spawn(directory: Path) -> socket.socket:
    """A keeper that has said `ready` and waits for `go`."""
    return _spawn_known(directory)[0]


def _spawn_known(directory: Path) -> tuple[socket.socket, int]:
    """The same, and its pid."""
    before = _find_children()
    start = spawn_keeper(directory)
    (keeper,) = _find_children() - before
    start.settimeout(20)
    assert start.recv(100) == b"ready\n"
    return start, keeper


def _find_children() -> set[int]:
    """Whatever else this process has started, torch's helpers among them."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def test_a_daemon_that_dies_before_go_leaves_nothing(directory: Path) -> None:
    async def begin() -> None:
        _save_want(make_script(directory, "say('ran')"), os.urandom(16).hex())
        _spawn(directory).close()

    run(begin())
    wait_until(lambda: not is_locked(directory / records.LOCK))
    assert observe_attempt(directory) == Absent()
    assert not (directory / records.SOCKET).exists()
    leaf = records.load_want(directory).cgroup
    assert leaf is None or not Path(leaf).exists()


def test_what_never_ran_can_be_started_in_the_same_place(directory: Path) -> None:
    test_a_daemon_that_dies_before_go_leaves_nothing(directory)
    run(start_keeper(make_script(directory, "say('ran')")))
    assert wait_for_end(directory).exit_code == 0
    assert read_output(directory) == ["ran"]


def test_a_daemon_that_dies_after_go_leaves_a_running_attempt(directory: Path) -> None:
    async def begin() -> None:
        _save_want(make_script(directory, "say('ran')", "stay()"), os.urandom(16).hex())
        start = _spawn(directory)
        start.sendall(channel.GO.encode())
        start.close()

    async def adopt() -> None:
        daemon = await Daemon().connect(directory)
        assert daemon.last.leader_pid == get_run(directory).leader.pid
        daemon.link.close()

    run(begin())
    wait_for_output(directory)
    run(adopt())


def test_a_signal_before_go_ends_the_keeper_and_starts_nothing(directory: Path) -> None:
    async def begin() -> None:
        _save_want(make_script(directory, "say('ran')"), os.urandom(16).hex())
        start, keeper = _spawn_known(directory)
        os.kill(keeper, signal.SIGTERM)
        await asyncio.to_thread(wait_until, lambda: not is_alive(keeper))
        start.close()

    run(begin())
    assert observe_attempt(directory) == Absent()


GATE = """
import os, signal, sys
from perdured.keeper.leader import fork_leader
from perdured.keeper.records import Want
want = Want('job', 1, 'n', ('sh', '-c', 'echo ran'), {'PATH': os.environ['PATH']}, '/', 15, 1.0, None)
leader = fork_leader(want, os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600), None)
print(leader.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


OOM = (
    GATE.replace("None)", "'321')")
    .replace("'echo ran'", "'cat /proc/self/oom_score_adj'")
    .replace("os.kill(os.getpid(), signal.SIGKILL)", "leader.release(); os.waitpid(leader.pid, 0)")
)


def test_the_command_is_as_likely_to_be_killed_for_memory_as_the_daemons_children_were(tmp_path: Path) -> None:
    """The keeper protects itself, where it may; its job gets back what the keeper found."""
    subprocess.run([sys.executable, "-c", OOM, tmp_path / "out"], capture_output=True, check=True)
    assert (tmp_path / "out").read_text() == "321\n"


def test_a_keeper_that_dies_before_its_record_is_durable_takes_the_command_along(directory: Path) -> None:
    """The command waits at a gate until run.json is durable; the gate closes with the keeper."""
    died = subprocess.run([sys.executable, "-c", GATE, directory / "out"], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL
    wait_until(lambda: not is_alive(int(died.stdout)))
    assert (directory / "out").read_text() == ""


def test_where_the_record_cannot_be_saved_nothing_runs(directory: Path) -> None:
    async def begin() -> bytes:
        _save_want(make_script(directory, "say('ran')"), os.urandom(16).hex())
        start, keeper = _spawn_known(directory)
        resource.prlimit(keeper, resource.RLIMIT_FSIZE, (0, 0))
        start.sendall(channel.GO.encode())
        answer = start.recv(1000)
        start.close()
        return answer

    assert run(begin()).startswith(b"failed cannot save run.json: ")
    wait_until(lambda: not is_locked(directory / records.LOCK))
    assert observe_attempt(directory) == Absent()
    assert read_output(directory) == []


def test_a_start_that_is_given_up_before_go_starts_nothing(directory: Path) -> None:
    async def begin() -> None:
        # Descriptor 0 is the start channel: this program waits for lines that never come, and is never ready.
        start = asyncio.create_task(start_keeper(make_script(directory, "say('ran')"), program=Path("/dev/stdin")))
        await asyncio.to_thread(wait_until, (directory / records.KEEPER_LOG).exists)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start

    run(begin())
    assert observe_attempt(directory) == Absent()


def test_a_keeper_that_cannot_even_begin_is_told_with_its_last_words(directory: Path, tmp_path: Path) -> None:
    program = tmp_path / "broken.py"
    program.write_text("raise SystemExit('a broken installation')")
    with pytest.raises(KeeperFailed, match="a broken installation"):
        run(start_keeper(make_script(directory, "say('ran')"), program=program))
    assert observe_attempt(directory) == Absent()


def test_a_second_keeper_is_refused_while_the_first_holds_the_attempt(directory: Path) -> None:
    run(start_keeper(make_script(directory, "say('ran')", "stay()")))

    async def again() -> bytes:
        start = spawn_keeper(directory)
        start.settimeout(20)
        with start:
            return start.recv(1000)

    assert run(again()) == b"failed another keeper holds this attempt\n"
    assert isinstance(observe_attempt(directory), Held)


def test_no_second_attempt_starts_on_a_checkpoint_directory(directory: Path, tmp_path: Path) -> None:
    """Be it of another job, daemon or `perdure run`, and whatever program it runs."""
    root = str(tmp_path / "checkpoints")
    run(start_keeper(replace(make_script(directory, "stay()"), checkpoint_dir=root)))
    with attempt_directory(tmp_path / "other") as other:
        order = replace(make_script(other, "say('ran')"), job="other", checkpoint_dir=root)
        with pytest.raises(DirectoryInUse, match=r"job job \(attempt 1\)"):
            run(start_keeper(order))
        kill_process(get_run(directory).leader)
        wait_for_end(directory)
        run(start_keeper(order))
        assert wait_for_end(other).exit_code == 0
        assert read_output(other) == ["ran"]


def test_a_killed_keeper_lets_go_of_the_directory_before_the_attempt(directory: Path, tmp_path: Path) -> None:
    """Or a job would find its own directory taken by the attempt that it has just seen the end of."""
    run(start_keeper(replace(make_script(directory, "stay()"), checkpoint_dir=str(tmp_path / "checkpoints"))))
    descriptors = Path(f"/proc/{get_run(directory).keeper.pid}/fd")
    places = {os.path.basename(os.readlink(each)): int(each.name) for each in descriptors.iterdir()}
    assert places[KEEPER] < places[records.LOCK], "a killed process closes them in this order"


def test_an_attempt_starts_once(directory: Path) -> None:
    order = make_script(directory, "say('ran')")
    run(start_keeper(order))
    wait_for_end(directory)
    with pytest.raises(KeeperFailed, match="started before"):
        run(start_keeper(order))

    async def again() -> bytes:
        start = spawn_keeper(directory)
        start.settimeout(20)
        with start:
            return start.recv(1000)

    assert b"started before" in run(again())
    assert read_output(directory) == ["ran"]


def test_looking_at_the_lock_does_not_take_it(directory: Path) -> None:
    fd = take_lock(directory / records.LOCK)
    assert fd is not None
    assert is_locked(directory / records.LOCK)
    assert take_lock(directory / records.LOCK) is None
    os.close(fd)
    assert not is_locked(directory / records.LOCK)


def test_a_want_that_cannot_be_understood_starts_nothing(directory: Path) -> None:
    (directory / records.WANT).write_text("{")

    async def begin() -> bytes:
        start = spawn_keeper(directory)
        start.settimeout(20)
        with start:
            return start.recv(1000)

    assert b"failed ValueError" in run(begin())
    with pytest.raises(NotClean, match=r"want.json: not JSON"):
        perform_clean(directory)
    (directory / records.WANT).unlink()
