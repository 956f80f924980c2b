"""A daemon of root, two users, and what each may see and do. Real identities, and no side of it played by a fake."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdured.client import Client
from perdured.contract import environment
from perdured.contract.sockets import connect_unix
from perdured.errors import NoDaemon, NoSuchJob, PerdureError
from support.daemons import COUNTER, wait_for
from support.leftovers import read_command
from support.users import ADA, BEA, NOBODY_KNOWN, Machine, User, act_as, list_processes_of, open_machine

pytestmark = pytest.mark.root

TELL = """
import json, os, signal
print(json.dumps({"ids": os.getresuid() + os.getresgid(), "groups": sorted(os.getgroups()), "env": dict(os.environ)}),
      flush=True)
signal.pause()
"""
SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]


@pytest.fixture
def machine() -> Iterator[Machine]:
    with open_machine() as machine:
        machine.start()
        yield machine


def run_as(machine: Machine, user: User, command: list[str], spec: str = "", **env: str) -> tuple[str, int]:
    """The id and the leader's pid of a job that runs."""
    job = machine.submit_as(user, command, spec, **env)
    return job, wait_until_running(machine, user, job)


def wait_until_running(machine: Machine, user: User, job: str) -> int:
    def find() -> int | None:
        shown = machine.show_as(user, job)
        assert shown["state"] not in ("failed", "waiting"), shown["reason"]
        return shown["attempts"][-1]["pid"] if shown["state"] == "running" else None

    return wait_for(find, f"job {job} to run")


def wait_until_at_a_step(machine: Machine, user: User, job: str) -> None:
    """From then on it obeys SIGTERM."""
    wait_for(lambda: machine.show_as(user, job)["step"], "a step")


def read_status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.strip() for name, _, rest in (line.partition(":") for line in lines)}


def find_keeper(machine: Machine, user: User, job: str) -> int:
    record = json.loads((machine.home(user) / "jobs" / job / "attempts" / "1" / "run.json").read_text())
    return int(record["keeper"]["pid"])


def find_deputy(user: User) -> int | None:
    return next((pid for pid in list_processes_of(user) if "--deputy" in read_command(pid)), None)


# Identity -------------------------------------------------------------------------------------------------------------


def test_a_job_and_its_keeper_run_as_the_submitter_with_the_groups_and_no_way_to_more(machine: Machine) -> None:
    job, pid = run_as(machine, ADA, [sys.executable, "-c", TELL], OWN="submitted")
    keeper = find_keeper(machine, ADA, job)
    for process in (pid, keeper, find_deputy(ADA)):
        assert process is not None
        status = read_status(process)
        assert status["Uid"].split() == [str(ADA.uid)] * 4
        assert status["Gid"].split() == [str(ADA.gid)] * 4
        assert set(status["Groups"].split()) == {str(ADA.gid), *map(str, ADA.groups)}
        assert status["NoNewPrivs"] == "1"
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}


