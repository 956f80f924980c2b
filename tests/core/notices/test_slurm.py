"""What `scontrol show job` prints, shortened from a real slurmctld 22.05.8, asked in UTC."""

from __future__ import annotations

import pytest

from perdured.core.notices.answer import Failed, Look
from perdured.core.notices.slurm import (
    EVERY,
    LEAST,
    Preemption,
    choose_pause,
    find_notices,
    parse_job,
    parse_limit,
    parse_partition,
    say_listening,
)

RUNNING = (
    "JobId=17 JobName=train UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901757 Nice=0 Account=(null) "
    "QOS=(null) JobState=RUNNING Reason=None Dependency=(null) Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0 "
    "RunTime=00:00:12 TimeLimit=00:30:00 TimeMin=N/A SubmitTime=2017-09-18T08:00:00 EligibleTime=2017-09-18T08:00:00 "
    "StartTime=2017-09-18T08:00:01 EndTime=2017-09-18T08:30:01 Deadline=N/A PreemptEligibleTime=2017-09-18T08:00:01 "
    "PreemptTime=None SuspendTime=None Partition=low NodeList=node1 Command=/tmp/job.sh WorkDir=/tmp"
)
START = 1505721601.0
LOOK = Look(at=START + 12, boot_id="boot-1")


def test_the_time_limit_is_known_from_the_start() -> None:
    job = parse_job(RUNNING)
    assert (job.id, job.started_at, job.ends_at, job.limit) == ("17", START, START + 1800, 1800.0)
    (notice,) = find_notices(job, LOOK)
    assert (notice.kind, notice.deadline, notice.sureness, notice.follows) == (
        "walltime",
        START + 1800,
        "exact",
        "kill",
    )
    assert notice.disk == "kept"


@pytest.mark.parametrize(
    "text",
    [
        RUNNING.replace("EndTime=2017-09-18T08:30:01", "EndTime=2017-09-18T08:00:32"),
        RUNNING.replace("PreemptTime=None", "PreemptTime=2017-09-18T08:00:12"),
    ],
    ids=["its end was brought forward", "the controller says so"],
)
def test_a_preemption_is_another_notice_than_the_time_limit(text: str) -> None:
    (usual,), (taken,) = find_notices(parse_job(RUNNING), LOOK), find_notices(parse_job(text), LOOK)
    assert taken.kind == "preempt"
    assert taken.id != usual.id
    assert "queued again" in taken.why


def test_each_start_of_a_requeued_job_has_its_own_end() -> None:
    again = parse_job(RUNNING.replace("Restarts=0", "Restarts=1"))
    assert find_notices(again, LOOK)[0].id != find_notices(parse_job(RUNNING), LOOK)[0].id


def test_a_job_without_a_limit_has_no_end() -> None:
    text = RUNNING.replace("TimeLimit=00:30:00", "TimeLimit=UNLIMITED").replace(
        "EndTime=2017-09-18T08:30:01", "EndTime=Unknown"
    )
    assert find_notices(parse_job(text), LOOK) == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1-02:03:04", 93784.0), ("00:30:00", 1800.0), ("30:00", 1800.0), ("UNLIMITED", None), ("Partition_Limit", None)],
)
def test_limits(text: str, seconds: float | None) -> None:
    assert parse_limit(text) == seconds


@pytest.mark.parametrize("text", ["", "slurm_load_jobs error: Invalid job id specified", "JobId=17"])
def test_what_cannot_be_read_says_nothing(text: str) -> None:
    with pytest.raises(Failed):
        parse_job(text)


PARTITION = (
    "PartitionName=low AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A "
    "DefaultTime=NONE DisableRootJobs=NO ExclusiveUser=NO GraceTime=20 Hidden=NO MaxNodes=UNLIMITED "
    "PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO PreemptMode=REQUEUE State=UP TotalCPUs=2"
)


def test_where_a_preemption_leaves_little_time_a_quarter_of_it_passes_between_two_questions() -> None:
    preemption = parse_partition(PARTITION)
    assert preemption == Preemption(happens=True, grace=20.0)
    assert choose_pause(preemption) == 5.0
    assert choose_pause(Preemption(True, 600.0)) == EVERY
    assert choose_pause(Preemption(True, 4.0)) == LEAST
    said = say_listening(parse_job(RUNNING), preemption)
    assert (
        said
        == "the end of job 17, asked each 5 s, as a preemption leaves 20 s; it is queued again when it is preempted"
    )


def test_where_nothing_is_preempted_or_no_time_is_left_the_controller_is_not_asked_more_often() -> None:
    off = parse_partition(PARTITION.replace("PreemptMode=REQUEUE", "PreemptMode=OFF"))
    at_once = parse_partition(PARTITION.replace("GraceTime=20", "GraceTime=0"))
    assert choose_pause(off) == choose_pause(at_once) == EVERY
    assert "asked each 15 s; it is queued" in say_listening(parse_job(RUNNING), off)
    assert "partition low gives no time when it preempts" in say_listening(parse_job(RUNNING), at_once)


def test_an_answer_about_no_partition_is_refused() -> None:
    with pytest.raises(Failed, match="cannot be read"):
        parse_partition("slurm_load_partitions error: Invalid partition name specified")
