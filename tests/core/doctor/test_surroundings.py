"""Do the signals of Slurm, systemd and a container arrive, and in time?"""

from __future__ import annotations

import pytest

from perdured.core.doctor.containers import ContainerSeen, judge_container
from perdured.core.doctor.containers import make_source as make_pod_source
from perdured.core.doctor.finding import Finding
from perdured.core.doctor.saves import SaveSeen
from perdured.core.doctor.slurm import SlurmSeen, judge_slurm, make_slurm_seen
from perdured.core.doctor.slurm import make_source as make_slurm_source
from perdured.core.doctor.systemd import SystemdSeen, find_unit, judge_shutdown, parse_delay, parse_span
from perdured.core.doctor.systemd import make_source as make_systemd_source

CONFIG = """
Configuration data as of 2026-11-25T11:00:00
KillWait                = 30 sec
PreemptMode             = REQUEUE
PreemptType             = preempt/partition_prio
SlurmctldParameters     = (null)
"""
JOB = "JobId=7 JobName=gpt\n   Requeue=1 Restarts=0 BatchFlag=1\n   Partition=spot AllocNode:Sid=n:1\n"
PARTITION = "PartitionName=spot\n   GraceTime=20 Hidden=NO\n   PreemptMode=REQUEUE\n"

SAVE = SaveSeen("gpt", 1 << 30, 20.0, is_measured=True)


def see(*, is_step: bool, config: str = CONFIG, partition: str = PARTITION, job: str = JOB) -> SlurmSeen:
    return make_slurm_seen("7", is_step=is_step, config=config, job_text=job, partition=partition)


def levels(found: list[Finding]) -> list[str]:
    return [each.level for each in found]


def test_a_job_step_hears_of_its_preemption_at_once() -> None:
    seen = see(is_step=True)
    assert levels(judge_slurm(seen)) == ["ok", "ok"]
    assert make_slurm_source(seen).seconds == 50.0


def test_what_the_batch_script_started_hears_only_when_the_grace_is_over() -> None:
    seen = see(is_step=False)
    assert levels(judge_slurm(seen)) == ["problem", "ok"]
    assert make_slurm_source(seen).seconds == 30.0


@pytest.mark.parametrize(
    "line",
    ["SlurmctldParameters     = preempt_send_user_signal", "PreemptParameters       = send_user_signal"],
    ids=["22.05", "23.02"],
)
def test_it_does_hear_where_the_cluster_sends_the_signal_that_was_asked_for(line: str) -> None:
    seen = see(is_step=False, config=CONFIG.replace("SlurmctldParameters     = (null)", line))
    assert levels(judge_slurm(seen)) == ["warning", "ok"]


def test_without_preemption_a_batch_script_is_only_told_of_it() -> None:
    seen = see(is_step=False, config=CONFIG.replace("preempt/partition_prio", "preempt/none"))
    assert levels(judge_slurm(seen)) == ["warning", "ok"]


def test_a_job_that_is_not_requeued_is_cancelled_by_a_preemption() -> None:
    assert levels(judge_slurm(see(is_step=True, job=JOB.replace("Requeue=1", "Requeue=0")))) == ["ok", "warning"]


def test_a_controller_that_does_not_answer_leaves_what_is_usual() -> None:
    seen = see(is_step=True, config="", partition="", job="")
    assert (seen.kill_wait, seen.grace, seen.can_be_preempted, seen.can_requeue) == (30.0, 0.0, False, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("90s", 90.0), ("1min 30s", 90.0), ("2h", 7200.0), ("infinity", float("inf")), ("?", 5.0)],
)
def test_spans_of_systemd(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


def test_the_last_file_of_logind_counts_and_an_empty_value_is_the_default() -> None:
    assert parse_delay([]) == 5.0
    assert parse_delay(["[Login]\n#InhibitDelayMaxSec=7\n"]) == 5.0
    assert parse_delay(["[Login]\nInhibitDelayMaxSec=20\n", "[Login]\nInhibitDelayMaxSec = 1min\n"]) == 60.0
    assert parse_delay(["InhibitDelayMaxSec=20\n", "InhibitDelayMaxSec=\n"]) == 5.0


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/perdured.service\n", "perdured.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/perdured.service\n", "perdured.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-kitty-1.scope\n", None),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", None),
        ("", None),
    ],
)
def test_the_unit_of_a_daemon_stands_in_its_cgroup(cgroup: str, unit: str | None) -> None:
    assert find_unit(cgroup) == unit


def test_a_delay_that_is_shorter_than_a_save_is_told_with_what_to_write_where() -> None:
    (found,) = judge_shutdown(SystemdSeen(5.0, "perdured.service", 180.0), SAVE, has_daemon=True)
    assert found.level == "warning"
    assert "InhibitDelayMaxSec=31" in found.todo
    assert levels(judge_shutdown(SystemdSeen(31.0, "perdured.service", 180.0), SAVE, has_daemon=True)) == ["ok"]
    assert levels(judge_shutdown(SystemdSeen(float("inf")), SAVE, has_daemon=False)) == ["ok"]


def test_nobody_waits_at_a_shutdown_for_the_jobs_of_a_daemon_that_was_started_by_hand() -> None:
    assert levels(judge_shutdown(SystemdSeen(60.0), SAVE, has_daemon=True)) == ["warning", "ok"]
    assert make_systemd_source(SystemdSeen(60.0)).seconds is None
    assert make_systemd_source(SystemdSeen(60.0, "perdured.service", 180.0)).seconds == 180.0


def test_a_shell_as_pid_1_keeps_the_signal_to_itself() -> None:
    assert levels(judge_container(ContainerSeen("container", "sh", 60.0), SAVE)) == ["problem", "ok"]
    assert levels(judge_container(ContainerSeen("container", "perdure", 60.0), SAVE)) == ["ok", "ok"]


def test_a_grace_that_was_told_and_is_too_short_is_a_problem_and_a_usual_one_a_warning() -> None:
    assert levels(judge_container(ContainerSeen("pod", "perdure", 15.0), SAVE)) == ["ok", "problem"]
    assert levels(judge_container(ContainerSeen("pod", "perdure"), SAVE)) == ["ok", "warning"]
    assert levels(judge_container(ContainerSeen("container", "perdure"), SAVE)) == ["ok", "warning"]


def test_a_grace_that_is_only_assumed_is_not_called_well() -> None:
    """On a fresh machine no job is known yet."""
    for save in (None, SAVE._replace(seconds=None)):
        _, found = judge_container(ContainerSeen("container", "perdure"), save)
        assert (found.level, "10 s is assumed" in found.what) == ("warning", True)
        assert "PERDURE_NOTICES_GRACE" in found.todo
        assert levels(judge_container(ContainerSeen("container", "perdure", 60.0), save)) == ["ok", "ok"]


def test_a_pod_is_a_source_of_notices_and_a_plain_container_is_none() -> None:
    assert make_pod_source(ContainerSeen("pod", "perdure")).seconds == 30.0
    assert make_pod_source(ContainerSeen("container", "perdure")).status == "absent"
    assert make_pod_source(None).status == "absent"