def test_a_job_has_the_environment_of_its_submitter_and_nothing_of_the_daemons(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.kill()
    monkeypatch.setenv("SECRET_OF_ROOT", "hidden")
    machine.start()
    job, pid = run_as(machine, ADA, [sys.executable, "-c", TELL], OWN="submitted")
    for process in (pid, find_keeper(machine, ADA, job), find_deputy(ADA)):
        assert b"hidden" not in Path(f"/proc/{process}/environ").read_bytes()
    output = machine.home(ADA) / "jobs" / job / "attempts" / "1" / "output.log"
    wait_for(lambda: output.read_text().endswith("\n"), "its output")
    env = json.loads(output.read_text())["env"]
    assert env["OWN"] == "submitted"
    given = {name for name in env if name not in environment.ATTEMPT_VARIABLES}
    assert given <= {"PATH", "OWN", "TEST_RUN_MARK", "LC_CTYPE"}


def test_a_job_has_its_own_output_and_no_other_descriptor_and_its_limits_are_those_of_the_daemons_start(
    machine: Machine,
) -> None:
    job, pid = run_as(machine, ADA, SLEEP)
    output = machine.home(ADA) / "jobs" / job / "attempts" / "1" / "output.log"
    opened = {entry.name: os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    assert opened == {"0": "/dev/null", "1": str(output), "2": str(output)}
    assert output.stat().st_uid == ADA.uid
    assert output.stat().st_mode & 0o777 == 0o600
    ours = [line for line in Path("/proc/self/limits").read_text().splitlines() if "open files" in line]
    assert ours == [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in line]
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "0\n"


def test_checkpoints_belong_to_the_user(machine: Machine) -> None:
    job = machine.submit_as(ADA, [sys.executable, str(COUNTER), "3"])
    wait_for(lambda: machine.show_as(ADA, job)["state"] == "succeeded", "the end of the job")
    checkpoints = machine.work(ADA) / "checkpoints"
    written = [checkpoints, *checkpoints.rglob("*")]
    assert len(written) > 3
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in written} == {(ADA.uid, ADA.gid)}


def test_a_job_of_root_runs_as_root_and_no_user_sees_it(machine: Machine) -> None:
    job = machine.submit(machine.root / "work", *SLEEP)
    machine.wait_for_state(job, "running")
    assert read_status(machine.show(job)["attempts"][-1]["pid"])["Uid"].split()[0] == "0"
    with pytest.raises(NoSuchJob):
        machine.show_as(ADA, job)


# Others ---------------------------------------------------------------------------------------------------------------


def list_requests(machine: Machine) -> list[tuple[str, str]]:
    described = machine.ask(ADA, lambda client: client._call("GET", "/openapi.json"))
    paths: dict[str, dict[str, Any]] = described["paths"]  # type: ignore[index]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def fill(path: str, job: str, group: str) -> str:
    """Whatever a request can name is named after the job; a number is one that it has."""
    named = {"{name}": group, "{attempt}": "1"}
    parts = [named.get(part, job) if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


def ask_all(machine: Machine, user: User, job: str, group: str) -> dict[str, str]:
    """Each request of the API about a job, a group or anything of that name, and what comes back."""

    def ask(client: Client) -> dict[str, str]:
        answers = {}
        for method, path in list_requests_of:
            try:
                answers[f"{method} {path}"] = client._send(method, fill(path, job, group), None, 0).decode()
            except PerdureError as error:
                answers[f"{method} {path}"] = f"{type(error).__name__}: {error}"
        return answers

    list_requests_of = list_requests(machine)
    return machine.ask(user, ask)


def test_every_request_about_a_job_of_another_is_answered_as_about_none_and_does_nothing(machine: Machine) -> None:
    """All of them, as the daemon itself lists them: a new one is asked too."""
    machine.submit_as(ADA, SLEEP, 'name = "own"')
    job, pid = run_as(machine, BEA, SLEEP, 'name = "treasure"\ngroup = "vault"')
    before = machine.show_as(BEA, job)
    unknown = "z" * len(job)
    answers, as_of_none = ask_all(machine, ADA, job, "vault"), ask_all(machine, ADA, unknown, "vaulx")
    assert len(answers) > 15
    about = {request: text for request, text in answers.items() if "{" in request}
    for request, answer in about.items():
        none = as_of_none[request].replace(unknown, job).replace("vaulx", "vault")
        assert answer == none, request
    for request, answer in answers.items():
        told = answer.replace(f"/{job}", "").replace(f'"{job}"', "") if request in about else answer
        assert "treasure" not in told, request
        assert request in about or job not in told, request
    after = machine.show_as(BEA, job)
    assert (after["state"], after["attempts"][-1]["pid"]) == ("running", pid) == (before["state"], pid)
    assert machine.ask(BEA, lambda client: [group["paused"] for group in client.list_groups()]) == [False]


def test_two_users_may_give_a_job_the_same_name_and_each_has_the_own(machine: Machine) -> None:
    jobs = {user: machine.submit_as(user, SLEEP, 'name = "gpt"') for user in (ADA, BEA)}
    for user, job in jobs.items():
        assert machine.show_as(user, "gpt")["id"] == job
        assert [each["id"] for each in machine.ask(user, lambda client: client.list_jobs(everything=True))] == [job]


def test_who_has_no_account_is_told_so(machine: Machine) -> None:
    with pytest.raises(PerdureError, match=f"User {NOBODY_KNOWN.uid} has no account"):
        machine.ask(NOBODY_KNOWN, lambda client: client.list_jobs())


def test_nobody_may_look_into_the_state_of_root_or_of_another(machine: Machine) -> None:
    run_as(machine, ADA, SLEEP)

    def list_readable() -> list[str]:
        found = []
        for folder in (machine.state, machine.state / "users", machine.home(ADA), machine.state / "spool"):
            try:
                found += os.listdir(folder)
            except PermissionError:
                continue
        for path in known:
            try:
                path.open("rb").close()
                found.append(str(path))
            except PermissionError:
                continue
        return found

    known = [path for path in machine.state.rglob("*") if path.is_file()]
    assert len(known) > 10
    assert act_as(BEA, list_readable) == []


def test_root_alone_may_be_served_where_the_config_says_so(machine: Machine) -> None:
    machine.kill()
    machine.start("--run-as", "daemon")
    with pytest.raises(NoDaemon, match="not yours"):
        machine.ask(ADA, lambda client: client.list_jobs())
    machine.socket.chmod(0o666)
    with pytest.raises(PerdureError, match="serves another user"):
        machine.ask(ADA, lambda client: client.list_jobs())


# Sharing the machine --------------------------------------------------------------------------------------------------


def test_no_gpu_is_given_to_two_users_and_what_one_leaves_another_gets(machine: Machine) -> None:
    """Root's jobs take part. The driver is not asked: the config names the GPUs."""
    machine.kill()
    (machine.root / "perdured.toml").write_text('gpus = ["GPU-a", "GPU-b"]\n')
    machine.start("--config", str(machine.root / "perdured.toml"))
    one = "[resources]\ngpus = 1\n"
    own = machine.submit(machine.root / "work", *SLEEP, extra=one)
    machine.wait_for_state(own, "running")
    first, _ = run_as(machine, ADA, SLEEP, one)
    second = machine.submit_as(BEA, SLEEP, one)
    wait_for(lambda: "GPU" in machine.show_as(BEA, second)["reason"], "the wait for a GPU")
    machine.kill()
    machine.start("--config", str(machine.root / "perdured.toml"))  # and a new daemon gives nothing twice either
    assert machine.show_as(BEA, second)["state"] == "queued"
    had = {
        *machine.show(own)["queue"]["gpus"],
        *machine.show_as(ADA, first)["queue"]["gpus"],
    }
    assert had == {"GPU-a", "GPU-b"}
    left = machine.show_as(ADA, first)["queue"]["gpus"]
    machine.ask(ADA, lambda client: client.ask(first, "stop"))
    wait_until_running(machine, BEA, second)
    assert machine.show_as(BEA, second)["queue"]["gpus"] == left


def test_a_priority_makes_no_job_of_another_user_step_aside(machine: Machine) -> None:
    machine.kill()
    (machine.root / "perdured.toml").write_text("cpus = 2\n")
    machine.start("--config", str(machine.root / "perdured.toml"))
    both = "[resources]\ncpus = 2\n"
    _, pid = run_as(machine, ADA, SLEEP, both)
    low = machine.submit_as(BEA, SLEEP, both)
    high = machine.submit_as(BEA, SLEEP, 'priority = 100\n[checkpoint]\ndir = "high"\n' + both)
    wait_for(lambda: "CPU" in machine.show_as(BEA, high)["reason"], "the wait for CPUs")
    assert Path(f"/proc/{pid}").exists()
    os.kill(pid, signal.SIGKILL)  # a job between two attempts keeps its place
    wait_for(lambda: len(machine.ask(ADA, lambda c: c.list_jobs())[0]["attempts"]) == 2, "its next attempt")
    assert [machine.show_as(BEA, job)["state"] for job in (high, low)] == ["queued", "queued"]


# Attacks --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secret(machine: Machine) -> Path:
    path = machine.root / "secret"
    path.write_text("of root")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("name", ["output.log", "keeper.log", "exit.json", "run.json"])
def test_a_record_that_its_user_replaced_by_a_link_shows_and_changes_nothing_of_roots(
    machine: Machine, secret: Path, name: str
) -> None:
    job, pid = run_as(machine, ADA, SLEEP)
    record = machine.home(ADA) / "jobs" / job / "attempts" / "1" / name

    def attack() -> None:
        record.unlink(missing_ok=True)
        record.symlink_to(secret)

    act_as(ADA, attack)
    os.kill(pid, signal.SIGKILL)
    machine.kill()
    machine.start()
    shown = wait_for(lambda: machine.ask(ADA, lambda client: client.list_jobs(everything=True)), "the jobs")
    try:
        said = machine.ask(ADA, lambda client: client.read_log(job, 1, 0))
    except PerdureError as error:
        said = str(error).encode()
    assert b"of root" not in said
    assert "of root" not in str(shown)
    assert secret.read_text() == "of root"
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o600)


@pytest.mark.parametrize("name", ["deputy.log", "registry.sqlite", "lock", "jobs"])
def test_a_state_directory_that_its_user_filled_with_links_costs_that_user_alone(
    machine: Machine, secret: Path, name: str
) -> None:
    job, _ = run_as(machine, BEA, SLEEP)
    machine.submit_as(ADA, SLEEP)
    machine.kill()
    place = machine.home(ADA) / name

    def attack() -> None:
        place.rename(place.with_name("aside"))
        place.symlink_to(secret)

    act_as(ADA, attack)
    machine.start()
    wait_until_running(machine, BEA, job)
    with pytest.raises(PerdureError):
        machine.ask(ADA, lambda client: client.list_jobs())
    assert secret.read_text() == "of root"
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o600)


