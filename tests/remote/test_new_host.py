"""Hosts that have joined one bucket: a job goes on where its host is gone, and never on two at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perdured.contract.checkpoint import CheckpointName, parse_name
from support.daemons import wait_for
from support.fleet import LASTS, FleetHost
from support.s3 import Bad, Bucket, Proxy

Boot = Callable[..., FleetHost]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def boot(tmp_path: Path, bucket: Bucket) -> Iterator[Boot]:
    hosts: list[FleetHost] = []

    def boot(name: str, lasts: float = LASTS, endpoint: str | None = None) -> FleetHost:
        hosts.append(FleetHost(tmp_path / name, bucket, lasts, endpoint))
        hosts[-1].start()
        return hosts[-1]

    yield boot
    for host in hosts:
        host.close()


def tokens_of(bucket: Bucket) -> dict[CheckpointName, int]:
    """Of all that is committed there."""
    found = {}
    for key, data in bucket.objects().items():
        name = parse_name(key.partition("/")[0])
        if name is not None and key.endswith("/COMMIT"):
            found[name] = int(json.loads(data)["token"])
    return found


def test_a_job_goes_on_where_its_host_is_gone(boot: Boot) -> None:
    """With nothing but the bucket, and its code. No step that reached the bucket is made again; what is done is not
    started again by a third."""
    first = boot("a")
    job = first.count_steps("300", "--pause", "0.1")
    first.wait_until_remote_has(job, 3)
    second = boot("b")
    first.lose()
    shown = second.wait_until_it_runs(job)
    assert shown["attempts"][0]["resumed_from_step"] >= 3
    second.wait_for_state(job, "succeeded", ceiling=90)
    assert min(second.steps()) == shown["attempts"][0]["resumed_from_step"] + 1
    assert second.steps()[-1] == 300
    assert "lease" in {event["kind"] for event in second.client.list_events(0, job)["events"]}


def test_a_host_that_was_frozen_finds_its_job_gone_and_commits_nothing_more(boot: Boot) -> None:
    """Its keeper ends the attempt by its own clock when it is thawed; it says why; and the run on the other host is
    what counts, to the last step."""
    first = boot("a")
    job = first.count_steps("100000", "--pause", "0.1")
    first.wait_until_remote_has(job, 3)
    second = boot("b")
    first.freeze()
    frozen_at = first.steps()[-1]
    shown = second.wait_until_it_runs(job)
    resumed = shown["attempts"][0]["resumed_from_step"]
    second.wait_until_remote_has(job, resumed + 2)
    second.freeze()
    made_there = set(second.steps())
    second.thaw()
    first.thaw()
    parked = first.wait_for_state(job, "parked", ceiling=60)
    assert first.steps()[-1] <= frozen_at + 20, "it went on by far"
    assert "holds lease 2" in parked["lease"]["why"]
    assert "holds lease 2" in first.run("show", job).stdout
    assert not parked["lease"]["is_here"]
    assert made_there
    assert second.show(job)["state"] == "running"
    assert len(second.show(job)["attempts"]) == 1
    second.wait_until_remote_has(job, max(made_there) + 2)
    tokens = {name.step: token for name, token in tokens_of(second.bucket).items()}
    assert {token for step, token in tokens.items() if step > resumed} == {2}


def test_a_job_comes_back_to_a_host_that_had_it_and_goes_on_from_what_the_other_committed(boot: Boot) -> None:
    """What the first had on its own disk alone is set aside, though its step is higher: the run did not go on there."""
    first = boot("a")
    job = first.count_steps("100000", "--pause", "0.05")
    first.wait_until_remote_has(job, 3)
    second = boot("b")
    first.freeze()
    second.wait_until_it_runs(job)
    second.wait_until_remote_has(job, second.show(job)["attempts"][0]["resumed_from_step"] + 2)
    first.thaw()
    first.wait_for_state(job, "parked", ceiling=60)
    second.lose()
    committed = max(tokens_of(second.bucket)).step
    shown = first.wait_for_state(job, "running", ceiling=60)
    assert shown["lease"]["token"] == 3
    wait_for(lambda: first.show(job)["attempts"][-1]["resumed_from_step"] == committed, f"going on from {committed}")


def test_a_job_that_was_done_elsewhere_is_stopped_here_and_begins_again_by_hand_alone(boot: Boot) -> None:
    first = boot("a")
    job = first.count_steps("60", "--pause", "0.3")
    first.wait_until_remote_has(job, 2)
    first.freeze()
    second = boot("b")
    second.wait_until_it_runs(job)
    second.wait_for_state(job, "succeeded", ceiling=60)
    wait_for(lambda: "over" in second.show(job)["lease"]["why"], "its end to be told")
    first.thaw()
    shown = first.wait_for_state(job, "stopped", ceiling=60)
    assert "the job is over: succeeded at step 60" in shown["lease"]["why"]
    first.kill()
    first.start()
    wait_for(lambda: "the job is over" in first.show(job)["lease"]["why"], "the lease to be seen")
    assert first.show(job)["state"] == "stopped"
    assert first.run("resume", job).returncode == 0
    first.wait_for_state(job, "succeeded", ceiling=60)
    assert first.show(job)["lease"]["token"] == 3


def test_a_job_whose_daemon_is_dead_ends_before_another_host_begins(boot: Boot) -> None:
    """The keeper alone sees to it: the daemon is killed, and the job trains on."""
    first = boot("a")
    job = first.count_steps("100000", "--pause", "0.1")
    first.wait_until_remote_has(job, 2)
    second = boot("b")
    first.kill()
    second.wait_until_it_runs(job)
    before = first.steps()
    wait_for(lambda: len(second.steps()) > 3, "steps on the second host")
    assert first.steps() == before
    assert (first.work / "steps.txt").stat().st_mtime < (second.work / "steps.txt").stat().st_mtime


def test_a_daemon_that_comes_back_in_time_goes_on_with_the_attempt(boot: Boot) -> None:
    """The job does not notice, and the other host does not get it."""
    first = boot("a", 24.0)
    job = first.count_steps("100000", "--pause", "0.1")
    first.wait_until_remote_has(job, 2)
    second = boot("b", 24.0)
    first.kill()
    first.start()
    seen = len(first.steps())
    first.wait_until_remote_has(job, first.show(job)["step"] + 1)
    wait_for(lambda: len(first.steps()) > seen + 10 * first.lasts, "the time of a lease", 90.0)
    shown = first.show(job)
    assert len(shown["attempts"]) == 1
    assert shown["lease"]["is_here"]
    assert not second.knows(job)


def test_a_host_that_is_cut_off_ends_its_attempt_and_goes_on_when_the_bucket_is_back(boot: Boot, proxy: Proxy) -> None:
    """Nobody else was there to take it. It says what is in the way."""
    host = boot("a", endpoint=proxy.url)
    job = host.count_steps("100000", "--pause", "0.1")
    host.wait_until_remote_has(job, 2)
    proxy.script = lambda request: Bad(status=503, code="SlowDown")
    wait_for(lambda: host.show(job)["state"] == "waiting", "the attempt to end", 60.0)
    wait_for(lambda: "the lease of this host has run out" in host.show(job)["reason"], "the reason", 20.0)
    made = len(host.steps())
    assert host.show(job)["attempts"][0]["cause"] == "preempted"
    proxy.script = lambda request: None
    shown = host.wait_for_state(job, "running", ceiling=60)
    assert shown["lease"]["is_here"]
    wait_for(lambda: len(host.steps()) > made, "it to go on")
    assert host.steps()[made] == host.steps()[made - 1] + 1, "from what its own disk has"


def test_a_job_that_is_done_is_not_started_again(boot: Boot) -> None:
    """Also when the machine that ended it is gone."""
    first = boot("a")
    job = first.count_steps("3", "--pause", "0.2")
    first.wait_for_state(job, "succeeded", ceiling=40)
    wait_for(lambda: "the job is over: succeeded at step 3" in first.show(job)["lease"]["why"], "its end to be told")
    first.lose()
    second = boot("b")
    wait_for(lambda: second.fleet()["jobs"], "the bucket to be seen")
    assert second.fleet()["jobs"][0]["state"] == "over"


def test_a_host_that_parks_its_jobs_gives_them_back_at_once(boot: Boot) -> None:
    """The next one need not wait until a lease runs out, and nothing that was saved is lost."""
    first = boot("a")
    job = first.count_steps("100000", "--pause", "0.1")
    first.wait_until_remote_has(job, 3)
    first.kill()
    first.start("--on-stop", "park")
    first.wait_until_remote_has(job, 4)
    second = boot("b")
    first.kill(15)
    saved = first.steps()[-1]
    shown = second.wait_until_it_runs(job, ceiling=second.lasts * 0.8)
    assert shown["attempts"][0]["resumed_from_step"] == saved


def test_a_host_that_is_told_of_its_end_gives_its_jobs_back(boot: Boot) -> None:
    """As soon as the last checkpoint is copied. If the end does not come, it does not take it back from the other."""
    first = boot("a", 60.0)
    job = first.count_steps("100000", "--pause", "0.1")
    first.wait_until_remote_has(job, 3)
    second = boot("b", 60.0)
    name = first.run("notices", "--announce", "20s").stdout.strip()
    first.wait_for_state(job, "parked")
    saved = first.steps()[-1]
    shown = second.wait_until_it_runs(job, ceiling=40.0)
    assert shown["attempts"][0]["resumed_from_step"] == saved
    first.run("notices", "--withdraw", name)
    wait_for(lambda: "holds lease 2" in first.show(job)["lease"]["why"], "the other's lease to be seen")
    wait_for(lambda: len(second.steps()) > 20, "the other to go on")
    assert first.show(job)["state"] == "parked"
    assert first.steps()[-1] == saved


def test_a_job_that_stands_still_goes_on_in_place_only_if_nobody_has_taken_it(boot: Boot) -> None:
    """It gave its lease back; when the notice is withdrawn it takes the next one, and not a step is lost."""
    first = boot("a", 90.0)
    job = first.count_steps("100000", "--pause", "0.1", "--parks")
    first.wait_until_remote_has(job, 2)
    name = first.run("notices", "--announce", "20s").stdout.strip()
    first.wait_for_state(job, "parked")
    wait_for(lambda: "gave lease 1 back" in first.show(job)["lease"]["why"], "the lease to be given back", 40.0)
    made = first.steps()
    first.run("notices", "--withdraw", name)
    first.wait_for_state(job, "running")
    assert first.show(job)["lease"]["token"] == 2
    assert len(first.show(job)["attempts"]) == 1
    wait_for(lambda: len(first.steps()) > len(made), "it to go on")
    assert first.steps()[: len(made) + 1] == [*made, made[-1] + 1]


def test_a_job_that_is_removed_is_removed_for_all(boot: Boot) -> None:
    """Its lease does not run out into the hands of another."""
    first = boot("a")
    job = first.count_steps("100000", "--pause", "0.1")
    first.wait_until_remote_has(job, 2)
    second = boot("b")
    assert first.run("rm", "-y", job).returncode == 0
    wait_for(lambda: not first.knows(job), "the job to be forgotten")
    wait_for(lambda: second.fleet()["jobs"][0]["state"] == "over", "its end to be told")
    assert "removed" in second.fleet()["jobs"][0]["lease"]["why"]


def test_a_host_without_the_code_leaves_the_job_and_says_why(boot: Boot) -> None:
    first = boot("a")
    job = first.count_steps("100000", "--pause", "0.1")
    first.wait_until_remote_has(job, 2)
    second = boot("b")
    second.work.rename(second.home / "elsewhere")
    first.lose()
    wait_for(lambda: second.fleet()["jobs"][0]["lacks"], "the lack to be told", 40.0)
    assert str(second.work) in second.fleet()["jobs"][0]["lacks"]
    assert "its code has to be brought there" in second.run("fleet").stdout
    assert not second.knows(job)
    (second.home / "elsewhere").rename(second.work)
    second.wait_until_it_runs(job)
