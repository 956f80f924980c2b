"""After the daemon's death, and after the keeper's: who is believed, what is touched, and what never is."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import perdured
from perdured.contract.sockets import bind_unix
from perdured.core.actions import Stop
from perdured.core.observation import Absent, Ended, Held, Lost, Orphaned, Unverifiable
from perdured.disks import Disks
from perdured.keeper import cgroup, records
from perdured.keeper.identity import Identity, identify, observe_process, open_process
from perdured.keeper.lock import is_locked, take_lock
from perdured.processes import (
    NotOurs,
    StillHeld,
    observe_attempt,
    perform_clean,
    signal_orphan,
    start_keeper,
    wait_orphan,
)
from perdured.remote.tier import RemoteTier
from perdured.state.paths import StateDir
from perdured.state.registry import Registry
from perdured.supervise.effects import Effects, Reach
from perdured.supervise.standbys import Standbys
from support.disk_jobs import make_job
from support.processes import (
    Daemon,
    get_run,
    is_alive,
    kill_keeper,
    kill_process,
    make_script,
    read_output,
    run,
    tidy,
    wait_for_end,
    wait_for_output,
    wait_until,
)

STAYS = ("say('up')", "stay()")


def _start(directory: Path, *lines: str) -> None:
    run(start_keeper(make_script(directory, *lines)))
    wait_for_output(directory)


# The daemon dies -------------------------------------------------------------------------------------------------

LAUNCHER = """
import asyncio, os, signal, sys
from pathlib import Path
from support.processes import make_script
from perdured.processes import start_keeper
asyncio.run(start_keeper(make_script(Path(sys.argv[1]), *sys.argv[2:])))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_printing_job_survives_its_launcher_and_is_adopted(directory: Path) -> None:
    """Nothing stands between the job and its log: neither a pipe that breaks, nor a terminal, nor a parent."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    died = subprocess.run(
        [sys.executable, "-c", LAUNCHER, directory, "n = 0", "while True: say(n); n += 1; time.sleep(0.001)"],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        timeout=20,
    )
    assert died.returncode == -signal.SIGKILL
    printed = len(read_output(directory))
    wait_for_output(directory, printed + 50)

    async def adopt() -> None:
        daemon = await Daemon().connect(directory)
        assert daemon.last.leader_pid == get_run(directory).leader.pid
        daemon.link.ask_stop("stop", 10)
        await daemon.until_gone()

    run(adopt())
    assert wait_for_end(directory).signal == signal.SIGTERM


def test_an_upgrade_on_disk_cannot_hurt_a_running_keeper(directory: Path, tmp_path: Path) -> None:
    """All is imported before `ready`: the keeper goes on when its package is gone."""
    package = tmp_path / "installed" / "perdured"
    for part in ("keeper", "contract"):
        shutil.copytree(Path(perdured.__file__).parent / part, package / part)
    shutil.copy(perdured.__file__, package)
    order = make_script(directory, "signal.signal(15, lambda *_: os._exit(75))", "if os.fork() == 0: stay()", *STAYS)

    async def upgrade() -> None:
        await start_keeper(order, program=package / "keeper" / "__main__.py")
        await asyncio.to_thread(wait_for_output, directory)
        shutil.rmtree(package)
        daemon = await Daemon().connect(directory)
        daemon.link.ask_save()
        daemon.link.ask_stop("stop", 10)
        await daemon.until_gone()

    run(upgrade())
    exit = wait_for_end(directory)
    assert (exit.exit_code, exit.leftover) == (75, 1)
    assert "Traceback" not in (directory / records.KEEPER_LOG).read_text()


# Who is believed -------------------------------------------------------------------------------------------------


def _connect(directory: Path) -> None:
    async def connect() -> None:
        (await Daemon().connect(directory)).link.close()

    run(connect())


def test_a_keeper_is_believed_when_all_agrees(directory: Path) -> None:
    _start(directory, *STAYS)
    _connect(directory)


def _rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_keeper_with_another_nonce_is_not_ours(directory: Path) -> None:
    """A copied state directory, or a record that was restored: the keeper hangs up on a nonce that is not its own."""
    _start(directory, *STAYS)
    kept = (directory / records.WANT).read_bytes()
    _rewrite(directory / records.WANT, nonce="f" * 32)
    with pytest.raises(NotOurs, match="another secret"):
        _connect(directory)
    (directory / records.WANT).write_bytes(kept)


@pytest.mark.parametrize("field", ["pid", "start_time", "boot_id"])
@pytest.mark.parametrize("who", ["keeper", "leader"])
def test_an_identity_that_differs_in_anything_is_not_ours(directory: Path, who: str, field: str) -> None:
    _start(directory, *STAYS)
    kept = (directory / records.RUN).read_bytes()
    identity = json.loads(kept)[who]
    wrong = {"pid": os.getpid(), "start_time": 1, "boot_id": "another"}[field]
    _rewrite(directory / records.RUN, **{who: {**identity, field: wrong}})
    with pytest.raises(NotOurs):
        _connect(directory)
    (directory / records.RUN).write_bytes(kept)


@contextmanager
def _impostor(directory: Path, answer: dict[str, object]) -> Iterator[None]:
    """Another process that listens on the keeper's socket: this one."""
    (directory / records.SOCKET).unlink()
    listener = bind_unix(directory / records.SOCKET)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(1000)
            connection.sendall(json.dumps(answer).encode() + b"\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()
    listener.close()


def test_an_impostor_on_the_socket_is_not_ours(directory: Path) -> None:
    """It knows every secret, and answers as a keeper would; but the kernel says that it is another process."""
    _start(directory, *STAYS)
    record = get_run(directory)
    answer: dict[str, object] = {
        "type": "status",
        "nonce": records.load_want(directory).nonce,
        "leader": records.to_plain(record.leader),
        "started_at": 1.0,
        "saving": False,
    }
    with _impostor(directory, answer), pytest.raises(NotOurs, match="belongs to process"):
        _connect(directory)


def test_a_keeper_that_is_not_up_yet_is_no_enemy(directory: Path) -> None:
    """Nothing to connect to is an OSError: try again."""
    _start(directory, *STAYS)
    (directory / records.SOCKET).rename(directory / "elsewhere")
    with pytest.raises(FileNotFoundError):
        _connect(directory)
    (directory / records.RUN).rename(directory / "run.away")
    with pytest.raises(FileNotFoundError):
        _connect(directory)
    (directory / "run.away").rename(directory / records.RUN)


def test_of_two_daemons_the_older_is_not_obeyed(directory: Path) -> None:
    """One that hung while another took over can look, but not act."""
    _start(directory, "signal.signal(15, lambda *_: os._exit(75))", *STAYS)

    async def compete() -> None:
        old = await Daemon().connect(directory, epoch=1)
        new = await Daemon().connect(directory, epoch=2)
        old.link.ask_stop("old", 10)
        new.link.ask_save()
        again = await Daemon().connect(directory, epoch=2)  # what was said before has been heard by now
        assert again.last.stop_reason is None
        new.link.ask_stop("new", 10)
        await old.until_gone()
        assert old.last.stop_reason == "new"
        for daemon in (new, again):
            await daemon.until_gone()

    run(compete())
    assert wait_for_end(directory).stop_reason == "new"


# The keeper dies -------------------------------------------------------------------------------------------------


def test_an_orphan_is_asked_to_end_once(directory: Path, tmp_path: Path) -> None:
    """The decision repeats the stop until the end is seen; many programs die at once of a second signal."""
    _start(directory, "for n in (10, 15): signal.signal(n, lambda n, _: say(n))", *STAYS)
    kill_keeper(directory)
    state, registry = StateDir(tmp_path), Registry(tmp_path / "registry.sqlite")
    job = make_job(tmp_path)
    state.job(job.id).mkdir(parents=True)
    (state.job(job.id) / "attempts").symlink_to(directory.parent)

    async def ask() -> None:
        tier = RemoteTier(lambda *_: None, time.time, Disks())
        reach = Reach(state, registry, Disks(), tier, Standbys(state, time.time))
        effects = Effects(reach, lambda *_: None, time.time, lambda _: {})
        for _ in range(3):
            await effects.perform(job, Stop(attempt=1, reason="stop", grace=1.0))
            await asyncio.to_thread(wait_for_output, directory, 2)

    run(ask())
    registry.close()
    signal_orphan(directory, signal.SIGUSR1)
    assert wait_for_output(directory, 3) == ["up", "15", "10"]


def test_a_job_outlives_its_keeper_as_an_orphan_and_is_lost_when_it_ends(directory: Path) -> None:
    _start(directory, *STAYS)
    run = get_run(directory)
    kill_keeper(directory)
    assert observe_attempt(directory) == Orphaned(pid=run.leader.pid, started_at=run.started_at)
    kill_process(run.leader)
    assert observe_attempt(directory) == Lost(pid=run.leader.pid, started_at=run.started_at), (
        "an exit that nobody saw is never a success"
    )


def test_an_orphan_is_reached_and_its_end_noticed(directory: Path) -> None:
    _start(directory, "signal.signal(15, lambda *_: (say('heard'), os._exit(0)))", *STAYS)
    kill_keeper(directory)

    async def stop() -> None:
        waiting = asyncio.create_task(wait_orphan(directory))
        assert signal_orphan(directory, signal.SIGTERM)
        await waiting

    run(stop())
    assert read_output(directory) == ["up", "heard"]
    assert isinstance(observe_attempt(directory), Lost)
    assert not signal_orphan(directory, signal.SIGTERM)
    run(wait_orphan(directory))


def test_a_connected_daemon_notices_the_death_of_the_keeper(directory: Path) -> None:
    _start(directory, *STAYS)

    async def watch() -> None:
        daemon = await Daemon().connect(directory)
        os.kill(get_run(directory).keeper.pid, signal.SIGKILL)
        await daemon.until_gone()
        assert not is_locked(directory / records.LOCK)
        assert isinstance(observe_attempt(directory), Orphaned)

    run(watch())


LEAVES = (
    "def begin(act):",
    "    if os.fork() == 0: act(); say(os.getpid()); stay()",
    "def escape():",
    "    os.setsid()",
    "    if os.fork(): os._exit(0)",
    "def hide(): os.execve(sys.executable, [sys.executable, '-I', '-S', '-c', HIDDEN], {})",
    "HIDDEN = 'import os, signal; os.write(1, b\"%d\\\\n\" % os.getpid()); signal.pause()'",
    "for act in (lambda: None, escape, hide): begin(act)",
    "say(os.getpid()); stay()",
)


@pytest.mark.parametrize("with_cgroup", [True, False])
def test_all_that_is_left_of_an_attempt_is_cleared(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, with_cgroup: bool
) -> None:
    """By cgroup where there is one; else by the nonce in the environment, and descendants that have dropped it."""
    if not with_cgroup:
        monkeypatch.setattr(cgroup, "MOUNTS", ())
    run(start_keeper(make_script(directory, *LEAVES)))
    pids = [int(line) for line in wait_for_output(directory, 4)]
    kill_keeper(directory)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        assert perform_clean(directory) == 4
        assert not any(is_alive(pid) for pid in pids)
        assert is_alive(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()
    assert perform_clean(directory) == 0
    leaf = get_run(directory).cgroup
    assert leaf is None or not Path(leaf).exists()


def test_nothing_of_an_attempt_is_left_when_the_next_one_starts(directory: Path) -> None:
    """The keeper dies after the leader, before it has cleared the rest: the end is known, a writer lives on."""
    _start(directory, "if os.fork() == 0: say(os.getpid()); stay()", "stay()")
    child = int(read_output(directory)[0])
    os.kill(get_run(directory).leader.pid, signal.SIGKILL)
    wait_until(lambda: records.load_exit(directory))
    kill_keeper(directory)
    assert isinstance(observe_attempt(directory), Ended)
    assert is_alive(child)
    second = directory.with_name("2")
    run(start_keeper(make_script(second, f"say(os.path.exists('/proc/{child}'))")))
    wait_for_end(second)
    assert not is_alive(child)


def test_no_attempt_starts_beside_a_living_one(directory: Path) -> None:
    """Two writers on one checkpoint directory are impossible, whatever the daemon has decided."""
    _start(directory, *STAYS)
    second = directory.with_name("2")
    with pytest.raises(StillHeld):
        run(start_keeper(make_script(second, "say('ran')")))
    assert not second.exists()


def test_an_attempt_with_a_living_keeper_is_neither_cleared_nor_signalled(directory: Path) -> None:
    _start(directory, *STAYS)
    with pytest.raises(StillHeld):
        perform_clean(directory)
    assert not signal_orphan(directory, signal.SIGKILL)
    assert isinstance(observe_attempt(directory), Held)


def test_clearing_what_is_not_there_is_no_error(directory: Path, tmp_path: Path) -> None:
    assert perform_clean(directory) == 0
    assert perform_clean(tmp_path / "nothing") == 0


# What is seen ----------------------------------------------------------------------------------------------------


def _save_run(directory: Path, leader: Identity) -> None:
    records.save_run(directory, records.RunRecord(Identity(1, 1, leader.boot_id), leader, 5.0, None))


def test_a_reboot_is_told_from_a_death(directory: Path) -> None:
    _save_run(directory, identify(os.getpid())._replace(boot_id="an earlier one"))
    assert observe_attempt(directory) == Lost(pid=os.getpid(), started_at=5.0, rebooted=True)


def test_a_stranger_with_the_leaders_pid_is_not_the_leader(directory: Path) -> None:
    """This very process has the PID, on this boot; but it started at another time."""
    own = identify(os.getpid())
    _save_run(directory, own._replace(start_time=own.start_time - 1))
    assert observe_attempt(directory) == Lost(pid=os.getpid(), started_at=5.0)
    assert not signal_orphan(directory, signal.SIGTERM), "else this test would end here"
    (directory / records.RUN).unlink()


def test_a_dead_leader_that_nobody_has_reaped_is_gone(directory: Path) -> None:
    child = subprocess.Popen(["true"])
    _save_run(directory, identify(child.pid))
    wait_until(lambda: (seen := observe_process(child.pid)) is not None and not seen.is_alive)
    assert observe_attempt(directory) == Lost(pid=child.pid, started_at=5.0)
    child.wait()


def test_a_held_lock_is_believed_before_any_file(directory: Path) -> None:
    fd = take_lock(directory / records.LOCK)
    assert fd is not None
    assert observe_attempt(directory) == Held()
    os.close(fd)
    assert observe_attempt(directory) == Absent()


def test_a_directory_that_is_not_there_is_absent(tmp_path: Path) -> None:
    assert observe_attempt(tmp_path / "nothing") == Absent()


@pytest.mark.parametrize("name", [records.RUN, records.EXIT])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"reason": 5}',
        '{"reason": "unheard of", "at": 1, "at_boot": 1, "leftover": 0, "drained": true}',
    ],
)
def test_what_cannot_be_understood_is_unverifiable(directory: Path, name: str, text: str) -> None:
    """Not dead, not absent: nothing may be started or killed on the strength of it."""
    (directory / name).write_text(text)
    seen = observe_attempt(directory)
    assert isinstance(seen, Unverifiable)
    assert name in seen.why or "validation error" in seen.why


