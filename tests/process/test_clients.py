"""Who is connected to a keeper: what each may say, what each hears, and that none can hold up the others."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from perdured.contract import messages
from perdured.contract.sockets import connect_unix
from perdured.keeper import records
from perdured.keeper.clients import MAX_CLIENTS
from perdured.processes import start_keeper
from support.processes import (
    Daemon,
    Peer,
    get_run,
    make_script,
    read_output,
    run,
    wait_for_end,
    wait_for_output,
    wait_until,
)
from support.strangers import hear_as_stranger

Connect = Callable[[], Peer]
STAYS = ("say('up')", "stay()")
JOB = {"type": "hello", "role": "job", "version": 1}


@pytest.fixture
def running(directory: Path) -> Path:
    run(start_keeper(make_script(directory, *STAYS)))
    wait_for_output(directory)
    return directory


def _hello(directory: Path) -> dict[str, object]:
    return {"type": "hello", "role": "daemon", "version": 1, "nonce": records.load_want(directory).nonce}


def _join(connect: Connect, directory: Path) -> Peer:
    """A daemon that has heard its first status."""
    peer = connect()
    peer.say(**_hello(directory))
    assert (peer.hear() or {})["type"] == "status"
    return peer


def _ask_status(connect: Connect, directory: Path) -> dict[str, object]:
    """The status as one who comes now hears it."""
    peer = connect()
    peer.say(**_hello(directory))
    status = peer.hear()
    assert status is not None
    peer.close()
    return status


def _hear_until(peer: Peer, is_wanted: Callable[[dict[str, object]], object]) -> dict[str, object]:
    while True:
        message = peer.hear()
        assert message is not None
        if is_wanted(message):
            return message


def _step(status: dict[str, object], of: str) -> object:
    """The step of the progress, or of the checkpoint, in a status; None before there is one."""
    told = status[of]
    return told.get("step") if isinstance(told, dict) else None


def _hear_step(peer: Peer, of: str, step: int) -> None:
    _hear_until(peer, lambda status: _step(status, of) == step)


# What the job tells ----------------------------------------------------------------------------------------------


def test_a_daemon_hears_what_the_job_tells(running: Path, connect: Connect) -> None:
    async def listen() -> None:
        daemon = await Daemon().connect(running)
        job = connect()
        job.say(**JOB)
        job.say(type="progress", step=12, loss=0.5, total=400)
        await daemon.until(lambda: daemon.last.step == 12)
        assert (daemon.last.loss, daemon.last.total, daemon.last.saving) == (0.5, 400, False)
        job.say(type="saving", step=12)
        await daemon.until(lambda: daemon.last.saving)
        job.say(type="checkpoint", step=12, path="/c/step-12")
        await daemon.until(lambda: not daemon.last.saving)
        assert (daemon.last.checkpoint_step, daemon.last.checkpoint_path) == (12, "/c/step-12")
        daemon.link.close()

    run(listen())


def test_a_daemon_that_comes_later_has_missed_nothing(running: Path, connect: Connect) -> None:
    job = connect()
    job.say(**JOB)
    job.say(type="progress", step=3)
    job.say(type="checkpoint", step=2, path="/c/step-2")
    wait_until(lambda: _ask_status(connect, running)["checkpoint"])
    later = _ask_status(connect, running)
    assert later["progress"] == {"step": 3, "loss": None, "total": None}
    assert later["checkpoint"] == {"step": 2, "path": "/c/step-2"}


def test_several_processes_of_the_job_may_report(running: Path, connect: Connect) -> None:
    ranks = [connect() for _ in range(4)]
    daemon = _join(connect, running)
    for step, rank in enumerate(ranks):
        rank.say(**JOB)
        rank.say(type="progress", step=step)
        _hear_step(daemon, "progress", step)


def test_one_that_dies_while_it_saves_is_not_saving_any_more(running: Path, connect: Connect) -> None:
    daemon = _join(connect, running)
    job = connect()
    job.say(**JOB)
    job.say(type="saving", step=1)
    _hear_until(daemon, lambda status: status["saving"])
    job.close()
    other = connect()
    other.say(**JOB)
    other.say(type="checkpoint", step=1, path="/c")
    assert not _hear_until(daemon, lambda status: status["checkpoint"])["saving"]


def test_a_loss_that_is_not_a_number_is_progress_all_the_same(running: Path, connect: Connect) -> None:
    daemon = _join(connect, running)
    job = connect()
    job.say(**JOB)
    job.send(b'{"type": "progress", "step": 5, "loss": NaN}\n')
    status = _hear_until(daemon, lambda status: status["progress"])
    assert status["progress"] == {"step": 5, "loss": None, "total": None}


def test_progress_is_told_a_few_times_a_second_however_fast_it_comes(running: Path, connect: Connect) -> None:
    daemon = _join(connect, running)
    job = connect()
    job.say(**JOB)
    for step in range(5000):
        job.say(type="progress", step=step)
    heard = [_hear_until(daemon, lambda status: status["progress"])]
    while _step(heard[-1], "progress") != 4999:
        heard.append(_hear_until(daemon, lambda status: status["progress"]))
    assert len(heard) < 100, "of 5000 reports, in well under 20 s"


# What the job is asked -------------------------------------------------------------------------------------------


def test_a_save_is_asked_of_every_process_of_the_job(running: Path, connect: Connect) -> None:
    jobs = [connect(), connect()]
    daemon = _join(connect, running)
    for step, job in enumerate(jobs):
        job.say(**JOB)
        job.say(type="checkpoint", step=step, path="/c")
        _hear_step(daemon, "checkpoint", step)
    daemon.say(type="save")
    assert [job.hear() for job in jobs] == [{"type": "save"}, {"type": "save"}]


def test_a_save_that_nobody_could_hear_is_asked_of_the_first_that_comes(running: Path, connect: Connect) -> None:
    daemon = _join(connect, running)
    daemon.say(type="save")
    _join(connect, running)  # by now the keeper has heard it
    job = connect()
    job.say(**JOB)
    assert job.hear() == {"type": "save"}


# Who is not heard ------------------------------------------------------------------------------------------------

NOT_A_HELLO = [
    b"garbage\n",
    b"\xff\xfe\n",
    b"[1, 2]\n",
    b'{"type": 5}\n',
    b'{"type": "progress", "step": 1}\n',
    b'{"type": "hello"}\n',
    b'{"type": "hello", "role": "root"}\n',
    b'{"type": "hello", "role": "daemon", "nonce": "wrong"}\n',
    b'{"type": "hello", "role": "daemon"}\n',
    b"[" * 60_000 + b"\n",
    b"x" * (messages.MAX_LINE + 1),
    b"\n",
]


@pytest.mark.parametrize("data", NOT_A_HELLO, ids=lambda data: repr(data[:30]))
def test_who_does_not_say_hello_properly_is_hung_up_on(running: Path, connect: Connect, data: bytes) -> None:
    daemon = _join(connect, running)
    stranger = connect()
    stranger.send(data)
    assert stranger.hear() is None
    daemon.say(type="stop", reason="still heard", grace=10)
    assert _hear_until(daemon, lambda status: status["stop"])


@pytest.mark.parametrize(
    "message",
    [
        {"type": "progress"},
        {"type": "progress", "step": "1"},
        {"type": "progress", "step": True},
        {"type": "progress", "step": 1, "loss": "low"},
        {"type": "checkpoint", "step": 1},
        {"type": "checkpoint", "step": 1, "path": "x" * 5000},
        {"step": 1},
    ],
)
def test_a_job_that_talks_nonsense_costs_itself_the_connection(
    running: Path, connect: Connect, message: dict[str, object]
) -> None:
    daemon, good, bad = _join(connect, running), connect(), connect()
    bad.say(**JOB)
    bad.say(**message)
    assert bad.hear() is None
    good.say(**JOB)
    good.say(type="progress", step=7)
    assert _hear_until(daemon, lambda status: status["progress"])["progress"] == {
        "step": 7,
        "loss": None,
        "total": None,
    }


@pytest.mark.parametrize(
    "message",
    [
        {"type": "stop", "reason": "r"},
        {"type": "stop", "reason": "r", "grace": -1},
        {"type": "stop", "reason": "r", "grace": float("inf")},
        {"type": "stop", "reason": "r", "grace": float("nan")},
        {"type": "stop", "reason": "r", "grace": 1, "signal": 999},
        {"type": "stop", "grace": 1},
    ],
)
def test_a_stop_that_cannot_be_meant_stops_nothing(running: Path, connect: Connect, message: dict[str, object]) -> None:
    bad = _join(connect, running)
    bad.say(**message)
    assert bad.hear() is None
    assert records.load_stop(running) is None


def test_a_type_of_a_later_version_is_passed_over(running: Path, connect: Connect) -> None:
    daemon, job = _join(connect, running), connect()
    job.say(**JOB)
    job.say(type="weather", sky="blue")
    job.say(type="progress", step=1)
    daemon.say(type="weather", sky="grey")
    daemon.say(type="stop", reason="r", grace=10)
    assert _hear_until(daemon, lambda status: status["stop"])


def test_a_job_may_not_stop_itself_through_the_keeper(running: Path, connect: Connect) -> None:
    job = connect()
    job.say(**JOB)
    job.say(type="stop", reason="r", grace=0)
    job.say(type="progress", step=1)
    wait_until(lambda: _ask_status(connect, running)["progress"])
    assert _ask_status(connect, running)["stop"] is None
    assert records.load_stop(running) is None


@pytest.mark.root
def test_another_user_is_not_heard(running: Path) -> None:
    """Even where the directories and the socket's mode would let them in."""
    assert hear_as_stranger(running / records.SOCKET) == b""