def test_checkpoints_cannot_be_sent_to_where_the_user_may_not_write(machine: Machine) -> None:
    place = machine.work(ADA) / "checkpoints"
    of_bea = machine.work(BEA)
    act_as(ADA, lambda: place.symlink_to(of_bea))
    with pytest.raises(PerdureError, match="checkpoint directory"):
        machine.submit_as(ADA, SLEEP)
    assert list(of_bea.iterdir()) == []


def test_a_deputy_that_its_user_stopped_holds_up_nobody_else_and_one_that_was_killed_is_back(machine: Machine) -> None:
    job, pid = run_as(machine, ADA, SLEEP)
    deputy = find_deputy(ADA)
    assert deputy is not None
    act_as(ADA, lambda: os.kill(deputy, signal.SIGSTOP))
    stuck = [act_as(ADA, lambda: connect_unix(machine.socket, 5)) for _ in range(100)]
    try:
        began = time.monotonic()
        machine.ask(BEA, lambda client: client.list_jobs())
        assert time.monotonic() - began < 10
    finally:
        for connection in stuck:
            connection.close()
    act_as(ADA, lambda: os.kill(deputy, signal.SIGKILL))
    wait_for(lambda: find_deputy(ADA) not in (None, deputy), "another deputy")
    assert wait_until_running(machine, ADA, job) == pid