def test_an_unknown_key_in_a_record_is_ignored(directory: Path) -> None:
    records.save_exit(directory, records.ExitRecord("exited", 1.0, 1.0, exit_code=3))
    _rewrite(directory / records.EXIT, version=2, news="from a later version")
    seen = observe_attempt(directory)
    assert isinstance(seen, Ended)
    assert seen.exit.exit_code == 3


# A PID comes round -----------------------------------------------------------------------------------------------

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@pytest.mark.root
def test_whoever_gets_the_leaders_pid_next_is_left_alone(directory: Path) -> None:
    """The number of a dead leader is given to a bystander, who is neither taken for the job nor touched."""
    _start(directory, *STAYS)
    leader = get_run(directory).leader
    kill_keeper(directory)
    tidy(directory)
    wait_until(lambda: observe_process(leader.pid) is None, "the leader is reaped")
    bystander = _start_with_pid(leader.pid)
    if bystander is None:
        pytest.skip("another process got the number first, each time")
    try:
        assert open_process(leader) is None
        assert observe_attempt(directory) == Lost(pid=leader.pid, started_at=get_run(directory).started_at)
        assert not signal_orphan(directory, signal.SIGKILL)
        assert perform_clean(directory) == 0
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def _start_with_pid(pid: int) -> subprocess.Popen[bytes] | None:
    for _ in range(50):
        LAST_PID.write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "60"])
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    return None