# Who is slow -----------------------------------------------------------------------------------------------------


def test_one_who_does_not_listen_holds_up_nobody(running: Path, connect: Connect) -> None:
    """Its unread statuses are replaced, not queued; and it hears the newest when it listens again."""
    deaf, daemon, job = _join(connect, running), _join(connect, running), connect()
    job.say(**JOB)
    before = _read_memory(running)
    for step in range(800):
        job.say(type="checkpoint", step=step, path="/c" * 2000)
        _hear_step(daemon, "checkpoint", step)
    assert _read_memory(running) - before < 1 << 20
    _hear_step(deaf, "checkpoint", 799)


def _read_memory(directory: Path) -> int:
    text = Path(f"/proc/{get_run(directory).keeper.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def test_a_line_in_pieces_is_one_line(running: Path, connect: Connect) -> None:
    daemon, job = _join(connect, running), connect()
    job.say(**JOB)
    for piece in (b'{"type": "prog', b'ress", "st', b'ep": 9}', b"\n"):
        job.send(piece)
    assert _hear_until(daemon, lambda status: status["progress"])["progress"] == {
        "step": 9,
        "loss": None,
        "total": None,
    }


def test_hundreds_of_clients_do_not_keep_the_daemon_out(running: Path, connect: Connect) -> None:
    """Neither those that say nothing nor those that say they are processes of the job."""
    crowd = [Peer(connect_unix(running / records.SOCKET, None)) for _ in range(MAX_CLIENTS + 20)]
    silent = _join(connect, running)
    assert len(list(Path(f"/proc/{get_run(running).keeper.pid}/fd").iterdir())) < MAX_CLIENTS + 40
    for client in crowd[40:]:
        client.say(**JOB)
    more = []
    for _ in range(40):
        more.append(connect())
        more[-1].say(**JOB)
    assert more[-1].hear() is None, "there are too many"
    daemon = _join(connect, running)
    crowd[-1].say(type="progress", step=9)
    _hear_step(daemon, "progress", 9)
    _hear_step(silent, "progress", 9)
    for client in crowd:
        client.close()


def test_a_word_that_has_come_saves_who_said_it_from_making_room(running: Path, connect: Connect) -> None:
    """The keeper may have been busy, and not heard it yet."""
    keeper = get_run(running).keeper.pid
    os.kill(keeper, signal.SIGSTOP)
    job = connect()
    job.say(**JOB)
    crowd = [Peer(connect_unix(running / records.SOCKET, None)) for _ in range(20)]
    os.kill(keeper, signal.SIGCONT)
    crowd += [Peer(connect_unix(running / records.SOCKET, None)) for _ in range(MAX_CLIENTS)]
    daemon = _join(connect, running)
    job.say(type="progress", step=9)
    _hear_step(daemon, "progress", 9)
    for client in crowd:
        client.close()


def test_a_job_that_is_not_listened_to_goes_on_without_its_keeper(directory: Path) -> None:
    """The keeper stands still; the job prints on."""
    run(start_keeper(make_script(directory, "n = 0", "while True: say(n); n += 1; time.sleep(0.001)")))
    wait_for_output(directory)
    keeper = get_run(directory).keeper.pid
    os.kill(keeper, signal.SIGSTOP)
    printed = len(read_output(directory))
    wait_until(lambda: len(read_output(directory)) > printed + 50)
    os.kill(keeper, signal.SIGCONT)

    async def stop() -> None:
        daemon = await Daemon().connect(directory)
        daemon.link.ask_stop("stop", 10)
        await daemon.until_gone()

    run(stop())
    assert wait_for_end(directory).signal == signal.SIGTERM


def test_a_daemon_that_hangs_up_changes_nothing(running: Path) -> None:
    async def come_and_go() -> None:
        for _ in range(3):
            daemon = await Daemon().connect(running)
            daemon.link.close()
            await asyncio.sleep(0)
            assert not daemon.is_gone, "who hangs up is not told that the keeper has gone"

    run(come_and_go())