def test_whatever_is_said_before_the_deputy_is_asked_is_read_by_nobody_else(machine: Machine) -> None:
    """Not even what is no HTTP, and not a descriptor that comes along."""

    def attack() -> bytes:
        with connect_unix(machine.socket, 20) as connection:
            socket.send_fds(connection, [b"\0\xff" * 1000], [0])
            try:
                return connection.recv(100)
            except ConnectionError:
                return b""

    before = len(os.listdir(f"/proc/{machine.process.pid}/fd")) if machine.process else 0
    for _ in range(5):
        answer = act_as(ADA, attack)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert machine.process is not None
    opened = len(os.listdir(f"/proc/{machine.process.pid}/fd"))
    assert opened <= before + 4  # the channel and the pidfd of the deputy
    machine.client.health()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_root_itself_opens_nothing_below_a_directory_of_a_user(machine: Machine) -> None:
    """Every call with a path, of every thread of root's own process, from its start to its end, while a user's jobs
    run, are asked for, and are adopted."""
    machine.kill()
    trace = machine.root / "trace"
    calls = "trace=%file,clone,clone3,vfork,fork"
    machine.prefix = (
        *machine.prefix,
        "strace",
        "-f",
        "-qq",
        "-s",
        "300",
        "-e",
        "signal=none",
        "-e",
        calls,
        "-o",
        str(trace),
    )
    machine.start()
    job, _ = run_as(machine, ADA, SLEEP)
    machine.ask(ADA, lambda client: client.list_checkpoints(job))
    machine.ask(ADA, lambda client: client.list_logs(job))
    assert machine.process is not None
    root = next(line.split()[0] for line in trace.read_text().splitlines())
    os.kill(int(root), signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{root}").exists(), "the end of the daemon")
    machine.kill()
    lines = [line.split(maxsplit=1) for line in trace.read_text().splitlines()]
    ours = find_threads(root, lines)
    users = [call for pid, call in lines if pid in ours and ("/home-ada" in call or f"/users/{ADA.uid}" in call)]
    assert any(call.startswith("mkdir(") for call in users)
    assert [call for call in users if not is_on_the_entry(call, machine.home(ADA))] == []


def is_on_the_entry(call: str, home: Path) -> bool:
    """Makes it, gives it away or looks at it, and neither goes into it nor follows a link in its place."""
    entry = re.escape(f'"{home}"')
    alone = rf"(mkdir|lchown|lstat)\({entry}[,)]"
    unfollowed = rf"(fchownat|newfstatat|fstatat64|statx)\(AT_FDCWD, {entry}, .*AT_SYMLINK_NOFOLLOW"
    return bool(re.match(f"{alone}|{unfollowed}", call))


def find_threads(root: str, lines: list[list[str]]) -> set[str]:
    """The threads of the process `root`, by what its threads have cloned."""
    ours = {root}
    for pid, call in lines:
        if pid in ours and "CLONE_THREAD" in call and (found := re.search(r"=> \{parent_tid=\[(\d+)\]|= (\d+)$", call)):
            ours.add(found.group(1) or found.group(2))
    return ours


# Notices --------------------------------------------------------------------------------------------------------------


def test_a_notice_that_root_is_told_of_reaches_the_jobs_of_all_users_until_it_is_withdrawn(machine: Machine) -> None:
    machine.submit_as(ADA, SLEEP)
    assert machine.ask(ADA, lambda client: client.show_notices())["deadline"] is None
    (machine.state / "notices" / "power").write_text(
        json.dumps({"deadline": "600s", "follows": "kill", "why": "power"})
    )
    told = wait_for(lambda: machine.ask(ADA, lambda client: client.show_notices())["deadline"], "the notice")
    assert told == machine.client.show_notices()["deadline"]
    late = machine.ask(BEA, lambda client: client.show_notices())  # whose deputy comes up later
    assert [notice["why"] for notice in late["notices"]] == ["power"]
    with pytest.raises(PerdureError, match="Only root can"):
        machine.ask(ADA, lambda client: client.approve_notice(late["notices"][0]["id"]))
    (machine.state / "notices" / "power").unlink()
    wait_for(lambda: machine.ask(ADA, lambda client: client.show_notices())["deadline"] is None, "its withdrawal")


# The life of the daemon -----------------------------------------------------------------------------------------------


def test_jobs_of_users_do_not_notice_that_the_daemon_is_killed_and_are_adopted(machine: Machine) -> None:
    jobs = {user: run_as(machine, user, SLEEP) for user in (ADA, BEA)}
    machine.kill()
    machine.start()
    for user, (job, pid) in jobs.items():
        assert wait_until_running(machine, user, job) == pid
        assert len(machine.show_as(user, job)["attempts"]) == 1


def test_jobs_go_on_with_a_daemon_that_nobody_has_asked_anything(machine: Machine) -> None:
    """After a boot, say: the deputies of those who had jobs are started by themselves."""
    job = machine.submit_as(ADA, [sys.executable, str(COUNTER), "1000000", "--pause", "0.02"])
    wait_until_running(machine, ADA, job)
    machine.kill(signal.SIGTERM)
    os.kill(pid := find_keeper(machine, ADA, job), signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the end of the keeper")
    machine.start()
    attempts = machine.home(ADA) / "jobs" / job / "attempts"
    wait_for((attempts / "2" / "run.json").exists, "the second attempt")
    assert wait_until_running(machine, ADA, job)


def test_the_jobs_of_all_users_are_parked_when_the_daemon_is_told_to(machine: Machine) -> None:
    machine.kill()
    machine.start("--on-stop", "park")
    jobs = {}
    for user in (ADA, BEA):
        jobs[user] = machine.submit_as(user, [sys.executable, str(COUNTER), "1000000", "--pause", "0.02"])
        wait_until_at_a_step(machine, user, jobs[user])
    machine.kill(signal.SIGTERM)
    for user, job in jobs.items():
        exit = json.loads((machine.home(user) / "jobs" / job / "attempts" / "1" / "exit.json").read_text())
        assert exit["exit_code"] == 75
        assert (machine.home(user) / "jobs" / job / "rest.json").exists()


@pytest.mark.parametrize(
    "packet",
    [
        b"\x00" * 60_000,
        b'{"type": "stand"}',
        b'{"type": "stand", "keeps": {"amounts": [1, 1, 1, 1e400], "gpus": []}, "wants": [0, 0, 0, 0], "seen": 0}',
        b'{"type": "stand", "keeps": {"amounts": [0, 0, 0, 0], "gpus": []}, "wants": [0, 0, 0, 0], "seen": 1e999}',
        b'{"type": "ready"}',
        b'{"type": "safe", "is_safe": []}',
        b'{"type": "unheard-of"}',
    ],
)
def test_whatever_is_said_in_the_name_of_a_deputy_ends_neither_the_daemon_nor_anybody_elses_service(
    machine: Machine, packet: bytes
) -> None:
    """Said through the deputy's own descriptor, as a user can who traces it."""
    job, pid = run_as(machine, ADA, SLEEP)
    deputy = find_deputy(ADA)
    assert deputy is not None
    with os.fdopen(os.pidfd_open(deputy), "rb") as pidfd:
        channel = take_channel_of(pidfd.fileno(), deputy)
    with channel, contextlib.suppress(OSError):  # it is hung up on, or so much is not taken
        for _ in range(20):
            channel.send(packet)
    machine.client.health()
    assert machine.ask(BEA, lambda client: client.list_jobs()) == []
    assert wait_until_running(machine, ADA, job) == pid


def take_channel_of(pidfd: int, pid: int) -> socket.socket:
    """The descriptor of the deputy that is a socket keeping packets apart."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
            continue
        descriptor = ctypes.CDLL(None).syscall(438, pidfd, int(name), 0)  # pidfd_getfd
        taken = socket.socket(fileno=descriptor)
        if taken.type == socket.SOCK_SEQPACKET:
            return taken
        taken.close()
    raise AssertionError("no channel")
